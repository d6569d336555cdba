//! Answers as servers, relays and proxies make them, and not as their documents say.

use manyhands_llm::StreamEvent;
use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::joined_text;
use types::model::{Completion, ModelFailure};

use super::fake::{FakeModel, Heard, Turn, ask, ask_streamed, chat, messages, user};

const CHAT: &str = "openai/x";
const ANTHROPIC: &str = "anthropic/claude-sonnet-4-5";
const STREAM: &str = "text/event-stream";

fn hi() -> Value {
    chat(json!({"content": "hi"}))
}

/// The whole answer as the pieces of a stream, the last with its end.
fn pieces() -> [Value; 3] {
    let piece = |delta: Value, end: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]});
    let call = json!({"index": 0, "id": "1", "function": {"name": "terminal", "arguments": "{}"}});
    [
        piece(json!({"content": "h"}), Value::Null),
        piece(json!({"content": "i"}), Value::Null),
        piece(json!({"tool_calls": [call]}), json!("tool_calls")),
    ]
}

/// What one attempt makes of it.
async fn streamed(model: &str, turn: Turn) -> Result<Completion, ModelFailure> {
    let fake = FakeModel::start([turn]).await;
    let llm = LlmConfig { num_retries: 1, ..fake.llm(model) };
    ask_streamed(&llm, vec![user("go")], &Heard::default()).await
}

async fn text_of(model: &str, turn: Turn) -> String {
    joined_text(&streamed(model, turn).await.unwrap().message.content)
}

#[tokio::test]
async fn a_character_cut_between_two_pieces_comes_together() {
    let piece = |text: &str, end: &str| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":{end}}}]}}\n\n"
        )
    };
    let body =
        [piece("ok \\ud83d", "null"), piece("\\ude00 fine", "null"), piece(" \\ud83d", "\"stop\"")].concat();
    assert_eq!(text_of(CHAT, Turn::raw(STREAM, body)).await, "ok 😀 fine \u{fffd}");
    let body = "{\"choices\":[{\"message\":{\"content\":\"ok \\ud83d\"},\"finish_reason\":\"stop\"}]}";
    assert_eq!(text_of(CHAT, Turn::raw("application/json", body)).await, "ok \u{fffd}");
    let delta = |text: &str| {
        format!(
            "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let start = "data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let body =
        [start, &delta("ok \\ud83d"), &delta("\\ude00"), "data: {\"type\":\"message_stop\"}\n\n"].concat();
    assert_eq!(text_of(ANTHROPIC, Turn::raw(STREAM, body)).await, "ok 😀");
}

#[tokio::test]
async fn half_a_character_in_arguments_is_not_sent_to_the_next_model() {
    let arguments = json!({"arguments": "{\"command\": \"\\ud83d\"}", "name": "terminal"});
    let fake =
        FakeModel::start([Turn::ok(&chat(json!({"tool_calls": [{"id": "1", "function": arguments}]})))])
            .await;
    let answer = ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap();
    assert_eq!(answer.message.tool_calls[0].arguments, "{\"command\": \"\u{fffd}\"}");
}

#[tokio::test]
async fn a_stream_that_ends_behind_its_last_line_is_whole() {
    let lines: Vec<_> = pieces().iter().map(|piece| format!("data: {piece}\n")).collect();
    for (body, calls) in [
        (lines.join("\n"), 1),
        (lines.join("\n").trim_end().to_owned(), 1),
        // Without any blank lines.
        (lines.concat(), 1),
        ([&lines.concat(), "data: [DONE]"].concat(), 1),
    ] {
        let answer = streamed(CHAT, Turn::raw(STREAM, body.clone())).await;
        assert_eq!(answer.map(|answer| answer.message.tool_calls.len()), Ok(calls), "{body}");
    }
    // The last line is cut within its JSON, behind the end that came before it.
    let body = [&lines.join("\n"), "\ndata: {\"choices\": [], \"usage\": {\"pro"].concat();
    assert!(streamed(CHAT, Turn::raw(STREAM, body)).await.is_ok());
    let body = [&lines[..2].join("\n"), "\ndata: {\"choices\": [{\"finish_reason\": \"stop\""].concat();
    assert_eq!(streamed(CHAT, Turn::raw(STREAM, body)).await.unwrap_err().code, "LLMServiceUnavailableError");
}

#[tokio::test]
async fn signs_of_life_are_no_answers() {
    let [first, second, last] = pieces();
    let body = format!(
        ": hello\n\ndata:\n\nevent: ping\ndata:\n\ndata: {first}\n\nevent: ping\ndata: {{}}\n\ndata: ping\n\ndata: null\n\ndata: {second}\n\ndata: {last}\n\n"
    );
    assert_eq!(text_of(CHAT, Turn::raw(STREAM, body)).await, "hi");
}

#[tokio::test]
async fn a_stream_that_stays_open_behind_its_end_is_whole() {
    let fake = FakeModel::start([Turn::events(&pieces()).then_silence()]).await;
    let llm = LlmConfig { num_retries: 1, stream_idle_timeout: Some(0.2), ..fake.llm(CHAT) };
    let answer = ask_streamed(&llm, vec![user("go")], &Heard::default()).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "hi");
}

#[tokio::test]
async fn an_answer_is_what_its_first_byte_says_whatever_its_headers_say() {
    let stream: String = pieces().iter().map(|piece| format!("data: {piece}\n\n")).collect();
    let lines: String = pieces().iter().map(|piece| format!("{piece}\n")).collect();
    for (kind, body) in [
        (STREAM, hi().to_string()),
        ("text/html", format!("\n {}", hi())),
        ("application/json", stream.clone()),
        ("text/plain", stream.clone()),
        ("application/x-ndjson", lines),
        (STREAM, format!("\u{feff}{stream}")),
    ] {
        assert_eq!(text_of(CHAT, Turn::raw(kind, body)).await, "hi", "{kind}");
    }
    // Nobody asked for a stream.
    let fake = FakeModel::start([Turn::raw(STREAM, stream)]).await;
    let answer = ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "hi");
}

#[tokio::test]
async fn a_page_in_the_place_of_an_answer_is_named() {
    let page = "<html><head><title>Sign in to\nACME &amp; Co</title></head></html>";
    for kind in ["text/html", STREAM, "application/json"] {
        let failure = streamed(CHAT, Turn::raw(kind, page)).await.unwrap_err();
        assert_eq!(failure.code, "APIError");
        assert!(failure.detail.contains("Sign in to ACME & Co"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn a_packed_answer_is_unpacked_and_none_is_asked_for() {
    for turn in [Turn::ok(&hi()).zipped(), Turn::events(&pieces()).zipped()] {
        assert_eq!(text_of(CHAT, turn).await, "hi");
    }
    let refused = json!({"error": {"message": "No such model.", "code": 404}});
    let failure = streamed(CHAT, Turn::json(404, &refused).zipped()).await.unwrap_err();
    assert!(failure.detail.contains("No such model."), "{}", failure.detail);
    let fake = FakeModel::start([Turn::ok(&hi())]).await;
    ask(&fake.llm(CHAT), vec![user("go")]).await.unwrap();
    assert_eq!(fake.asked()[0].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn an_error_event_is_an_error_whatever_its_form() {
    let [first, ..] = pieces();
    for error in [
        "event: error\ndata: {\"message\": \"too busy\"}\n\n",
        "event: error\ndata: too busy\n\n",
        "data: {\"error\": \"too busy\"}\n\n",
        "data: {\"error\": {\"message\": \"too busy\"}, \"choices\": []}\n\n",
        "data: {\"type\": \"error\", \"error\": {\"message\": \"too busy\"}}\n\n",
    ] {
        for model in [CHAT, ANTHROPIC] {
            let body = if model == CHAT { format!("data: {first}\n\n{error}") } else { error.to_owned() };
            let failure = streamed(model, Turn::raw(STREAM, body)).await.unwrap_err();
            assert!(failure.detail.contains("too busy"), "{}: {error}", failure.detail);
        }
    }
}

#[tokio::test]
async fn a_message_that_is_begun_anew_is_heard_anew() {
    let start = json!({"type": "message_start", "message": {"id": "m"}});
    let block =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let text = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let stop = json!({"type": "message_stop"});
    let events = [&start, &block, &text("Hal"), &start, &block, &text("Whole"), &stop];
    let fake = FakeModel::start([Turn::events(events)]).await;
    let heard = Heard::default();
    let answer = ask_streamed(&fake.llm(ANTHROPIC), vec![user("go")], &heard).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "Whole");
    let outline = heard.events().into_iter().map(|event| match event {
        StreamEvent::Started { attempt } => format!("started {attempt}"),
        StreamEvent::Delta { content, .. } => content,
        StreamEvent::Aborted { attempt, .. } => format!("aborted {attempt}"),
    });
    let outline: Vec<_> = outline.collect();
    assert_eq!(outline, ["started 1", "Hal", "aborted 1", "started 1", "Whole"]);
}

#[tokio::test]
async fn calls_in_every_form_are_found() {
    let call = |piece: Value| json!({"choices": [{"delta": {"tool_calls": [piece]}}]});
    let old = |piece: Value| json!({"choices": [{"delta": {"function_call": piece}}]});
    let end = json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]});
    let whole = json!({"index": "0", "id": 7, "function": {"name": "terminal", "arguments": {"a": 1}}});
    for events in [
        vec![
            call(json!({"index": 0, "id": "1", "function": {"name": "termi"}})),
            call(json!({"index": 0, "id": "1", "function": {"name": "nal", "arguments": "{\"a\""}})),
            call(json!({"index": 0, "function": {"arguments": ":1}"}})),
        ],
        vec![old(json!({"name": "terminal", "arguments": ""})), old(json!({"arguments": "{\"a\":1}"}))],
        vec![call(whole)],
        vec![
            json!({"choices": [{"delta": {"tool_calls": {}, "content": ""}}]}),
            call(json!({"index": -1, "name": "terminal", "arguments": "{\"a\":1}"})),
        ],
    ] {
        let events = [events, vec![end.clone()]].concat();
        let answer = streamed(CHAT, Turn::events(&events)).await.unwrap();
        let calls: Vec<_> = answer
            .message
            .tool_calls
            .iter()
            .map(|call| (call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [("terminal", "{\"a\":1}")], "{events:?}");
    }
}

#[tokio::test]
async fn an_anthropic_answer_in_one_text_is_understood() {
    assert_eq!(text_of(ANTHROPIC, Turn::ok(&messages(json!("hi")))).await, "hi");
}
