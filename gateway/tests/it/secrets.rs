//! Secrets of conversations over REST.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::{start, until};
use ports::rpc::Code;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;
use types::ConversationId;
use types::calls::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_beyond_what_a_conversation_may_have_are_refused_and_none_of_them_is_kept() {
    let server = start().await;
    let id = server.create().await;
    let set = async |secrets: Value| {
        server.post(&format!("/api/conversations/{id}/secrets"), json!({"secrets": secrets})).await
    };
    let (status, refusal) = set(json!({"FITS": "f", "LARGE": "x".repeat(70_000)})).await;
    assert_eq!(status, 422, "{refusal}");
    assert!(refusal.to_string().contains("LARGE") && !refusal.to_string().contains("xxx"), "{refusal}");
    for round in 0..3 {
        let more: serde_json::Map<String, Value> =
            (0..4).map(|n| (format!("MORE_{round}_{n}"), json!("x".repeat(60_000)))).collect();
        let (status, refusal) = set(more.into()).await;
        assert_eq!(status, if round == 0 { 200 } else { 422 }, "{round}: {refusal}");
    }
    let info = server.info(&id).await;
    let kept = info["secret_registry"]["secret_sources"].as_object().unwrap();
    assert!(kept.keys().all(|name| name.starts_with("MORE_0")) && kept.len() == 4, "{:?}", kept.keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_were_replaced_or_looked_up_are_kept_sealed_and_told_to_workers_alone() {
    let server = start().await;
    let id = server.create().await;
    let set = async |secrets: Value| {
        let set = server.post(&format!("/api/conversations/{id}/secrets"), json!({"secrets": secrets})).await;
        assert_eq!(set.0, 200, "{}", set.1);
    };
    let remote = json!({"kind": "LookupSecret", "url": "http://127.0.0.1:9/"});
    for value in ["first-value", "second-value", "second-value", "third-value"] {
        set(json!({"STATIC": value, "REMOTE": remote})).await;
    }
    let conversation: ConversationId = id.parse().unwrap();
    for _ in 0..2 {
        server.worker.keep_hidden(conversation, &[("REMOTE", "looked-up-value")]).await.unwrap();
    }
    // What it cannot have looked up.
    server.worker.keep_hidden(conversation, &[("STATIC", "made-up"), ("NONE", "made-up")]).await.unwrap();
    let refused = server.worker.keep_hidden(conversation, &[("REMOTE", &"x".repeat(70_000))]).await;
    assert_eq!(refused.unwrap_err().code, Code::Invalid);
    let names: Vec<String> = (0..1_001).map(|n| format!("N{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let refused = server.worker.keep_hidden(conversation, &many).await;
    assert_eq!(refused.unwrap_err().code, Code::Invalid, "no conversation has so many secrets");

    let copy = server.worker.working_copy(conversation).await;
    let known: Vec<_> = copy.past_secrets.iter().collect();
    assert_eq!(known, [("STATIC", "first-value"), ("STATIC", "second-value"), ("REMOTE", "looked-up-value")]);
    let stored = server.ports.kv.get("CONVERSATIONS", &conversation.hex()).await.unwrap().unwrap();
    let record = String::from_utf8(stored.value.to_vec()).unwrap();
    let info = server.info(&id).await.to_string();
    for (what, text) in [("record", record), ("info", info)] {
        assert!(!text.contains("-value"), "{what}: {text}");
    }
}

/// The worker may have it: with a record that names another one its next call would be refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_a_worker_was_told_of_is_in_the_record_though_its_answer_is_lost_or_nobody_waits_for_it()
{
    for is_answered in [false, true] {
        let server = start().await;
        let id = server.create().await;
        let held = Arc::new(Notify::new());
        server.worker.script(|script| (script.held, script.ends_early) = (Some(held.clone()), !is_answered));
        let request = server.request(Method::POST, &format!("/api/conversations/{id}/switch_llm"));
        let llm = json!({"model": "openai/other", "api_key": "sk-other", "usage_id": "agent"});
        let asking = tokio::spawn(request.json(&json!({ "llm": llm })).send());
        let is_told = |command: &Command| matches!(command, Command::SwitchLlm { .. });
        until(async || server.worker.seen().iter().any(is_told)).await;
        if is_answered {
            asking.abort();
            // By then the server has seen that its client has gone.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        held.notify_one();
        until(async || server.info(&id).await["agent"]["llm"]["model"] == "openai/other").await;
    }
}
