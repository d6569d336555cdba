//! Anthropic's messages, as its own API, Bedrock and Vertex take them.

use serde_json::Value;

use crate::calls::{self, Calls, Form};
use crate::images;
use crate::look::{self, Verdict, demand, list, not_blank, text};

/// "A maximum of 4 blocks with cache_control may be provided."
const MOST_MARKS: usize = 4;
/// "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024".
const LEAST_THINKING: u64 = 1024;

pub fn check(body: &Value) -> Verdict {
    calls::tools(
        list(body, "tools").iter().map(|tool| (text(tool, "name"), look::part(tool, "input_schema"))),
    )?;
    for (number, block) in list(body, "system").iter().enumerate() {
        not_blank(text(block, "text"), &format!("system[{number}]"))?;
    }
    options(body)?;
    let messages = list(body, "messages");
    let mut calls = Calls::new(Form::Usual);
    let mut images = 0;
    for (number, message) in messages.iter().enumerate() {
        let at = format!("messages[{number}]");
        // Bedrock: "roles must alternate between \"user\" and \"assistant\""; all: the first is the user's.
        let role = if number % 2 == 0 { "user" } else { "assistant" };
        demand(text(message, "role") == role, || format!("{at}: not of the role {role:?}"))?;
        let blocks = list(message, "content");
        demand(!blocks.is_empty(), || format!("{at}: all messages must have non-empty content"))?;
        images += if role == "user" {
            user(blocks, &mut calls, &at)?
        } else {
            assistant(blocks, &mut calls, &at).map(|()| 0)?
        };
    }
    // Newer models: "This model does not support assistant message prefill. The conversation must end with a user message."
    demand(messages.len() % 2 == 1, || "messages: the last is the assistant's".to_owned())?;
    demand(images <= images::MOST_IMAGES, || format!("{images} images"))?;
    newest_loop_thinks(body, messages)?;
    marks(body)
}

fn options(body: &Value) -> Verdict {
    let most = look::part(body, "max_tokens").as_u64().unwrap_or_default();
    demand(most > 0, || "max_tokens: required".to_owned())?;
    if !thinks(body) {
        return Ok(());
    }
    let budget = look::part(look::part(body, "thinking"), "budget_tokens").as_u64().unwrap_or_default();
    demand(budget >= LEAST_THINKING && budget < most, || {
        format!("thinking: a budget of {budget} of {most} tokens")
    })?;
    // "`temperature` may only be set to 1 when thinking is enabled", and no `top_k`.
    let is_plain = body.get("temperature").is_none_or(|wanted| wanted.as_f64() == Some(1.0));
    demand(is_plain && body.get("top_k").is_none(), || "thinking: with a temperature or top_k".to_owned())
}

/// Adaptive thinking wants nothing of the history.
fn thinks(body: &Value) -> bool {
    text(look::part(body, "thinking"), "type") == "enabled"
}

/// How many images it holds.
fn user(blocks: &[Value], calls: &mut Calls<'_>, at: &str) -> Result<usize, String> {
    let mut images = 0;
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        let kind = text(block, "type");
        if kind == "tool_result" {
            calls.result(text(block, "tool_use_id"), &at)?;
            images += result(block, &at)?;
            continue;
        }
        // "`tool_use` ids were found without `tool_result` blocks immediately after": results come first.
        calls.none_is_open(&at)?;
        images += part(block, &at)?;
    }
    calls.none_is_open(at)?;
    Ok(images)
}

fn result(block: &Value, at: &str) -> Result<usize, String> {
    match block.get("content") {
        None => Ok(0),
        Some(Value::String(text)) => not_blank(text, at).map(|()| 0),
        Some(Value::Array(parts)) => {
            parts.iter().enumerate().map(|(index, part)| self::part(part, &format!("{at}[{index}]"))).sum()
        }
        Some(_) => Err(format!("{at}: content that is neither text nor a list")),
    }
}

/// Text or image; answers how many images.
fn part(block: &Value, at: &str) -> Result<usize, String> {
    match text(block, "type") {
        "text" => not_blank(text(block, "text"), at).map(|()| 0),
        "image" => images::source(look::part(block, "source"), at).map(|()| 1),
        other => Err(format!("{at}: a block of the kind {other:?}")),
    }
}

fn assistant<'a>(blocks: &'a [Value], calls: &mut Calls<'a>, at: &str) -> Verdict {
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        match text(block, "type") {
            // Also between calls: an answer is taken back as it came.
            "text" => not_blank(text(block, "text"), &at)?,
            "tool_use" => {
                calls.call(text(block, "id"), text(block, "name"), &at)?;
                demand(look::part(block, "input").is_object(), || {
                    format!("{at}: input: Input should be an object")
                })?;
                calls::levels(look::part(block, "input"), &at)?;
            }
            "thinking" => {
                demand(!text(block, "signature").is_empty(), || format!("{at}: thinking without signature"))?;
                demand(look::part(block, "thinking").is_string(), || {
                    format!("{at}: thinking without its text")
                })?;
            }
            "redacted_thinking" => {
                demand(!text(block, "data").is_empty(), || format!("{at}: redacted thinking without data"))?;
            }
            other => return Err(format!("{at}: a block of the kind {other:?}")),
        }
    }
    // "The final block in an assistant message cannot be `thinking`."
    let last = blocks.last().map(|block| text(block, "type")).unwrap_or_default();
    demand(!last.ends_with("thinking"), || format!("{at}: ends with thinking"))
}

/// "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of
/// `tool_use` and `tool_result` blocks)": of the round that is under way.
fn newest_loop_thinks(body: &Value, messages: &[Value]) -> Verdict {
    let Some([answer, results]) = messages.last_chunk::<2>().filter(|_| thinks(body)) else { return Ok(()) };
    let is_under_way = list(results, "content").iter().any(|block| text(block, "type") == "tool_result");
    let first = list(answer, "content").first().map(|block| text(block, "type")).unwrap_or_default();
    demand(!is_under_way || first.ends_with("thinking"), || {
        format!("messages: expected `thinking` or `redacted_thinking`, but found `{first}`")
    })
}

fn marks(body: &Value) -> Verdict {
    let messages = list(body, "messages").iter().flat_map(|message| list(message, "content"));
    let nested = messages.clone().flat_map(|block| list(block, "content"));
    let all = list(body, "tools").iter().chain(list(body, "system")).chain(messages).chain(nested);
    let marked: Vec<&Value> = all.filter(|block| block.get("cache_control").is_some()).collect();
    demand(marked.len() <= MOST_MARKS, || format!("{} blocks with cache_control", marked.len()))?;
    let on_thinking = marked.iter().any(|block| text(block, "type").ends_with("thinking"));
    demand(!on_thinking, || "cache_control: not on thinking".to_owned())
}
