//! Secrets of conversations over REST.

use crate::kit::start;
use serde_json::{Value, json};

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
