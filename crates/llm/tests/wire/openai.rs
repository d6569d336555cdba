//! The chat API, as most providers speak it.

use serde_json::json;
use types::content::joined_text;

use super::fake::{FakeModel, SESSION, Turn, ask, calls, chat, client, result, tool, user};

#[tokio::test]
async fn openai_tool_calls_come_back_in_order() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "terminal", "arguments": arguments}});
    let said = json!({"role": "assistant", "content": "Both.", "reasoning_content": "hm",
        "tool_calls": [call("b", "{\"command\": \"ls"), call("a", "{}")]});
    let fake = FakeModel::start([Turn::ok(&chat(said))]).await;
    let answer = ask(&fake.llm("openai/gpt-4o"), vec![user("go")]).await.unwrap();
    let got: Vec<_> =
        answer.message.tool_calls.iter().map(|c| (c.id.as_str(), c.arguments.as_str())).collect();
    assert_eq!(got, [("b", "{\"command\": \"ls"), ("a", "{}")]);
    assert_eq!(joined_text(&answer.message.content), "Both.");
    assert_eq!(answer.message.reasoning_content.as_deref(), Some("hm"));
}

#[tokio::test]
async fn openai_usage_and_cost_are_counted() {
    let fake = FakeModel::start([Turn::ok(&chat(json!({"content": "hi"})))]).await;
    let answer = ask(&fake.llm("openai/gpt-4o"), vec![user("go")]).await.unwrap();
    let tokens = &answer.tokens;
    assert_eq!((tokens.prompt_tokens, tokens.completion_tokens, tokens.per_turn_token), (100, 10, 110));
    assert_eq!((tokens.cache_read_tokens, tokens.reasoning_tokens), (40, 4));
    assert_eq!((tokens.model.as_str(), tokens.response_id.as_str()), ("openai/gpt-4o", "chatcmpl-1"));
    assert_eq!(tokens.context_window, 128_000);
    let expected = (60.0 * 2.5 + 40.0 * 1.25 + 10.0 * 10.0) / 1e6;
    assert!((answer.cost - expected).abs() < 1e-12, "{}", answer.cost);
    assert_eq!(answer.id, "chatcmpl-1");
    assert!(answer.latency > 0.0);
}

#[tokio::test]
async fn openai_history_pairs_every_tool_call() {
    let fake = FakeModel::start([Turn::ok(&chat(json!({"content": "hi"})))]).await;
    let history = vec![
        user("go"),
        calls(&["1", "2"]),
        result("2", "two"),
        user("also"),
        result("1", "one"),
        calls(&["3"]),
    ];
    ask(&fake.llm("openai/gpt-4o"), history).await.unwrap();
    let body = fake.asked()[0].body.clone();
    let outline: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["role"].as_str().unwrap(), m["tool_call_id"].as_str().unwrap_or_default()))
        .collect();
    let expected = [
        ("user", ""),
        ("assistant", ""),
        ("tool", "1"),
        ("tool", "2"),
        ("user", ""),
        ("assistant", ""),
        ("tool", "3"),
    ];
    assert_eq!(outline, expected);
}

#[tokio::test]
async fn an_empty_message_is_an_answer() {
    let fake = FakeModel::start([Turn::ok(&chat(json!({"role": "assistant", "content": null})))]).await;
    let answer = ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap();
    assert!(answer.message.content.is_empty() && answer.message.tool_calls.is_empty());
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let turns = (0..5).map(|_| Turn::ok(&chat(json!({"content": "hi"}))));
    let fake = FakeModel::start(turns).await;
    let (client, llm) = (client(), fake.llm("openai/x"));
    let request = types::model::ModelRequest::new(vec![user("go")], vec![tool()]);
    for _ in 0..5 {
        client.complete(&llm, SESSION, &request, None).await.unwrap();
    }
    assert_eq!((fake.asked().len(), fake.connections()), (5, 1));
}

#[tokio::test]
async fn the_key_and_the_session_travel_in_headers() {
    let fake = FakeModel::start([Turn::ok(&chat(json!({"content": "hi"})))]).await;
    ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap();
    let asked = &fake.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], "Bearer sk-test-0123456789");
    assert_eq!(asked.headers["x-litellm-session-id"], SESSION);
    assert_eq!(asked.headers["content-type"], "application/json");
}
