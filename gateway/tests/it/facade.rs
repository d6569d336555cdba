//! Conversations in the terms of another API: what its clients ask and are answered.

use std::time::Duration;

use bytes::Bytes;
use ports::Expect;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use types::Seq;
use types::buckets::CONVERSATIONS;
use types::calls::{DeltaKind, Live};

use crate::copies::{COPY, id_of, log_of};
use crate::harness::events::agent_message;
use crate::harness::stepped::beside;
use crate::harness::tokens::{bearer, token};
use crate::harness::{
    Client, KEY, Server, eventually, start, start_keyed, start_with, status_and_json, until,
};

const CHAT: &str = "/v1/chat/completions";
const CONVERSATION: &str = "x-openhands-serverconversation-id";
const MODEL: &str = "openhands_default";

/// A server with the model `openhands_default`, whose agent says little.
async fn set_up() -> Server {
    let server = start().await;
    prepare(&server, None).await;
    server
}

async fn prepare(server: &Client, key: Option<&str>) {
    let change = json!({"agent_settings_diff": {"llm": {"model": "openai/m", "api_key": "sk-marked"}}});
    let key = key.unwrap_or_default();
    let request =
        server.request(Method::PATCH, "/api/settings").header("x-session-api-key", key).json(&change);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let request = server.request(Method::GET, "/api/agent-profiles").header("x-session-api-key", key);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

fn chat(text: &str) -> Value {
    json!({"model": MODEL, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]})
}

async fn ask(server: &Client, body: &Value, conversation: Option<&str>) -> Response {
    let request = server.request(Method::POST, CHAT).json(body);
    let request = match conversation {
        Some(id) => request.header(CONVERSATION, id),
        None => request,
    };
    request.send().await.unwrap()
}

fn conversation_of(response: &Response) -> String {
    response.headers()[CONVERSATION].to_str().unwrap().to_owned()
}

/// The pieces of a stream.
fn pieces(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn said(pieces: &[Value]) -> String {
    pieces.iter().filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_is_a_conversation_and_goes_on_in_it() {
    let server = set_up().await;
    let response = ask(&server, &chat("hello"), None).await;
    assert_eq!(response.status(), 200);
    let id = conversation_of(&response);
    let answer: Value = response.json().await.unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!(MODEL)));
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"), "{answer}");
    assert_eq!(
        (&message["role"], &answer["choices"][0]["finish_reason"]),
        (&json!("assistant"), &json!("stop"))
    );
    assert!(!message["content"].as_str().unwrap().is_empty(), "{answer}");

    let info = server.info(&id).await;
    assert_eq!(info["launched_agent_profile"]["llm_profile_ref"], "default");
    assert_eq!(info["agent"]["agent_context"]["system_message_suffix"], "be brief");
    let response = ask(&server, &chat("and on"), Some(&id)).await;
    assert_eq!((response.status().as_u16(), conversation_of(&response)), (200, id.clone()));
    let said = server.messages(&id).await;
    assert!(said.contains(&json!("hello")) && said.contains(&json!("and on")), "{said:?}");
    assert_eq!(server.get("/api/conversations/count").await.1, 1);

    let own = "00000000-0000-4000-8000-00000000000a";
    let response = ask(&server, &chat("hello"), Some(own)).await;
    assert_eq!((response.status().as_u16(), conversation_of(&response)), (200, own.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_profiles_are_the_models() {
    let server = set_up().await;
    let model = json!({"id": MODEL, "created": 0, "object": "model", "owned_by": "openhands"});
    assert_eq!(server.get("/v1/models").await, (200, json!({"object": "list", "data": [model]})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_not_is_refused_in_the_peers_order_and_words() {
    let server = set_up().await;
    let no_message = "At least one user message is required";
    let user = json!([{"role": "user", "content": "x"}]);
    let long = json!([{"role": "system", "content": "s".repeat(32_769)}, {"role": "user", "content": "x"}]);
    let sound = json!([{"role": "user", "content": [{"type": "input_audio"}]}]);
    for (body, status, told) in [
        (json!({"model": "x", "messages": []}), 400, no_message),
        (json!({"model": MODEL, "messages": [{"role": "system", "content": "x"}]}), 400, no_message),
        (json!({"model": "x", "messages": user}), 404, "Unknown OpenHands model 'x'. Use GET /v1/models."),
        (
            json!({"model": "openhands_", "messages": user}),
            404,
            "Unknown OpenHands model 'openhands_'. Use GET /v1/models.",
        ),
        (json!({"model": "openhands_zz", "messages": user}), 404, "Profile 'zz' not found"),
        (json!({"model": MODEL, "messages": long}), 400, "System instructions are too long"),
        (json!({"model": "x", "messages": sound}), 400, "Unsupported content part type: input_audio"),
    ] {
        let (answered, answer) = server.post(CHAT, &body).await;
        assert_eq!(
            (answered, &answer["detail"], &answer["error"]["message"]),
            (status, &json!(told), &json!(told))
        );
    }
    let (status, answer) = server.post(CHAT, json!({"model": MODEL})).await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "messages"])));
    assert_eq!(answer["error"]["type"], "invalid_request_error");
    assert_eq!(ask(&server, &chat("x"), Some("no uuid")).await.status(), 422);
    for (more, told) in [
        (json!({"stream": true}), "Streaming responses are not supported yet"),
        (json!({"store": true}), "Persistent response storage (store=True) is not supported yet"),
        (
            json!({"previous_response_id": "r"}),
            "previous_response_id is not supported; replay input items instead",
        ),
        (json!({"input": ""}), "Responses input must not be empty"),
        (
            json!({"input": [{"role": "assistant", "content": "x"}]}),
            "Responses input must include a user message",
        ),
    ] {
        let mut body = json!({"model": MODEL, "input": "x"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, answer) = server.post("/v1/responses", &body).await;
        assert_eq!((status, &answer["detail"]), (400, &json!(told)));
    }
    assert_eq!(server.get("/api/conversations/count").await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_slot_nothing_is_stored() {
    let server = set_up().await;
    server.worker.script(|script| script.busy = true);
    let response = ask(&server, &chat("hello"), None).await;
    assert_eq!(response.status(), 429);
    assert!(
        response.headers().contains_key("retry-after") && !response.headers().contains_key("x-should-retry")
    );
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["type"], "rate_limit_error");
    assert_eq!(server.get("/api/conversations/count").await.1, 0);

    server.worker.script(|script| script.busy = false);
    let id = conversation_of(&ask(&server, &chat("hello"), None).await);
    let before = server.messages(&id).await;
    server.worker.script(|script| script.busy = true);
    assert_eq!(ask(&server, &chat("lost"), Some(&id)).await.status(), 429);
    assert_eq!(server.messages(&id).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_in_which_others_have_spoken_stays_where_the_message_that_it_was_made_for_is_refused()
{
    let server = set_up().await;
    server.worker.script(|script| (script.busy, script.others_speak) = (true, true));
    let own = "00000000-0000-4000-8000-00000000000b";
    assert_eq!(ask(&server, &chat("hello"), Some(own)).await.status(), 429);
    assert_eq!(server.messages(own).await, [json!("theirs")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_others_speak_while_it_is_deleted_it_stays_and_goes_on_at_once() {
    let server = set_up().await;
    server.worker.script(|script| (script.busy, script.others_speak_at_last) = (true, true));
    let own = "00000000-0000-4000-8000-00000000000b";
    assert_eq!(ask(&server, &chat("hello"), Some(own)).await.status(), 429);
    assert_eq!(server.messages(own).await, [json!("theirs")]);
    server.worker.script(|script| script.busy = false);
    assert_eq!(ask(&server, &chat("hello again"), Some(own)).await.status(), 200);
    assert_eq!(server.messages(own).await[..2], [json!("theirs"), json!("hello again")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_certainly_not_taken_leaves_no_conversation_and_is_said_once_more() {
    let server = set_up().await;
    server.worker.script(|script| script.shuts_down = true);
    let response = ask(&server, &chat("hello"), None).await;
    assert!(response.status() == 503 && !response.headers().contains_key("x-should-retry"), "{response:?}");
    assert_eq!(server.get("/api/conversations/count").await.1, 0);
}

/// Whoever has stored the record was killed before he looked whether there is a copy of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_does_not_go_on_in_what_is_left_of_another_one() {
    let server = set_up().await;
    let source = server.create().await;
    let record = server.ports.kv.get(CONVERSATIONS, &id_of(&source).hex()).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&record.value).unwrap();
    record["id"] = COPY.into();
    let mark = r#"{"control":{"type":"forked","at":1}}"#.to_owned();
    let copied = json!({"n": 0, "event": agent_message("of another")}).to_string();
    let records = [mark.clone(), copied, mark].map(Bytes::from).to_vec();
    server.ports.log.append(&log_of(COPY), Seq::ZERO, records).await.unwrap();
    let key = id_of(COPY).hex();
    server.ports.kv.put(CONVERSATIONS, &key, record.to_string().into(), Expect::Absent).await.unwrap();
    until(async || server.messages(COPY).await == [json!("of another")]).await;
    assert_eq!(ask(&server, &chat("hello"), Some(COPY)).await.status(), 200);
    let messages = server.messages(COPY).await;
    assert!(messages[0] == "hello" && !messages.contains(&json!("of another")), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_message_may_be_stored_its_conversation_stays_and_nobody_says_it_once_more() {
    let server = set_up().await;
    let going_on = conversation_of(&ask(&server, &chat("before"), None).await);
    server.worker.script(|script| script.ends_early = true);
    for conversation in [None, Some(going_on.as_str())] {
        let request = server.request(Method::POST, CHAT).json(&chat("hello"));
        let request = request.header("origin", "http://localhost:3000");
        let request = conversation.into_iter().fold(request, |request, id| request.header(CONVERSATION, id));
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-should-retry"]),
            (503, &"false".parse().unwrap())
        );
        let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("X-Should-Retry"), "a page may read it: {exposed}");
        let id = conversation_of(&response);
        until(async || server.messages(&id).await.contains(&json!("hello"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_a_run_ends_is_told_by_the_status() {
    let server = set_up().await;
    for (end, status, kind) in [
        ("error", 500, "server_error"),
        ("stuck", 500, "server_error"),
        ("paused", 409, "invalid_request_error"),
        ("waiting_for_confirmation", 409, "invalid_request_error"),
    ] {
        server.worker.script(|script| script.ends_as = end);
        let response = ask(&server, &chat("hello"), None).await;
        // Where it is, and that the run is not bought once more by a client that asks anew by itself.
        assert_eq!(server.status(&conversation_of(&response)).await, end);
        assert_eq!(response.headers()["x-should-retry"], "false");
        let (answered, answer) = status_and_json(response).await;
        assert_eq!(
            (answered, &answer["detail"]),
            (status, &json!(format!("Agent run ended with status: {end}")))
        );
        assert_eq!(answer["error"]["type"], kind, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_not_left_without_its_message_because_its_client_hangs_up() {
    let server = set_up().await;
    let (other, store) = beside(&server).await;
    let made = store.stop_before("CONVERSATIONS", "");
    let asking = tokio::spawn(other.request(Method::POST, CHAT).json(&chat("hello")).send());
    made.meanwhile(async {
        asking.abort();
        let _ = asking.await;
    })
    .await;
    let id = eventually("it is made", async || {
        let (_, found) = server.get("/api/conversations/search").await;
        found["items"][0]["id"].as_str().map(str::to_owned)
    });
    let id = id.await;
    until(async || server.messages(&id).await.contains(&json!("hello"))).await;
}

/// Defect B26 of the peer, which sends all at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_before_the_run_ends() {
    let server = set_up().await;
    server.worker.script(|script| script.takes = Duration::from_secs(3_600));
    let mut body = chat("hello");
    body["stream"] = json!(true);
    let mut response = ask(&server, &body, None).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let first = response.chunk().await.unwrap().unwrap();
    let first = pieces(std::str::from_utf8(&first).unwrap());
    assert_eq!(first[0]["choices"][0]["delta"], json!({"role": "assistant"}));
    assert_eq!(server.status(&conversation_of(&response)).await, "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_what_is_said_while_it_is_said_and_the_last_word_once() {
    let server = set_up().await;
    let started =
        |item_id: &str| Live::ItemStarted { item_id: item_id.to_owned(), attempt: 1, anchor_seq: None };
    let delta = |item_id: &str, kind: DeltaKind, content: &str| Live::Delta {
        item_id: item_id.to_owned(),
        attempt: 1,
        order: 0,
        kind,
        content: content.to_owned(),
        chunk_id: None,
        choice_index: None,
    };
    server.worker.script(|script| {
        script.events = 0;
        script.streams = vec![
            started("a"),
            delta("a", DeltaKind::Reasoning, "hidden thought"),
            delta("a", DeltaKind::Text, "I have "),
            delta("a", DeltaKind::Text, "looked."),
        ];
    });
    let id = conversation_of(&ask(&server, &chat("before"), None).await);
    server.worker.append_events(id.parse().unwrap(), vec![agent_message("I have looked. Done.")], 1).await;
    until(async || server.messages(&id).await.contains(&json!("I have looked. Done."))).await;
    let mut body = chat("go on");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let text = ask(&server, &body, Some(&id)).await.text().await.unwrap();
    let pieces = pieces(&text);
    assert_eq!(said(&pieces), "I have looked. Done.", "{text}");
    assert!(!text.contains("hidden thought") && text.ends_with("data: [DONE]\n\n"), "{text}");
    let last = &pieces[pieces.len() - 1];
    let unused = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &unused));
    assert_eq!(pieces[pieces.len() - 2]["choices"][0]["finish_reason"], "stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_a_run_that_is_told_comes_in_the_stream() {
    let server = set_up().await;
    server.worker.script(|script| script.ends_as = "error");
    let mut body = chat("hello");
    body["stream"] = json!(true);
    let response = ask(&server, &body, None).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    let pieces = pieces(&text);
    let told = "Agent run ended with status: error";
    assert_eq!(pieces[pieces.len() - 1]["error"]["message"], told, "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_a_conversation_of_its_own() {
    let server = set_up().await;
    let input = json!([{"role": "developer", "content": "be brief"}, {"role": "user", "content": [
        {"type": "input_text", "text": "one"}, {"type": "input_image", "image_url": "data:image/png;base64,AA=="}]},
        {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]);
    let body = json!({"model": MODEL, "input": input, "instructions": " first ", "metadata": {"a": "b"}});
    let response = server.request(Method::POST, "/v1/responses").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let id = conversation_of(&response);
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert_eq!((&answer["metadata"], &answer["tools"]), (&json!({"a": "b"}), &json!([])));
    assert_eq!(answer["output"][0]["content"][0]["type"], "output_text");
    assert_eq!(answer["usage"]["input_tokens_details"], json!({"cached_tokens": 0}));
    let context = &server.info(&id).await["agent"]["agent_context"];
    assert_eq!(context["system_message_suffix"], "first\n\nbe brief");
    let path = format!("/api/conversations/{id}/events/search?kind=MessageEvent");
    let (_, found) = server.get(&path).await;
    let content = found["items"][0]["llm_message"]["content"].as_array().unwrap().clone();
    let texts: Vec<&str> = content.iter().filter_map(|part| part["text"].as_str()).collect();
    let told_apart = [
        "<message role=\"user\">",
        "one",
        "</message>",
        "<message role=\"assistant\">",
        "two",
        "</message>",
        "<message role=\"user\">",
        "three",
        "</message>",
    ];
    assert_eq!(texts, told_apart);
    assert_eq!(content[2]["image_urls"], json!(["data:image/png;base64,AA=="]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_key_may_come_as_a_bearer_token_here_and_nowhere_else() {
    let server = start_keyed().await;
    prepare(&server, Some(KEY)).await;
    let get = async |path: &str, name: &str, value: &str| {
        let response = server.request(Method::GET, path).header(name, value).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let as_token = format!("Bearer {KEY}");
    assert_eq!(get("/v1/models", "authorization", &as_token).await.0, 200);
    assert_eq!(get("/v1/models", "x-session-api-key", KEY).await.0, 200);
    assert_eq!(get("/api/settings", "authorization", &as_token).await.0, 401);
    let (status, answer) = get("/v1/models", "authorization", "Bearer wrong").await;
    assert_eq!((status, &answer["detail"]), (401, &json!("Unauthorized")));
    assert_eq!(answer["error"]["type"], "authentication_error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_models_and_conversations_of_its_own() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let call = async |tenant: &str, method: Method, path: &str, body: Value, id: Option<&str>| {
        let request = server.request(method, path).bearer_auth(token(tenant, "read write")).json(&body);
        let request = match id {
            Some(id) => request.header(CONVERSATION, id),
            None => request,
        };
        request.send().await.unwrap()
    };
    let change = json!({"agent_settings_diff": {"llm": {"model": "openai/m", "api_key": "sk-marked"}}});
    call("default", Method::PATCH, "/api/settings", change, None).await;
    call("default", Method::GET, "/api/agent-profiles", json!({}), None).await;
    let id = conversation_of(&call("default", Method::POST, CHAT, chat("hello"), None).await);
    let others = call("b", Method::GET, "/v1/models", json!({}), None).await.json::<Value>().await.unwrap();
    assert_eq!(others["data"], json!([]));
    assert_eq!(
        call("b", Method::POST, CHAT, chat("hello"), Some(&id)).await.status(),
        404,
        "it has no such model"
    );
}
