//! The request bodies, compared with those the peer sent in the same situation. Where ours differ on
//! purpose, the case says so in `why`.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use types::agent::LlmConfig;
use types::content::{Message, Role, ToolCall};
use types::model::{ModelRequest, ToolSchema};

use super::fake::{FakeModel, Heard, SESSION, Turn, client, user};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    /// Fields of the model's configuration besides defaults and base URL.
    llm: Map<String, Value>,
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<ToolSchema>,
    body: Value,
}

/// A history that another model wrote, and a message that holds nothing, as each dialect sends them.
#[tokio::test]
async fn any_history_is_written_so_that_every_dialect_takes_it() {
    let long = "x".repeat(100);
    let wild = [
        ("functions.terminal:0", "functions.terminal", "{\"a\""),
        ("a|b", "a b", ""),
        ("a|b", "", "[1]"),
        ("call_0_chatcmpl-0123456789abcdef0123456789abcdef", &long, "{}"),
    ];
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        origin: "completion".into(),
    };
    let mut messages = vec![user("go"), Message { role: Role::User, ..Message::default() }];
    for (id, name, arguments) in wild {
        let tool_calls = vec![call(id, name, arguments)];
        messages.push(Message { role: Role::Assistant, tool_calls, ..Message::default() });
        let (tool_call_id, name) = (Some(id.into()), Some(name.into()));
        messages.push(Message { tool_call_id, name, ..Message::new(Role::Tool, "done") });
        messages.push(Message { role: Role::User, ..Message::default() });
    }
    let request =
        ModelRequest { messages: messages.into_iter().map(Arc::new).collect(), tools: Arc::new([]) };
    for (model, api_mode, pointers) in [
        ("openai/x", "auto", ["/tool_calls/0/id", "/tool_call_id"]),
        ("mistral/mistral-large", "auto", ["/tool_calls/0/id", "/tool_call_id"]),
        ("openai/gpt-5-codex", "responses", ["/call_id", "/call_id"]),
        ("anthropic/claude-sonnet-4-5", "auto", ["/content/0/id", "/content/0/tool_use_id"]),
    ] {
        let fake = FakeModel::start([Turn::json(400, &Value::Null)]).await;
        let llm = LlmConfig { api_mode: api_mode.to_owned(), ..fake.llm(model) };
        assert!(client().complete(&llm, SESSION, &request, None).await.is_err());
        let body = fake.asked()[0].body.clone();
        let turns = body.get("messages").or(body.get("input")).and_then(Value::as_array).unwrap();
        let empty =
            |turn: &&Value| turn["content"].as_array().is_some_and(Vec::is_empty) || turn["content"] == "";
        assert_eq!(turns.iter().find(empty), None, "{model}: {body}");
        let mut ids = Vec::new();
        for pair in turns[1..].chunks(2) {
            let [asked, answered] = [0, 1].map(|at| pair[at].pointer(pointers[at]).and_then(Value::as_str));
            assert_eq!(asked, answered, "{model}: {body}");
            let id = asked.unwrap();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            assert!(!id.is_empty() && id.len() <= 40 && id.chars().all(plain), "{model}: {id}");
            let asks = pair[0]
                .pointer("/tool_calls/0/function")
                .or(pair[0].pointer("/content/0"))
                .unwrap_or(&pair[0]);
            for name in [&asks["name"], &pair[1]["name"]].into_iter().filter_map(Value::as_str) {
                assert!(!name.is_empty() && name.len() <= 64 && name.chars().all(plain), "{model}: {name}");
            }
            let arguments = match &asks["arguments"] {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                _ => asks["input"].clone(),
            };
            assert!(arguments.is_object() && asks["name"].is_string(), "{model}: {asks}");
            assert!(!model.starts_with("mistral") || id.len() == 9, "{model}: {id}");
            ids.push(id.to_owned());
        }
        assert_eq!(ids.len(), wild.len(), "{model}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), wild.len(), "{model}: {ids:?}");
    }
}

#[tokio::test]
async fn bodies_are_those_the_peer_sends() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/bodies.json")).unwrap();
    assert!(cases.len() > 15);
    for case in cases {
        let fake = FakeModel::start([Turn::json(400, &Value::Null)]).await;
        let mut llm = serde_json::to_value(fake.llm("")).unwrap();
        llm.as_object_mut().unwrap().extend(case.llm);
        let llm: LlmConfig = serde_json::from_value(llm).unwrap();
        let messages = case.messages.into_iter().map(Arc::new).collect();
        let request = ModelRequest { messages, tools: case.tools.into() };
        let refused = client().complete(&llm, SESSION, &request, Some(&Heard::default())).await;
        assert!(refused.is_err());
        assert_eq!(fake.asked()[0].body, case.body, "{}", case.name);
    }
}
