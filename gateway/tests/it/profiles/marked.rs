//! Keys are in no answer that was not asked for them.

use reqwest::Method;
use serde_json::{Value, json};

use super::saved;
use crate::harness::provider::Provider;
use crate::harness::start;

const KEY: &str = "sk-marked-0123456789";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_in_any_answer() {
    let (server, provider) = (start().await, Provider::start().await);
    let llm = json!({"model": "openai/m", "api_key": KEY, "base_url": provider.base_url(), "aws_session_token": KEY,
        "extra_headers": {"X-Key": KEY}});
    let connection = json!({"display_name": "D", "api_key": KEY});
    let (_, made) = server.post("/api/llm/provider-connections", connection.clone()).await;
    saved(&server, "linked", json!({"model": "openai/m", "provider_connection_id": made["id"]})).await;
    let of_connection = format!("/api/llm/provider-connections/{}", made["id"].as_str().unwrap());
    let meta = json!({"classifier_model": "p", "classes": [{"description": "d", "model": "p"}]});
    let with_llm = Some(json!({ "llm": llm }));
    let mut bad = json!({ "llm": llm });
    bad["llm"]["temperature"] = KEY.into();
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let calls: Vec<(&Method, &str, Option<Value>)> = vec![
        (&post, "/api/profiles/p", with_llm.clone()),
        (&post, "/api/profiles/bad", Some(bad.clone())),
        (&post, "/api/profiles/bad", Some(json!({ "llm": KEY }))),
        (&post, "/api/profiles/bad", Some(json!({"llm": llm, "include_secrets": KEY}))),
        (&get, "/api/profiles", None),
        (&get, "/api/profiles/p", None),
        (&get, "/api/profiles/linked", None),
        (&post, "/api/profiles/p/validate", with_llm),
        (&post, "/api/profiles/p/validate", Some(bad)),
        (&post, "/api/profiles/linked/activate", None),
        (&post, "/api/profiles/p/activate", None),
        (&post, "/api/profiles/p/rename", Some(json!({ "new_name": format!("{KEY}/") }))),
        (&post, "/api/profiles/p/rename", Some(json!({"new_name": "q"}))),
        (&get, "/api/settings", None),
        (&get, "/api/llm/provider-connections", None),
        (&post, "/api/llm/provider-connections", Some(connection)),
        (&post, "/api/llm/provider-connections", Some(json!({"display_name": "D", "api_key": [KEY]}))),
        (&post, "/api/llm/provider-connections", Some(json!({"display_name": "", "api_key": KEY}))),
        (&patch, &of_connection, Some(json!({ "api_key": KEY }))),
        (&delete, &of_connection, None),
        (&delete, "/api/profiles/linked", None),
        (&delete, &of_connection, None),
        (&delete, "/api/profiles/q", None),
        (&post, "/api/meta-profiles/m", Some(meta)),
        (&get, "/api/meta-profiles", None),
        (&get, "/api/meta-profiles/m", None),
        (&post, "/api/meta-profiles/m/activate", None),
        (&delete, "/api/meta-profiles/m", None),
        (&get, "/api/llm/providers", None),
        (&get, "/api/llm/models", None),
        (&get, "/api/llm/models/verified", None),
        (&get, "/api/llm/subscription/openai/models", None),
        (&get, "/api/llm/subscription/openai/status", None),
        (&post, "/api/llm/subscription/openai/device/start", None),
        (&post, "/api/llm/subscription/openai/device/poll", Some(json!({ "device_code": KEY }))),
        (&post, "/api/llm/subscription/openai/logout", None),
    ];
    // It repeats the key that it refuses.
    provider.refuse_once(400, None);
    let mut statuses = Vec::new();
    for (method, path, body) in calls {
        let (status, answer) = server.send(method.clone(), path, body.as_ref()).await;
        assert!(!answer.to_string().contains(KEY), "{method} {path}: {answer}");
        statuses.push(status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&422) && statuses.contains(&409), "{statuses:?}");
    assert_eq!(provider.seen().len(), 1);
}
