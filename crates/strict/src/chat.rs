//! Chat completions.

use serde_json::Value;

use crate::calls::{self, Calls, Form};
use crate::images;
use crate::look::{self, Verdict, demand, list, not_blank, text};

pub fn check(body: &Value) -> Verdict {
    let offered = list(body, "tools").iter().map(|tool| look::part(tool, "function"));
    calls::tools(offered.map(|function| (text(function, "name"), look::part(function, "parameters"))))?;
    let messages = list(body, "messages");
    let mut calls = Calls::new(Form::of(body));
    let mut images = 0;
    let mut before = "";
    for (number, message) in messages.iter().enumerate() {
        let at = format!("messages[{number}]");
        let role = text(message, "role");
        demand(may_follow(before, role), || format!("{at}: role {role:?} after {before:?}"))?;
        if role == "tool" {
            calls.result(text(message, "tool_call_id"), &at)?;
        } else {
            calls.none_is_open(&at)?;
        }
        // mistral-common: "Unexpected role 'user' after role 'tool'".
        let is_refused = (before, role) == ("tool", "user") && calls::is_of_mistral(body);
        demand(!is_refused, || format!("{at}: a user's message right after a result"))?;
        images += content(message, role, &at)?;
        for (index, call) in list(message, "tool_calls").iter().enumerate() {
            let at = format!("{at}.tool_calls[{index}]");
            calls.call(text(call, "id"), text(look::part(call, "function"), "name"), &at)?;
            calls::arguments(look::part(look::part(call, "function"), "arguments"), &at)?;
        }
        before = role;
    }
    calls.none_is_open("messages")?;
    demand(images <= images::MOST_IMAGES, || format!("{images} images"))?;
    // Mistral, Anthropic behind proxies: an answer is not to be gone on with.
    demand(matches!(before, "user" | "tool"), || format!("messages: the last is of the role {before:?}"))
}

/// Templates of served models (vLLM): "Conversation roles must alternate"; Gemini and Anthropic: the user comes first.
fn may_follow(before: &str, role: &str) -> bool {
    match role {
        "system" | "developer" => before.is_empty(),
        "user" => before != "user",
        "assistant" => matches!(before, "user" | "tool"),
        "tool" => matches!(before, "assistant" | "tool"),
        _ => false,
    }
}

/// How many images it holds.
fn content(message: &Value, role: &str, at: &str) -> Result<usize, String> {
    let has_calls = message.get("tool_calls").is_some();
    if has_calls {
        demand(role == "assistant", || format!("{at}: calls of the role {role:?}"))?;
        // OpenAI: "[] is too short - 'messages.1.tool_calls'".
        demand(!list(message, "tool_calls").is_empty(), || format!("{at}: an empty list of calls"))?;
    }
    match message.get("content") {
        None | Some(Value::Null) => {
            demand(has_calls, || format!("{at}: neither content nor calls"))?;
            Ok(0)
        }
        // What a tool has said may be nothing.
        Some(Value::String(_)) if role == "tool" => Ok(0),
        Some(Value::String(text)) => not_blank(text, at).map(|()| 0),
        Some(Value::Array(parts)) => self::parts(parts, role, at),
        Some(_) => Err(format!("{at}: content that is neither text nor a list")),
    }
}

fn parts(parts: &[Value], role: &str, at: &str) -> Result<usize, String> {
    // OpenAI: "Invalid 'messages[1].content': empty array".
    demand(!parts.is_empty(), || format!("{at}: an empty list of parts"))?;
    let mut images = 0;
    for (index, part) in parts.iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        match text(part, "type") {
            "text" => not_blank(text(part, "text"), &at)?,
            "image_url" => {
                // OpenAI: "Image URLs are only allowed for messages with role 'user'".
                demand(role == "user", || format!("{at}: an image of the role {role:?}"))?;
                images::url(text(look::part(part, "image_url"), "url"), &at)?;
                images += 1;
            }
            other => return Err(format!("{at}: a part of the kind {other:?}")),
        }
    }
    Ok(images)
}
