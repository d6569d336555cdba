//! The shape all dialects build on: system text first, then turns, every tool call with its result.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use types::content::{Content, Message, Part, Role, ToolCall};

use crate::call_ids::{CallIds, Form};
use crate::written::{Arguments, tool_name};

/// Most characters of one text block of a tool result.
const TOOL_TEXT_LIMIT: usize = 50_000;
const CUT_NOTICE: &str = "\n[… the middle of this output was left out, it is too long …]\n";
const LOST_RESULT: &str = "No result of this call is known.";

/// The user begins everywhere, also where that was forgotten.
static BEGINNING: LazyLock<Content> = LazyLock::new(|| Content::text("(What came before is left out.)"));
/// Nobody takes an answer that follows another one, or that is to be gone on with.
static GO_ON: LazyLock<Content> = LazyLock::new(|| Content::text("Go on."));

pub(crate) struct History<'a> {
    pub system: Vec<&'a str>,
    pub turns: Vec<Turn<'a>>,
}

pub(crate) enum Turn<'a> {
    /// One or more neighbouring user messages.
    User(Vec<&'a Content>),
    /// An answer, and the results of its calls in the order of the calls.
    Assistant { message: &'a Message, results: Vec<ToolResult<'a>> },
}

pub(crate) struct ToolResult<'a> {
    /// The call's id in this request.
    pub id: Cow<'a, str>,
    /// The name of its tool, as every model takes it.
    pub name: Cow<'a, str>,
    pub arguments: Arguments<'a>,
    /// Texts are cut to what a provider takes.
    pub texts: Vec<Cow<'a, str>>,
    pub image_urls: Vec<&'a str>,
}

/// Brings messages into a shape that every provider takes. Results move up to their call; a call without one gets a note, because
/// providers refuse unanswered calls; a result without a call is dropped for the same reason, and what holds nothing. User and
/// model take turns, and the user has the first and the last word.
pub(crate) fn shape(messages: &[Arc<Message>], form: Form) -> History<'_> {
    let mut results = results_by_call(messages);
    let mut ids = CallIds::new(form);
    let mut history = History { system: Vec::new(), turns: Vec::new() };
    for (place, message) in messages.iter().enumerate() {
        let message = message.as_ref();
        match message.role {
            Role::System => history.system.extend(texts(message)),
            Role::User => push_user(&mut history.turns, message),
            Role::Assistant => {
                let results = message
                    .tool_calls
                    .iter()
                    .map(|call| result_of(call, ids.next(&call.id), place, &mut results))
                    .collect();
                history.answer(message, results);
            }
            Role::Tool => {}
        }
    }
    history.let_the_user_speak();
    history
}

/// What the message says; blank text is refused.
pub(crate) fn texts(message: &Message) -> impl Iterator<Item = &str> {
    message.content.iter().filter_map(Content::as_text).filter(|text| !text.trim().is_empty())
}

impl<'a> History<'a> {
    fn answer(&mut self, message: &'a Message, results: Vec<ToolResult<'a>>) {
        if results.is_empty() && texts(message).next().is_none() {
            return;
        }
        self.let_the_user_speak();
        self.turns.push(Turn::Assistant { message, results });
    }

    /// So that the model's turn is next. After a call it is.
    fn let_the_user_speak(&mut self) {
        match self.turns.last() {
            None => self.turns.push(Turn::User(vec![&BEGINNING])),
            Some(Turn::Assistant { results, .. }) if results.is_empty() => {
                self.turns.push(Turn::User(vec![&GO_ON]));
            }
            Some(_) => {}
        }
    }

    /// Whether the calls that are under way, if there are any, began with thinking: else it cannot be asked for now.
    pub fn may_think(&self) -> bool {
        let newest = self.turns.iter().rev().find_map(|turn| match turn {
            Turn::Assistant { message, results } => Some((message, results)),
            Turn::User(_) => None,
        });
        newest.is_none_or(|(message, results)| {
            let first = match message.order.first() {
                None => message.thinking_blocks.iter().find(|block| is_signed(block)),
                Some(Part::Thinking(at)) => message.thinking_blocks.get(*at).filter(|block| is_signed(block)),
                Some(Part::Text(_) | Part::Call(_)) => None,
            };
            results.is_empty() || first.is_some()
        })
    }
}

/// Whether it is a thought that Claude knows again as its own: it refuses a history with any other.
pub(crate) fn is_signed(thought: &Value) -> bool {
    let has = |key: &str| thought.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    match thought.get("type").and_then(Value::as_str) {
        Some("thinking") => has("signature") && thought.get("thinking").is_some_and(Value::is_string),
        Some("redacted_thinking") => has("data"),
        _ => false,
    }
}

type Results<'a> = HashMap<&'a str, VecDeque<(usize, &'a Message)>>;

fn results_by_call(messages: &[Arc<Message>]) -> Results<'_> {
    let mut results = Results::new();
    for (place, message) in messages.iter().enumerate() {
        if let (Role::Tool, Some(id)) = (message.role, message.tool_call_id.as_deref()) {
            results.entry(id).or_default().push_back((place, message.as_ref()));
        }
    }
    results
}

fn push_user<'a>(turns: &mut Vec<Turn<'a>>, message: &'a Message) {
    let mut said = message.content.iter().filter(|piece| !is_blank(piece)).peekable();
    if said.peek().is_none() {
        return;
    }
    if let Some(Turn::User(content)) = turns.last_mut() {
        content.extend(said);
    } else {
        turns.push(Turn::User(said.collect()));
    }
}

fn is_blank(piece: &Content) -> bool {
    match piece {
        Content::Text { text, .. } => text.trim().is_empty(),
        Content::Image { image_urls, .. } => image_urls.is_empty(),
    }
}

/// The first result after the call that no earlier call with the same id took.
fn result_of<'a>(
    call: &'a ToolCall,
    id: Cow<'a, str>,
    place: usize,
    results: &mut Results<'a>,
) -> ToolResult<'a> {
    let mut found = None;
    if let Some(waiting) = results.get_mut(call.id.as_str()) {
        waiting.retain(|(at, _)| *at > place);
        found = waiting.pop_front();
    }
    let (name, arguments) = (tool_name(&call.name), Arguments::of(&call.arguments));
    let (texts, image_urls) = match found {
        Some((_, message)) => {
            (texts(message).map(cut).collect(), message.content.iter().flat_map(image_urls).collect())
        }
        None => (vec![Cow::Borrowed(LOST_RESULT)], Vec::new()),
    };
    ToolResult { id, name, arguments, texts, image_urls }
}

pub(crate) fn image_urls(content: &Content) -> impl Iterator<Item = &str> {
    let urls = match content {
        Content::Image { image_urls, .. } => image_urls.as_slice(),
        Content::Text { .. } => &[],
    };
    urls.iter().map(String::as_str)
}

/// Keeps both ends of a text that is too long.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TOOL_TEXT_LIMIT || text.chars().count() <= TOOL_TEXT_LIMIT {
        return Cow::Borrowed(text);
    }
    let kept = TOOL_TEXT_LIMIT - CUT_NOTICE.chars().count();
    let head = kept.div_ceil(2);
    let head_end = text.char_indices().nth(head).map_or(text.len(), |(at, _)| at);
    let tail_start = text.char_indices().nth_back(kept - head - 1).map_or(0, |(at, _)| at);
    let (head, tail) = (text.get(..head_end).unwrap_or_default(), text.get(tail_start..).unwrap_or_default());
    Cow::Owned([head, CUT_NOTICE, tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "t".into(), arguments: "{}".into(), origin: "completion".into() }
    }

    fn asks(ids: &[&str]) -> Message {
        Message {
            role: Role::Assistant,
            tool_calls: ids.iter().map(|id| call(id)).collect(),
            ..Message::default()
        }
    }

    fn result(id: &str, text: &str) -> Message {
        Message { tool_call_id: Some(id.into()), ..Message::new(Role::Tool, text) }
    }

    /// Role letters, and for each answer the texts of its results; in brackets what nobody has said.
    fn outline(messages: &[Message]) -> Vec<String> {
        let messages: Vec<_> = messages.iter().cloned().map(Arc::new).collect();
        let turns = shape(&messages, Form::Usual).turns;
        let text = |turn: &Turn<'_>| match turn {
            Turn::User(content) if std::ptr::eq(content[0], &*BEGINNING) => "(begins)".to_owned(),
            Turn::User(content) if std::ptr::eq(content[0], &*GO_ON) => "(goes on)".to_owned(),
            Turn::User(content) => format!("u{}", content.len()),
            Turn::Assistant { results, .. } => {
                format!("a {}", results.iter().map(|r| r.texts.join("|")).collect::<Vec<_>>().join(","))
            }
        };
        turns.iter().map(text).collect()
    }

    #[test]
    fn results_follow_the_order_of_the_calls() {
        let messages = [asks(&["1", "2"]), result("2", "two"), result("1", "one")];
        assert_eq!(outline(&messages), ["(begins)", "a one,two"]);
    }

    #[test]
    fn a_message_between_call_and_result_comes_after_the_result() {
        let messages = [asks(&["1"]), Message::new(Role::User, "wait"), result("1", "one")];
        assert_eq!(outline(&messages), ["(begins)", "a one", "u1"]);
    }

    #[test]
    fn a_call_without_result_gets_a_note_and_a_stray_result_is_dropped() {
        let lost = format!("a {LOST_RESULT}");
        assert_eq!(outline(&[asks(&["1"]), result("9", "x")]), ["(begins)", &lost]);
    }

    #[test]
    fn an_id_used_twice_pairs_in_order() {
        let messages = [asks(&["1"]), result("1", "a"), asks(&["1"]), result("1", "b")];
        assert_eq!(outline(&messages), ["(begins)", "a a", "a b"]);
    }

    #[test]
    fn a_message_of_the_user_that_holds_nothing_is_left_out() {
        let empty = Message { role: Role::User, ..Message::default() };
        let image = Content::Image { cache_prompt: false, image_urls: Vec::new() };
        let blank = Message { content: vec![Content::text(""), image], ..empty.clone() };
        assert_eq!(outline(&[empty.clone(), blank.clone()]), ["(begins)"]);
        assert_eq!(outline(&[Message::new(Role::User, "a"), empty, asks(&[]), blank]), ["u1"]);
    }

    #[test]
    fn user_and_model_take_turns_and_the_user_has_the_last_word() {
        let said = || Message::new(Role::Assistant, "said");
        assert_eq!(outline(&[said(), said()]), ["(begins)", "a ", "(goes on)", "a ", "(goes on)"]);
        assert_eq!(
            outline(&[said(), asks(&["1"]), said(), Message::new(Role::User, "a")])[3..],
            ["a No result of this call is known.", "a ", "u1"]
        );
    }

    #[test]
    fn neighbouring_user_messages_become_one_turn() {
        let messages = [Message::new(Role::User, "a"), Message::new(Role::User, "b")];
        assert_eq!(outline(&messages), ["u2"]);
    }

    #[test]
    fn a_long_text_keeps_both_ends_and_the_limit() {
        let text = format!("{}ä{}", "a".repeat(40_000), "z".repeat(40_000));
        let short = cut(&text);
        assert_eq!(short.chars().count(), TOOL_TEXT_LIMIT);
        assert!(short.starts_with("aaa") && short.ends_with("zzz") && short.contains(CUT_NOTICE));
        assert_eq!(cut("short"), "short");
        let wide = "é".repeat(TOOL_TEXT_LIMIT);
        assert_eq!(cut(&wide), wide);
    }
}
