//! Whatever stands in a conversation's log, the request that is made of it is one that every provider of its dialect takes.

use manyhands_llm::{Client, Direct};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use strict::Dialect;
use types::agent::LlmConfig;
use types::content::{Content, Message, Role, ToolCall};
use types::model::ModelRequest;

use super::fake::{FakeModel, SESSION, Turn, tool};

/// One for each way of writing: plain chat, text instead of lists, ids of nine letters, marks for a cache, other dialects.
const MODELS: [&str; 7] = [
    "openai/gpt-4o",
    "deepseek/deepseek-chat",
    "mistral/mistral-large-latest",
    "openrouter/anthropic/claude-sonnet-4.5",
    "openai/gpt-5-codex",
    "anthropic/claude-sonnet-4-5-20250929",
    "anthropic/claude-3-5-haiku-20241022",
];

const TEXTS: [&str; 4] = ["", " \n", "hello", "é\u{0}"];
const IDS: [&str; 4] = ["call_1", "functions.terminal:0", "call_1", ""];
const ARGUMENTS: [&str; 5] = ["{\"command\":\"ls\"}", "{", "[]", "", "deep"];
const NAMES: [&str; 4] = ["terminal", "no such tool!", "", "7zip"];
const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

fn of<T: Copy>(all: &[T], drawn: u8) -> T {
    all[usize::from(drawn) % all.len()]
}

fn content(drawn: u8) -> Vec<Content> {
    let text = Content::text(of(&TEXTS, drawn));
    let image = Content::Image { cache_prompt: false, image_urls: vec![PNG.to_owned()] };
    match drawn / 4 % 4 {
        0 => vec![],
        1 => vec![text],
        2 => vec![image],
        _ => vec![Content::text(of(&TEXTS, drawn.wrapping_add(1))), text, image],
    }
}

/// A message of any kind, from three drawn numbers.
fn message((kind, said, other): (u8, u8, u8)) -> Message {
    let message = Message { content: content(said), ..Message::default() };
    match kind % 5 {
        0 => Message { role: Role::User, ..message },
        1 => Message { role: Role::System, ..message },
        2 => Message { role: Role::Tool, tool_call_id: Some(of(&IDS, other).to_owned()), ..message },
        _ => {
            let call = |number: u8| ToolCall {
                id: of(&IDS, other.wrapping_add(number)).to_owned(),
                name: of(&NAMES, said.wrapping_add(number)).to_owned(),
                arguments: match of(&ARGUMENTS, other.wrapping_add(number)) {
                    "deep" => format!("{}{}", "{\"a\":".repeat(90) + "1", "}".repeat(90)),
                    arguments => arguments.to_owned(),
                },
                origin: "completion".to_owned(),
            };
            let signature = if said % 3 == 0 { "" } else { "s" };
            let thinking = json!({"type": "thinking", "thinking": "hm", "signature": signature});
            let texts = message.content.into_iter().filter(|piece| piece.as_text().is_some());
            Message {
                role: Role::Assistant,
                content: texts.collect(),
                tool_calls: (0..other / 4 % 4).map(call).collect(),
                thinking_blocks: if kind % 2 == 0 { vec![thinking] } else { vec![] },
                ..Message::default()
            }
        }
    }
}

/// What is asked of the model, and how it is written.
async fn asked(model: &str, messages: Vec<Message>) -> (Dialect, Value) {
    let fake = FakeModel::start([Turn::json(401, &json!({"error": "enough"}))]).await;
    let llm = LlmConfig {
        api_mode: if model.ends_with("codex") { "responses" } else { "auto" }.to_owned(),
        extended_thinking_budget: Some(2048),
        reasoning_effort: Some("high".to_owned()),
        ..fake.llm(model)
    };
    let request = ModelRequest::new(messages, vec![tool()]);
    let refused = Client::new(Arc::new(Direct::default())).complete(&llm, SESSION, &request, None).await;
    assert!(refused.is_err());
    let asked = fake.asked().remove(0);
    let dialect = match asked.path.as_str() {
        "/v1/messages" => Dialect::Anthropic,
        "/v1/responses" => Dialect::Responses,
        "/v1/chat/completions" => Dialect::Chat,
        other => panic!("{other}"),
    };
    (dialect, asked.body)
}

#[tokio::test]
async fn the_models_tried_speak_every_dialect() {
    let mut spoken = Vec::new();
    for model in MODELS {
        let (dialect, body) = asked(model, vec![Message::new(Role::User, "go")]).await;
        assert_eq!(strict::check(dialect, &body), Ok(()), "{model}");
        spoken.push(dialect);
    }
    for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Anthropic] {
        assert!(spoken.contains(&dialect), "{dialect:?}");
    }
}

proptest! {
    #[test]
    fn what_is_made_of_any_history_is_taken_by_the_strictest_provider(
        drawn in vec(any::<(u8, u8, u8)>(), 0..14),
        model in 0..MODELS.len(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let messages: Vec<Message> = drawn.into_iter().map(message).collect();
        let (dialect, body) = runtime.block_on(asked(MODELS[model], messages));
        prop_assert_eq!(strict::check(dialect, &body), Ok(()), "{}: {}", MODELS[model], body);
    }
}
