//! Answers of a model that did not end by themselves, in each dialect: none of them finishes a task, and no call that was cut off
//! is run.

use serde_json::{Value, json};
use testing::client::conversation;
use testing::model::Model;
use testing::script::{Call, Ending, Turn};
use testing::server::Start;

/// What an agent says and does, and what becomes of it: the last turn is the only one that ends by itself.
fn turns() -> Vec<Turn> {
    let shell = |id: &str, command: &str| Call {
        id: id.to_owned(),
        name: "terminal".to_owned(),
        arguments: json!({ "command": command }),
    };
    let finish = Call {
        id: "call_4".to_owned(),
        name: "finish".to_owned(),
        arguments: json!({ "message": "too early" }),
    };
    vec![
        Turn::text("I will beg").ending(Ending::Cut),
        Turn::calls(vec![shell("call_1", "touch whole"), shell("call_2", "touch cut")]).ending(Ending::Cut),
        Turn::text("Now I").ending(Ending::Withheld),
        Turn::calls(vec![shell("call_3", "touch withheld"), finish]).ending(Ending::Withheld),
        Turn::text("").ending(Ending::Cut),
        Turn::finish("All is done."),
    ]
}

async fn only_what_is_whole_counts(llm: Value, path: &str) {
    let model = Model::start(0, vec![]).await.unwrap();
    model.will(turns());
    let server = Start::new(env!("CARGO_BIN_EXE_manyhands")).start();
    let work = server.project().join("w");
    let base_url = format!("http://{}{path}", model.address());
    let mut body = conversation(&base_url, &work.display().to_string());
    let asked = body["agent"]["llm"].as_object_mut().unwrap();
    asked.extend(llm.as_object().unwrap().clone());
    let id = server.client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
    server.client.send(&id, "Go.", true).await;
    server.client.wait_for_status(&id, "finished").await;

    let said = server.client.get_ok(&format!("/api/conversations/{id}/agent_final_response")).await;
    assert_eq!(said["response"], "All is done.");
    let made = |name: &str| work.join(name).exists();
    assert_eq!(["whole", "cut", "withheld"].map(made), [true, false, false]);
    assert_eq!(model.asked(), turns().len(), "nothing is refused, and nothing asked twice");
    let events = server.client.events(&id).await;
    let errors: Vec<_> = events.iter().filter(|event| event["kind"] == "AgentErrorEvent").collect();
    let of = |id: &str| errors.iter().find(|error| error["tool_call_id"] == id).unwrap()["error"].to_string();
    assert!(of("call_2").contains("cut at the output limit; this call was not run"));
    assert!(of("call_3").contains("this call was not run") && of("call_4").contains("was not run"));
    let is_notice = |event: &&Value| event.to_string().contains("[The provider withheld the rest.]");
    assert_eq!(events.iter().filter(is_notice).count(), 1);
    assert!(events.iter().all(|event| event["kind"] != "ConversationErrorEvent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_completions_that_are_cut_or_withheld_finish_nothing() {
    only_what_is_whole_counts(json!({}), "/v1").await;
    only_what_is_whole_counts(json!({ "stream": true }), "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_are_cut_or_withheld_finish_nothing() {
    only_what_is_whole_counts(json!({ "api_mode": "responses" }), "/v1").await;
    only_what_is_whole_counts(json!({ "api_mode": "responses", "stream": true }), "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_cut_or_withheld_finish_nothing() {
    let model = "anthropic/claude-3-5-haiku-20241022";
    only_what_is_whole_counts(json!({ "model": model }), "").await;
    only_what_is_whole_counts(json!({ "model": model, "stream": true }), "").await;
}
