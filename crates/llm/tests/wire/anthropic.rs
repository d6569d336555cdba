//! What is special about Anthropic's API.

use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::{Message, Role, joined_text};

use super::fake::{FakeModel, Turn, ask, calls, messages, result, user};

const SONNET: &str = "anthropic/claude-sonnet-4-5-20250929";

#[tokio::test]
async fn both_base_url_forms_reach_v1_messages() {
    let turn = || Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])));
    let fake = FakeModel::start([turn(), turn()]).await;
    for base in [fake.url(), format!("{}/v1", fake.url())] {
        let llm = LlmConfig { base_url: Some(base), ..fake.llm(SONNET) };
        ask(&llm, vec![user("go")]).await.unwrap();
    }
    let paths: Vec<_> = fake.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/v1/messages", "/v1/messages"]);
    let headers = &fake.asked()[0].headers;
    assert_eq!(headers["x-api-key"], "sk-test-0123456789");
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert_eq!(headers["anthropic-beta"], "interleaved-thinking-2025-05-14");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn anthropic_answers_keep_thinking_and_sum_the_prompt() {
    let blocks = json!([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "On it."}, {"type": "tool_use", "id": "toolu_1", "name": "terminal", "input": {"command": "ls"}}]);
    let fake = FakeModel::start([Turn::ok(&messages(blocks.clone()))]).await;
    let answer = ask(&fake.llm(SONNET), vec![user("go")]).await.unwrap();
    assert_eq!(answer.message.thinking_blocks, [blocks[0].clone(), blocks[1].clone()]);
    assert_eq!(answer.message.reasoning_content.as_deref(), Some("hm"));
    assert_eq!(joined_text(&answer.message.content), "On it.");
    let call = &answer.message.tool_calls[0];
    assert_eq!((call.id.as_str(), call.arguments.as_str()), ("toolu_1", "{\"command\":\"ls\"}"));
    let tokens = &answer.tokens;
    assert_eq!((tokens.prompt_tokens, tokens.cache_read_tokens, tokens.cache_write_tokens), (42, 7, 5));
    assert_eq!(tokens.context_window, 200_000);
}

/// What the API itself demands: roles alternate, and each call is answered in the next message.
fn assert_pairs(body: &Value) {
    let all = body["messages"].as_array().unwrap();
    assert_eq!(all[0]["role"], "user");
    for (place, message) in all.iter().enumerate() {
        let ids = |message: &Value, kind: &str, key: &str| -> Vec<Value> {
            let blocks = message["content"].as_array().unwrap().iter();
            blocks.filter(|block| block["type"] == kind).map(|block| block[key].clone()).collect()
        };
        let uses = ids(message, "tool_use", "id");
        if !uses.is_empty() {
            assert_eq!(ids(&all[place + 1], "tool_result", "tool_use_id"), uses);
        }
        assert!(place == 0 || all[place - 1]["role"] != message["role"]);
    }
}

#[tokio::test]
async fn anthropic_history_pairs_every_tool_use() {
    let fake = FakeModel::start([Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])))]).await;
    let history = vec![
        user("go"),
        calls(&["1", "2"]),
        result("2", "two"),
        user("also"),
        result("1", ""),
        calls(&["3"]),
        result("lost", "nobody asked"),
        user("on"),
    ];
    ask(&fake.llm(SONNET), history).await.unwrap();
    let body = fake.asked()[0].body.clone();
    assert_pairs(&body);
    let results = body["messages"][2]["content"].as_array().unwrap();
    assert_eq!(results[0], json!({"type": "tool_result", "tool_use_id": "1"}));
    assert_eq!(results[2], json!({"type": "text", "text": "also"}));
}

#[tokio::test]
async fn arguments_that_are_no_object_are_shown_to_the_model() {
    let fake = FakeModel::start([Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])))]).await;
    let mut broken = calls(&["1", "2", "3"]);
    for (call, arguments) in broken.tool_calls.iter_mut().zip(["{\"a\"", "", "[1]"]) {
        arguments.clone_into(&mut call.arguments);
    }
    ask(&fake.llm(SONNET), vec![user("go"), broken]).await.unwrap();
    let blocks = fake.asked()[0].body["messages"][1]["content"].clone();
    assert_eq!(blocks[0]["input"], json!({"unreadable_arguments": "{\"a\""}));
    assert_eq!(blocks[1]["input"], json!({}));
    assert_eq!(blocks[2]["input"], json!({"unreadable_arguments": "[1]"}));
}

/// "thinking.signature: Field required": relays lose them.
#[tokio::test]
async fn thoughts_without_their_signature_are_not_sent_back_to_claude() {
    let said = Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])));
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": ""});
    let thoughtful = Message { thinking_blocks: vec![thought], ..calls(&["1"]) };
    for (model, kept) in [(SONNET, false), ("anthropic/kimi-k2", true)] {
        let fake = FakeModel::start([said.clone()]).await;
        let llm = LlmConfig { extended_thinking_budget: Some(2048), ..fake.llm(model) };
        ask(&llm, vec![user("go"), thoughtful.clone(), result("1", "x")]).await.unwrap();
        let body = &fake.asked()[0].body;
        assert_eq!(body["messages"][1]["content"][0]["type"] == "thinking", kept, "{body}");
        assert_eq!(body.get("thinking"), None, "{body}");
    }
}

/// "Expected `thinking` or `redacted_thinking`, but found `tool_use`": after a change of the model nothing can be done about it.
#[tokio::test]
async fn thinking_is_not_asked_for_in_a_round_that_began_without() {
    let turn = || Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])));
    let fake = FakeModel::start([turn(), turn(), turn()]).await;
    let llm = LlmConfig { extended_thinking_budget: Some(2048), ..fake.llm(SONNET) };
    let block = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let thoughtful = Message { thinking_blocks: vec![block], ..calls(&["1"]) };
    for round in [
        vec![user("go"), calls(&["1"]), result("1", "one")],
        vec![user("go"), thoughtful, result("1", "one")],
        vec![
            user("go"),
            calls(&["1"]),
            result("1", "one"),
            Message::new(Role::Assistant, "done"),
            user("more"),
        ],
    ] {
        ask(&llm, round).await.unwrap();
    }
    let thinks: Vec<_> = fake.asked().iter().map(|asked| asked.body.get("thinking").is_some()).collect();
    assert_eq!(thinks, [false, true, true]);
}

#[tokio::test]
async fn an_answer_goes_back_as_it_came_whole_and_streamed() {
    let thinking =
        |text: &str| json!({"type": "thinking", "thinking": text, "signature": format!("s-{text}")});
    let text = |text: &str| json!({"type": "text", "text": text});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "terminal", "input": {"command": id}});
    let usual =
        json!([thinking("a"), {"type": "redacted_thinking", "data": "x"}, text("b"), call("1"), call("2")]);
    let woven = json!([
        thinking("a"),
        text("b"),
        call("1"),
        thinking("c"),
        {"type": "redacted_thinking", "data": "x"},
        text("d"),
        call("2"),
        call("3"),
        text("e")
    ]);
    let text_first = json!([text("b"), thinking("a"), call("1"), text("c"), thinking("d")]);
    for (blocks, kept) in [(usual, 5), (woven, 9), (text_first, 4)] {
        let all = blocks.as_array().unwrap();
        let events = all.iter().enumerate().flat_map(|(index, block)| {
            [
                json!({"type": "content_block_start", "index": index, "content_block": block}),
                json!({"type": "content_block_stop", "index": index}),
            ]
        });
        let begin = json!({"type": "message_start", "message": {"id": "m"}});
        let end = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}});
        let streamed: Vec<_> =
            std::iter::once(begin).chain(events).chain([end, json!({"type": "message_stop"})]).collect();
        let done = || Turn::ok(&messages(json!([{"type": "text", "text": "hi"}])));
        let fake =
            FakeModel::start([Turn::ok(&messages(blocks.clone())), done(), Turn::events(&streamed), done()])
                .await;
        for stream in [false, true] {
            let llm = LlmConfig { stream, extended_thinking_budget: Some(2048), ..fake.llm(SONNET) };
            let answer = ask(&llm, vec![user("go")]).await.unwrap();
            let ids = answer.message.tool_calls.iter().map(|call| result(&call.id, "ok"));
            let history = [user("go"), answer.message.clone()].into_iter().chain(ids).collect();
            ask(&LlmConfig { stream: false, ..llm }, history).await.unwrap();
            let asked = fake.asked().pop().unwrap().body;
            assert_eq!(asked["messages"][1]["content"].as_array().unwrap()[..], all[..kept]);
            assert_eq!(strict::check(strict::Dialect::Anthropic, &asked), Ok(()), "{asked}");
            let begins_with_thinking = all[0]["type"] == "thinking";
            assert_eq!(asked.get("thinking").is_some(), begins_with_thinking);
        }
    }
}
