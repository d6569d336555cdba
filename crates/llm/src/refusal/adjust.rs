//! A request as a server takes it that has refused it otherwise.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schemas;

/// What is changed in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Adjustment {
    /// This key is left out, of the body, its messages and its tools.
    Without(&'static str),
    /// The limit of the output goes by this name.
    LimitAs(&'static str),
    OutputAtMost(u64),
    /// The same, of one prompt.
    OutputBeside(u64),
    /// Content is one text and no list.
    TextContent,
    /// Schemas of tools as simple as everybody takes them.
    PlainSchemas,
    /// Tools are told of in words, and so are their calls: the request is written anew.
    ToolsInWords,
    /// What the system says, the user says first.
    NoSystem,
    /// Images become words: the model sees none.
    NoImages,
    /// The newest stay.
    ImagesAtMost(u64),
    /// The same as without any, of one request.
    NoSuchImages,
    /// One request goes without thinking, and without the thoughts that came before.
    NoThinking,
}

pub(crate) type Adjustments = BTreeSet<Adjustment>;

const LIMITS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
/// What stands where an image cannot go.
const NO_IMAGE: &str = "[An image was left out: the model server does not take it.]";
/// Keys below which everything is the model's or the user's own.
const FOREIGN: [&str; 5] = ["input", "arguments", "parameters", "input_schema", "text"];

/// The body with all of this.
pub(crate) fn adjusted(body: Vec<u8>, adjustments: &Adjustments) -> Vec<u8> {
    if adjustments.is_empty() {
        return body;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&body) else { return body };
    for adjustment in adjustments {
        adjustment.apply(&mut fields);
    }
    // Such a value always serializes.
    serde_json::to_vec(&Value::Object(fields)).unwrap_or(body)
}

impl Adjustment {
    /// Whether it is about the server, and not about one request.
    pub(crate) fn is_lasting(self) -> bool {
        !matches!(self, Self::OutputBeside(_) | Self::NoSuchImages | Self::NoThinking)
    }

    /// Whether it changes anything of a body.
    pub(super) fn changes(self, body: &Value) -> bool {
        let mut changed = body.clone();
        changed.as_object_mut().into_iter().for_each(|fields| self.apply(fields));
        changed != *body
    }

    fn apply(self, body: &mut Map<String, Value>) {
        match self {
            Self::Without("stream") => {
                body.shift_remove("stream");
                body.shift_remove("stream_options");
            }
            Self::Without(key) => {
                body.shift_remove(key);
                for list in ["messages", "input", "tools", "system"] {
                    body.get_mut(list).into_iter().for_each(|list| strip(list, key, 0));
                }
            }
            Self::LimitAs(name) => {
                let limit = LIMITS.iter().find_map(|other| body.shift_remove(*other));
                limit.into_iter().for_each(|limit| drop(body.insert(name.to_owned(), limit)));
            }
            Self::OutputAtMost(most) | Self::OutputBeside(most) => {
                for name in LIMITS {
                    let limit =
                        body.get_mut(name).filter(|limit| limit.as_u64().is_some_and(|limit| limit > most));
                    limit.into_iter().for_each(|limit| *limit = most.into());
                }
            }
            Self::TextContent => messages(body).for_each(|message| {
                message.get_mut("content").into_iter().for_each(as_text);
            }),
            Self::PlainSchemas => schemas::plain(body),
            Self::ToolsInWords => drop(body.shift_remove("tools")),
            Self::NoSystem => without_system(body),
            Self::NoThinking => {
                body.shift_remove("thinking");
                messages(body).for_each(|message| {
                    message.get_mut("content").into_iter().for_each(without_thoughts);
                });
            }
            Self::NoImages | Self::NoSuchImages => without_images(body, usize::MAX),
            Self::ImagesAtMost(most) => {
                let all = images(body, usize::MAX, |_| {});
                without_images(body, all.saturating_sub(usize::try_from(most).unwrap_or(usize::MAX)));
            }
        }
    }
}

fn messages(body: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    body.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten()
}

/// The name of a tool and of a call stays whatever is refused: only messages have one to spare.
fn strip(value: &mut Value, key: &str, depth: u8) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, key, depth + 1)),
        Value::Object(fields) if depth < 6 => {
            let is_named = key == "name" && fields.get("role").is_none_or(|role| role != "tool");
            if !is_named {
                fields.shift_remove(key);
            }
            let inner = fields.iter_mut().filter(|(name, _)| !FOREIGN.contains(&name.as_str()));
            inner.for_each(|(_, inner)| strip(inner, key, depth + 1));
        }
        _ => {}
    }
}

/// Texts joined; what is no text stays a list.
fn as_text(content: &mut Value) {
    let Some(blocks) = content.as_array() else { return };
    let texts: Option<Vec<&str>> = blocks.iter().map(|block| block.get("text")?.as_str()).collect();
    if let Some(texts) = texts {
        *content = texts.join("\n").into();
    }
}

fn without_thoughts(content: &mut Value) {
    let Some(blocks) = content.as_array_mut() else { return };
    let is_thought = |block: &Value| {
        block.get("type").is_some_and(|kind| kind == "thinking" || kind == "redacted_thinking")
    };
    // A message that holds nothing else keeps them: none may be empty.
    if !blocks.iter().all(is_thought) {
        blocks.retain(|block| !is_thought(block));
    }
}

fn without_system(body: &mut Map<String, Value>) {
    let Some(all) = body.get_mut("messages").and_then(Value::as_array_mut) else { return };
    let is_system = |message: &Value| message.get("role").is_some_and(|role| role == "system");
    let mut said = Vec::new();
    for message in all.iter_mut().filter(|message| is_system(message)) {
        let mut content = message.get("content").cloned().unwrap_or_default();
        as_text(&mut content);
        said.extend(content.as_str().map(str::to_owned));
    }
    all.retain(|message| !is_system(message));
    let said = said.join("\n\n");
    let first = all.iter_mut().find(|message| message.get("role").is_some_and(|role| role == "user"));
    match first.and_then(|message| message.get_mut("content")) {
        Some(Value::String(text)) => *text = [said.as_str(), text.as_str()].join("\n\n"),
        Some(Value::Array(blocks)) => blocks.insert(0, serde_json::json!({"type": "text", "text": said})),
        _ => all.insert(0, serde_json::json!({"role": "user", "content": said})),
    }
}

/// The oldest of so many.
fn without_images(body: &mut Map<String, Value>, most: usize) {
    images(body, most, |fields| {
        let is_item = fields.get("type").is_some_and(|kind| kind == "input_image");
        let text = if is_item { "input_text" } else { "text" };
        // A mark of the cache stays where it is: it says how far the prefix goes.
        let mark = fields.shift_remove("cache_control");
        *fields = Map::from_iter([("type".to_owned(), text.into()), ("text".to_owned(), NO_IMAGE.into())]);
        mark.into_iter().for_each(|mark| drop(fields.insert("cache_control".to_owned(), mark)));
    });
}

/// Shows the images to `visit`, the oldest first and no more than `most`, and says how many these are.
fn images(
    body: &mut Map<String, Value>,
    most: usize,
    mut visit: impl FnMut(&mut Map<String, Value>),
) -> usize {
    let mut left = most;
    for list in ["messages", "input"] {
        body.get_mut(list).into_iter().for_each(|list| visit_images(list, 0, &mut left, &mut visit));
    }
    most - left
}

fn visit_images(
    value: &mut Value,
    depth: u8,
    left: &mut usize,
    visit: &mut impl FnMut(&mut Map<String, Value>),
) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| visit_images(item, depth + 1, left, visit)),
        Value::Object(fields) if depth < 6 => {
            let kind = fields.get("type").and_then(Value::as_str);
            if matches!(kind, Some("image" | "image_url" | "input_image")) {
                if *left > 0 {
                    *left -= 1;
                    visit(fields);
                }
                return;
            }
            let inner = fields.iter_mut().filter(|(name, _)| !FOREIGN.contains(&name.as_str()));
            inner.for_each(|(_, inner)| visit_images(inner, depth + 1, left, visit));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(body: &Value, adjustments: &[Adjustment]) -> Value {
        let bytes = adjusted(body.to_string().into_bytes(), &adjustments.iter().copied().collect());
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_key_goes_from_where_it_is_optional_and_stays_where_it_is_somebodys_own() {
        let tool = json!({"type": "function", "function": {"name": "t", "parameters": {"properties": {"name": {}, "strict": {}}}, "strict": true}});
        let call = json!({"id": "1", "function": {"name": "t", "arguments": "{\"name\": 1}"}});
        let sent = json!({
            "messages": [{"role": "assistant", "tool_calls": [call], "reasoning_content": "hm"}, {"role": "tool", "name": "t"}],
            "tools": [tool], "reasoning_effort": "high", "stream": true, "stream_options": {},
        });
        let got = body(
            &sent,
            &[
                Adjustment::Without("name"),
                Adjustment::Without("strict"),
                Adjustment::Without("reasoning_content"),
                Adjustment::Without("reasoning_effort"),
                Adjustment::Without("stream"),
            ],
        );
        let tool = json!({"type": "function", "function": {"name": "t", "parameters": {"properties": {"name": {}, "strict": {}}}}});
        assert_eq!(
            got,
            json!({"messages": [{"role": "assistant", "tool_calls": [call]}, {"role": "tool"}], "tools": [tool]})
        );
    }

    #[test]
    fn limits_change_their_name_and_size() {
        let sent = json!({"max_tokens": 100});
        assert_eq!(
            body(&sent, &[Adjustment::LimitAs("max_completion_tokens"), Adjustment::OutputAtMost(50)]),
            json!({"max_completion_tokens": 50})
        );
        assert_eq!(body(&sent, &[Adjustment::OutputAtMost(500)]), sent);
    }

    #[test]
    fn a_request_goes_without_thinking_where_its_thoughts_are_refused() {
        let call = json!({"type": "tool_use", "id": "1", "name": "t", "input": {}});
        let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
        let sent = json!({"thinking": {"type": "enabled"}, "messages": [{"role": "assistant", "content": [thought, call]}]});
        let got = json!({"messages": [{"role": "assistant", "content": [call]}]});
        assert_eq!(body(&sent, &[Adjustment::NoThinking]), got);
    }

    #[test]
    fn the_newest_images_stay() {
        let image = |name: &str| json!({"type": "image_url", "image_url": {"url": name}});
        let words = json!({"type": "text", "text": NO_IMAGE});
        let sent = json!({"messages": [
            {"role": "user", "content": [image("a"), image("b")]},
            {"role": "user", "content": [image("c")]},
        ]});
        assert_eq!(
            body(&sent, &[Adjustment::ImagesAtMost(2)])["messages"],
            json!([{"role": "user", "content": [words, image("b")]}, {"role": "user", "content": [image("c")]}])
        );
        assert_eq!(body(&sent, &[Adjustment::ImagesAtMost(3)]), sent);
    }

    #[test]
    fn messages_take_the_form_that_a_server_takes() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let image = json!({"type": "image_url", "image_url": {"url": "data:"}});
        let sent = json!({"messages": [
            {"role": "system", "content": [text("Be good."), text("Be brief.")]},
            {"role": "user", "content": [text("Hi."), image]},
        ]});
        assert_eq!(
            body(&sent, &[Adjustment::TextContent])["messages"],
            json!([{"role": "system", "content": "Be good.\nBe brief."}, {"role": "user", "content": [text("Hi."), image]}])
        );
        assert_eq!(
            body(&sent, &[Adjustment::NoSystem, Adjustment::NoImages])["messages"],
            json!([{"role": "user", "content": [text("Be good.\nBe brief."), text("Hi."), text(NO_IMAGE)]}])
        );
        let string =
            json!({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]});
        assert_eq!(
            body(&string, &[Adjustment::NoSystem])["messages"],
            json!([{"role": "user", "content": "a\n\nb"}])
        );
    }
}
