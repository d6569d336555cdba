//! A request without tools that says the same.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use types::content::{Content, Message, Role};
use types::model::{ModelRequest, ToolSchema};

use super::call::written;
use crate::history::cut;
use crate::written::tool_name;

const HOW: &str = "You can use tools. To use one, end your answer with a call of this form, and write nothing behind it:

<function=NAME>
<parameter=KEY>VALUE</parameter>
<parameter=OTHER>
a value
of several lines
</parameter>
</function>

- NAME is the name of a tool, KEY that of one of its parameters. Each required parameter must be there.
- A text is written as it is, without quotes and without escapes; anything else as JSON.
- One call at a time. Its result is told to you in the next message, which begins with EXECUTION RESULT. Never write that \
yourself.
- What you think and mean to do is written before the call.

These are the tools:";

/// The tools as words of the system, their calls as texts, and their results as messages of the user.
pub(crate) fn without_tools(request: &ModelRequest) -> ModelRequest {
    let names = names(&request.messages);
    let mut messages: Vec<Arc<Message>> = Vec::with_capacity(request.messages.len() + 1);
    messages.extend(request.messages.iter().map(|message| match message.role {
        Role::Assistant => Arc::new(answer(message)),
        Role::Tool => Arc::new(result(message, &names)),
        Role::System | Role::User => Arc::clone(message),
    }));
    if !request.tools.is_empty() {
        let system = messages.iter().take_while(|message| message.role == Role::System).count();
        messages.insert(system, Arc::new(Message::new(Role::System, described(&request.tools))));
    }
    ModelRequest { messages, tools: Arc::new([]) }
}

fn described(tools: &[ToolSchema]) -> String {
    let tool = |tool: &ToolSchema| {
        format!(
            "## {}\n\n{}\n\nParameters, as a JSON schema: {}",
            tool.name, tool.description, tool.parameters
        )
    };
    let tools: Vec<String> = tools.iter().map(tool).collect();
    format!("{HOW}\n\n{}", tools.join("\n\n"))
}

/// By their calls.
fn names(messages: &[Arc<Message>]) -> HashMap<&str, &str> {
    let calls = messages.iter().flat_map(|message| &message.tool_calls);
    calls.map(|call| (call.id.as_str(), call.name.as_str())).collect()
}

fn answer(message: &Message) -> Message {
    if message.tool_calls.is_empty() {
        return message.clone();
    }
    let texts = message.content.iter().filter_map(Content::as_text).map(str::to_owned);
    let calls = message.tool_calls.iter().map(|call| written(&tool_name(&call.name), &call.arguments));
    let parts: Vec<String> = texts.filter(|text| !text.trim().is_empty()).chain(calls).collect();
    Message {
        content: vec![Content::text(parts.join("\n\n"))],
        reasoning_content: message.reasoning_content.clone(),
        ..Message::new(Role::Assistant, "")
    }
}

fn result(message: &Message, names: &HashMap<&str, &str>) -> Message {
    let by_call = message.tool_call_id.as_deref().and_then(|id| names.get(id).copied());
    let name = by_call.or(message.name.as_deref()).unwrap_or("tool");
    let mut content = vec![Content::text(format!("EXECUTION RESULT of [{}]:", tool_name(name)))];
    content.extend(message.content.iter().map(|piece| match piece.as_text().map(cut) {
        Some(Cow::Owned(shorter)) => Content::text(shorter),
        _ => piece.clone(),
    }));
    Message { content, ..Message::new(Role::User, "") }
}
