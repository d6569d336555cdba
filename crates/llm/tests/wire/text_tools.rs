//! Models and servers that have no form for calls of tools.

use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::{Message, joined_text};
use types::model::ModelRequest;

use super::fake::{
    FakeModel, Heard, SESSION, Turn, ask, ask_streamed, calls, chat, client, messages, result, tool, user,
};

const CHAT: &str = "openai/my-model";

fn said() -> Value {
    chat(json!({"content": "I look.\n\n<function=terminal>\n<parameter=command>ls\n"}))
}

fn called(message: &Message) -> (String, Vec<(&str, &str)>) {
    let calls = message.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str()));
    (joined_text(&message.content), calls.collect())
}

fn expected() -> (String, Vec<(&'static str, &'static str)>) {
    ("I look.".to_owned(), vec![("terminal", "{\"command\":\"ls\"}")])
}

fn history() -> Vec<Message> {
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let first = Message { thinking_blocks: vec![thought], ..calls(&["1", "2"]) };
    vec![user("go"), first, result("1", "one"), result("2", ""), user("go on")]
}

#[tokio::test]
async fn calls_are_words_in_every_dialect_where_the_user_wants_it_so() {
    let anthropic = messages(json!([{"type": "text", "text": said()["choices"][0]["message"]["content"]}]));
    let content = json!([{"type": "output_text", "text": said()["choices"][0]["message"]["content"]}]);
    let responses = json!({"output": [{"type": "message", "content": content}]});
    for (dialect, model, api_mode, answer, stop) in [
        (strict::Dialect::Chat, CHAT, "auto", said(), Some("stop")),
        (strict::Dialect::Chat, "openai/o3", "chat", said(), None),
        (
            strict::Dialect::Anthropic,
            "anthropic/claude-sonnet-4-5",
            "auto",
            anthropic,
            Some("stop_sequences"),
        ),
        (strict::Dialect::Responses, CHAT, "responses", responses, None),
    ] {
        let fake = FakeModel::start([Turn::ok(&answer)]).await;
        let llm = LlmConfig {
            native_tool_calling: false,
            api_mode: api_mode.to_owned(),
            extended_thinking_budget: Some(2048),
            ..fake.llm(model)
        };
        let answer = ask(&llm, history()).await.unwrap();
        assert_eq!(called(&answer.message), expected(), "{model}");
        let body = &fake.asked()[0].body;
        assert_eq!(strict::check(dialect, body), Ok(()), "{body}");
        assert_eq!((body.get("tools"), body.get("tool_choice")), (None, None), "{body}");
        for name in ["stop", "stop_sequences"] {
            let wanted = Some(json!(["</function"])).filter(|_| stop == Some(name));
            assert_eq!(body.get(name).cloned(), wanted, "{model}");
        }
        let told = body.to_string();
        for part in [
            "Runs a command.",
            "<function=terminal>\\n<parameter=command>echo 1</parameter>\\n</function>",
            "EXECUTION RESULT of [terminal]:",
        ] {
            assert!(told.contains(part), "{model} {part}: {told}");
        }
    }
}

#[tokio::test]
async fn content_is_plain_text_then_as_simple_servers_want_it() {
    let fake = FakeModel::start([Turn::ok(&said())]).await;
    let llm = LlmConfig { native_tool_calling: false, ..fake.llm(CHAT) };
    ask(&llm, history()).await.unwrap();
    let body = &fake.asked()[0].body;
    let sent = body["messages"].as_array().unwrap();
    assert!(sent.iter().all(|message| message["content"].is_string()), "{body}");
    let roles: Vec<_> = sent.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let results = "EXECUTION RESULT of [terminal]:\none\nEXECUTION RESULT of [terminal]:\ngo on";
    assert_eq!(sent[3]["content"], results);
}

#[tokio::test]
async fn a_server_that_refuses_tools_is_told_of_them_in_words_and_remembered() {
    for refusal in [
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
        (
            404,
            "No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs",
        ),
        (400, "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"),
        (500, "tools param requires --jinja flag"),
        (400, "`tool calling` is not supported with this model"),
        (400, "Unrecognized request argument supplied: tools"),
    ] {
        let refused = Turn::json(refusal.0, &json!({"error": {"message": refusal.1}}));
        let fake = FakeModel::start([refused, Turn::ok(&said()), Turn::ok(&said())]).await;
        let llm = LlmConfig { num_retries: 1, ..fake.llm(CHAT) };
        let (client, request) = (client(), ModelRequest::new(history(), vec![tool()]));
        for _ in 0..2 {
            let answer = client.complete(&llm, SESSION, &request, None).await;
            let answer = answer.unwrap_or_else(|failure| panic!("{refusal:?}: {failure:?}"));
            assert_eq!(called(&answer.message), expected(), "{refusal:?}");
        }
        let tools: Vec<_> = fake.asked().iter().map(|asked| asked.body.get("tools").is_some()).collect();
        assert_eq!(tools, [true, false, false], "{refusal:?}");
    }
}

#[tokio::test]
async fn a_streamed_answer_has_its_calls_as_well() {
    let text = said()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let (first, second) = text.split_at(14);
    let piece =
        |text: &str, end: Value| json!({"choices": [{"delta": {"content": text}, "finish_reason": end}]});
    let fake =
        FakeModel::start([Turn::events(&[piece(first, Value::Null), piece(second, json!("stop"))])]).await;
    let llm = LlmConfig { native_tool_calling: false, ..fake.llm(CHAT) };
    let answer = ask_streamed(&llm, vec![user("go")], &Heard::default()).await.unwrap();
    assert_eq!(called(&answer.message), expected());
}
