//! What is left out, lowered or written otherwise after a refusal, and what is remembered of it.

use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::{Content, Message, Role, joined_text};
use types::model::{FailureKind, ModelRequest};

use super::fake::{FakeModel, SESSION, Turn, ask, chat, client, messages, tool, user};

const CHAT: &str = "openai/my-model";
const ANTHROPIC: &str = "anthropic/claude-sonnet-4-5";

fn hi() -> Turn {
    Turn::ok(&chat(json!({"content": "hi"})))
}

fn refused(message: &str) -> Turn {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": null});
    Turn::json(400, &json!({"error": error}))
}

async fn failed(status: u16, body: &Value) -> types::model::ModelFailure {
    let fake = FakeModel::start([Turn::json(status, body)]).await;
    let llm = LlmConfig { num_retries: 1, ..fake.llm(CHAT) };
    ask(&llm, vec![user("go")]).await.unwrap_err()
}

#[tokio::test]
async fn a_parameter_that_a_server_refuses_is_left_out_and_remembered() {
    let turns = [
        refused("Unrecognized request argument supplied: reasoning_effort"),
        refused("Unrecognized request argument supplied: prompt_cache_key"),
        hi(),
        hi(),
        hi(),
    ];
    let fake = FakeModel::start(turns).await;
    let (client, llm) = (client(), LlmConfig { num_retries: 1, ..fake.llm(CHAT) });
    let request = ModelRequest::new(vec![user("go")], vec![tool()]);
    client.complete(&llm, SESSION, &request, None).await.unwrap();
    client.complete(&llm, SESSION, &request, None).await.unwrap();
    let other = LlmConfig { model: "openai/another".to_owned(), ..llm };
    client.complete(&other, SESSION, &request, None).await.unwrap();
    let sent: Vec<_> = fake
        .asked()
        .iter()
        .map(|asked| ["reasoning_effort", "prompt_cache_key"].map(|key| asked.body.get(key).is_some()))
        .collect();
    assert_eq!(sent, [[true, true], [false, true], [false, false], [false, false], [true, true]]);
    assert_eq!(fake.asked()[3].body["messages"], fake.asked()[0].body["messages"]);
}

#[tokio::test]
async fn what_a_user_asked_for_is_not_left_out() {
    let fake = FakeModel::start([refused("Unknown parameter: 'reasoning_effort'"), hi()]).await;
    let extra = json!({"reasoning_effort": "low"}).as_object().unwrap().clone();
    let llm = LlmConfig { litellm_extra_body: extra, ..fake.llm(CHAT) };
    assert!(ask(&llm, vec![user("go")]).await.is_err());
    let fake = FakeModel::start([refused("Unsupported parameter: 'temperature'"), hi()]).await;
    let llm = LlmConfig { temperature: Some(0.5), drop_params: false, ..fake.llm(CHAT) };
    assert!(ask(&llm, vec![user("go")]).await.is_err());
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_refusal_that_does_not_end_is_not_asked_for_ever() {
    let words = "Unknown parameters: reasoning_effort, prompt_cache_key, max_completion_tokens, max_tokens";
    let fake = FakeModel::start((0..40).map(|_| refused(words))).await;
    assert!(ask(&fake.llm(CHAT), vec![user("go")]).await.is_err());
    assert!(fake.asked().len() < 10, "{}", fake.asked().len());
}

#[tokio::test]
async fn the_limit_of_the_output_takes_the_name_and_the_size_that_a_server_takes() {
    let name = "Unsupported parameter: 'max_completion_tokens' is not supported with this model.";
    let size = "max_tokens is too large: 9000. This model supports at most 4096 completion tokens.";
    let fake = FakeModel::start([refused(name), refused(size), hi()]).await;
    let llm = LlmConfig { max_output_tokens: Some(9_000), ..fake.llm(CHAT) };
    ask(&llm, vec![user("go")]).await.unwrap();
    let last = &fake.asked()[2].body;
    assert_eq!((&last["max_tokens"], last.get("max_completion_tokens")), (&json!(4096), None));
}

#[tokio::test]
async fn messages_take_the_form_that_a_server_takes() {
    let system = Message::new(Role::System, "Be good.");
    let turns = [refused("messages[0].content must be a string"), refused("System role not supported"), hi()];
    let fake = FakeModel::start(turns).await;
    ask(&fake.llm(CHAT), vec![system, user("go")]).await.unwrap();
    let expected = json!([{"role": "user", "content": "Be good.\n\ngo"}]);
    assert_eq!(fake.asked()[2].body["messages"], expected);
}

#[tokio::test]
async fn a_call_that_the_provider_itself_cannot_read_is_made_again_warmer() {
    let error = json!({"message": "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
        "type": "invalid_request_error", "code": "tool_use_failed", "failed_generation": "<function=terminal>{…}"});
    let plain = Turn::json(400, &json!({ "error": error }));
    let within = Turn::events([&json!({ "error": error })]);
    let reason = Turn::ok(
        &json!({"choices": [{"message": {"content": ""}, "finish_reason": "MALFORMED_FUNCTION_CALL"}]}),
    );
    let mut other = error.clone();
    // As llama.cpp says it of a call in the history.
    other["message"] = json!("Failed to parse tool call arguments as JSON");
    let other = Turn::json(400, &json!({ "error": other }));
    for first in [plain, within, reason, other] {
        let fake = FakeModel::start([first, hi()]).await;
        let llm = LlmConfig { temperature: Some(0.0), ..fake.llm("groq/llama") };
        let answer = ask(&llm, vec![user("go")]).await.unwrap();
        assert_eq!(joined_text(&answer.message.content), "hi");
        let warmth: Vec<_> = fake.asked().iter().map(|asked| asked.body["temperature"].clone()).collect();
        assert_eq!(warmth, [json!(0), json!(1)]);
    }
}

#[tokio::test]
async fn images_that_a_server_refuses_are_left_out_and_told_of() {
    let image = Content::Image {
        cache_prompt: false,
        image_urls: vec!["data:image/png;base64,iVBORw0KGgo=".to_owned()],
    };
    let seen = Message { content: vec![Content::text("look"), image], ..user("") };
    let said = Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])));
    for refusal in [
        refused(
            "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6500000 bytes > 5242880 bytes",
        ),
        refused("Could not process image"),
        Turn::json(
            413,
            &json!({"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
        ),
    ] {
        let fake = FakeModel::start([refusal, said.clone()]).await;
        let llm = LlmConfig { num_retries: 1, ..fake.llm(ANTHROPIC) };
        ask(&llm, vec![seen.clone()]).await.unwrap();
        let bodies: Vec<_> = fake.asked().iter().map(|asked| asked.body["messages"].to_string()).collect();
        assert!(bodies[0].contains("iVBOR") && !bodies[1].contains("iVBOR"), "{bodies:?}");
        assert!(bodies[1].contains("An image was left out"), "{bodies:?}");
    }
    let failure = failed(413, &json!({"error": {"message": "too large"}})).await;
    assert_eq!(failure.kind, FailureKind::ContextWindow);
}

#[tokio::test]
async fn a_history_whose_thoughts_are_refused_is_sent_without_thinking() {
    let words = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block";
    let said = Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])));
    let fake = FakeModel::start([refused(words), said.clone(), said]).await;
    let client = client();
    let request = ModelRequest::new(vec![user("go")], vec![tool()]);
    for _ in 0..2 {
        client.complete(&fake.llm(ANTHROPIC), SESSION, &request, None).await.unwrap();
    }
    let thinks: Vec<_> = fake.asked().iter().map(|asked| asked.body.get("thinking").is_some()).collect();
    assert_eq!(thinks, [true, false, true], "of one request, and not of the server");
}

#[tokio::test]
async fn money_is_a_quota_and_not_asked_for_again() {
    for (status, message) in [
        (402, "This request requires more credits, or fewer max_tokens."),
        (402, "Insufficient Balance"),
        (400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."),
        (429, "You exceeded your current quota, please check your plan and billing details."),
        (403, "Your team has either used all available credits or reached its monthly spending limit."),
    ] {
        let fake =
            FakeModel::start([Turn::json(status, &json!({"error": {"message": message}})), hi()]).await;
        let failure = ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap_err();
        assert_eq!(types::classify::classify(&failure.code, &failure.detail).kind, "quota", "{message}");
        assert_eq!(fake.asked().len(), 1, "{message}");
    }
}

#[tokio::test]
async fn a_wait_that_a_body_asks_for_is_honoured_and_a_long_one_is_told() {
    let gemini = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}]}});
    let fake = FakeModel::start([Turn::json(429, &gemini), hi()]).await;
    let began = std::time::Instant::now();
    ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap();
    assert!(began.elapsed() >= std::time::Duration::from_millis(300), "{:?}", began.elapsed());

    let limited =
        Turn::json(429, &json!({"error": {"message": "Rate limit reached. Please try again in 2h0m1s."}}));
    let fake = FakeModel::start([limited, hi()]).await;
    let failure = ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap_err();
    assert_eq!(fake.asked().len(), 1);
    assert!(failure.detail.contains("121 minutes"), "{}", failure.detail);
}

#[tokio::test]
async fn a_part_of_the_history_that_is_refused_asks_for_another_history() {
    for message in [
        "messages.5.content.1.tool_use.input: Input should be a valid dictionary",
        "Invalid value: input[4].content[0]",
        "No tool output found for function call call_1.",
        "Please ensure that the number of function response parts is equal to the number of function call parts",
        "Not the same number of function calls and responses",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ] {
        let failure = failed(400, &json!({"error": {"message": message}})).await;
        assert_eq!(failure.kind, FailureKind::MalformedHistory, "{message}");
    }
}

#[tokio::test]
async fn a_page_that_asks_for_a_login_is_not_our_key() {
    let fake = FakeModel::start([Turn::raw("text/html", "<title>Proxy login</title>").status(401)]).await;
    let failure = ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap_err();
    assert!(failure.detail.contains("answered 401: Proxy login"), "{}", failure.detail);
}

#[tokio::test]
async fn a_server_that_does_not_know_a_schema_gets_a_simpler_one() {
    let rich = json!({"type": "object", "additionalProperties": false, "properties": {"command": {"anyOf": [{"type": "string"}, {"type": "null"}]}}});
    let plain = json!({"type": "object", "properties": {"command": {"type": "string"}}});
    for (model, at) in [(CHAT, "/tools/0/function/parameters"), (ANTHROPIC, "/tools/0/input_schema")] {
        for words in [
            "Invalid JSON payload received. Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters': Cannot find field.",
            "Invalid schema for function 'terminal': In context=('properties', 'command'), 'anyOf' is not permitted.",
            "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
        ] {
            let said = if model == CHAT {
                hi()
            } else {
                Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])))
            };
            let fake = FakeModel::start([refused(words), said.clone(), said]).await;
            let mut known = tool();
            known.parameters = rich.clone();
            let (client, llm) = (client(), LlmConfig { num_retries: 1, ..fake.llm(model) });
            let request = ModelRequest::new(vec![user("go")], vec![known]);
            for _ in 0..2 {
                let answer = client.complete(&llm, SESSION, &request, None).await;
                answer.unwrap_or_else(|failure| panic!("{words}: {failure:?}"));
            }
            let sent: Vec<_> =
                fake.asked().iter().map(|asked| asked.body.pointer(at).unwrap().clone()).collect();
            assert_eq!(sent, [rich.clone(), plain.clone(), plain.clone()], "{model} {words}");
        }
    }
}

#[tokio::test]
async fn a_server_that_has_moved_is_not_followed_and_its_new_place_is_told() {
    let moved =
        Turn::json(308, &json!({})).header("location", "https://user:secret@new.example/v1/chat?key=secret");
    let fake = FakeModel::start([moved, hi()]).await;
    let failure = ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap_err();
    assert!(
        failure.detail.contains("answered 308: it sends callers to https://new.example/v1/chat;"),
        "{}",
        failure.detail
    );
    assert!(!failure.detail.contains("secret") && fake.asked().len() == 1, "{}", failure.detail);
}
