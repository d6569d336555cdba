//! Who is shown what of the secrets.

use reqwest::Method;
use serde_json::{Value, json};

use super::{changed, llm, patch, plain, shown};
use crate::harness::tokens::{bearer, token};
use crate::harness::{Gateway, config};
use crate::harness::{Server, start, start_with, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_a_change_is_masked_whatever_is_asked() {
    let server = start().await;
    let request = server.request(Method::PATCH, "/api/settings");
    let response = request.header("x-expose-secrets", "plaintext").json(&llm("sk-1")).send().await.unwrap();
    let settings: Value = response.json().await.unwrap();
    assert_eq!(settings["agent_settings"]["llm"]["api_key"], "**********");
    assert_eq!(settings["llm_api_key_is_set"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_shown_masked_sealed_or_plain_and_an_unset_one_as_null() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    let key = |settings: &Value| settings["agent_settings"]["llm"]["api_key"].clone();
    assert_eq!(key(&shown(&server, "").await.1), "**********");
    assert_eq!(key(&plain(&server).await), "sk-1");
    let (_, sealed) = shown(&server, "encrypted").await;
    assert!(key(&sealed).as_str().unwrap().starts_with("gAAAAA"), "{sealed}");
    assert_eq!(sealed["agent_settings"]["llm"]["aws_session_token"], Value::Null);
    let (status, answer) = shown(&server, "zzz").await;
    assert_eq!(
        (status, &answer["detail"]),
        (
            400,
            &json!(
                "Invalid X-Expose-Secrets header value: 'zzz'. Valid values are: 'encrypted', 'plaintext'."
            )
        )
    );
}

/// Defect A17 of the peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_never_reads_secrets_in_plain_text() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let get = async |scope: &str, how: &str, of_page: Option<(&str, &str)>| {
        let request = server.request(Method::GET, "/api/settings");
        let mut request = request.bearer_auth(token("a", scope)).header("x-expose-secrets", how);
        if let Some((name, value)) = of_page {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let page = Some(("origin", "http://localhost:3000"));
    assert_eq!(get("read write", "plaintext", page).await, 403);
    // Pages of the server's own origin send no `Origin`.
    assert_eq!(get("read write", "plaintext", Some(("sec-fetch-site", "same-origin"))).await, 403);
    assert_eq!(get("read write", "encrypted", page).await, 200);
    assert_eq!(get("read", "plaintext", None).await, 403, "who may only look");
    assert_eq!(get("read write", "plaintext", None).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_have_nothing_shown_in_plain_text() {
    let server = start_with(|config| config.site.plaintext_secrets = false).await;
    assert_eq!(shown(&server, "plaintext").await.0, 403);
    assert_eq!(shown(&server, "encrypted").await.0, 200);
}

async fn as_tenant(server: &Server, tenant: &str, method: Method, body: Option<Value>) -> (u16, Value) {
    let request = server.request(method, "/api/settings");
    let mut request =
        request.bearer_auth(token(tenant, "read write")).header("x-expose-secrets", "encrypted");
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_sees_nothing_and_cannot_use_what_it_was_told() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    as_tenant(&server, "a", Method::PATCH, Some(llm("sk-1"))).await;
    let (_, of_a) = as_tenant(&server, "a", Method::GET, None).await;
    let (_, of_b) = as_tenant(&server, "b", Method::GET, None).await;
    assert_eq!(
        (&of_b["llm_api_key_is_set"], &of_b["agent_settings"]["llm"]["model"]),
        (&json!(false), &json!("gpt-5.6"))
    );
    let sealed = of_a["agent_settings"]["llm"]["api_key"].as_str().unwrap();
    let (status, answer) = as_tenant(&server, "b", Method::PATCH, Some(llm(sealed))).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(as_tenant(&server, "a", Method::PATCH, Some(llm(sealed))).await.0, 200);
}

/// Defect B29 of the peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_key_shows_all_but_the_secrets_and_loses_none() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    let mut config = config();
    config.secret_key = "another key".into();
    let other = Gateway::start(server.ports.clone(), config).await;
    let get = async |path: &str, how: &str| {
        let request = other.request(Method::GET, path).header("x-expose-secrets", how);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(get("/api/settings", "").await.0, 200);
    let (status, answer) = get("/api/settings", "plaintext").await;
    assert_eq!(status, 409);
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .starts_with("Settings file is corrupted or encrypted with a different key")
    );
    until(async || get("/ready", "").await.1 == json!({"status": "ready", "secrets": "unreadable"})).await;
    let (status, _) = patch(&server, json!({"misc_settings_diff": {"a": 1}})).await;
    assert_eq!(status, 200);
    assert_eq!(plain(&server).await["agent_settings"]["llm"]["api_key"], "sk-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_of_the_key_the_next_start_seals_everything_anew() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    server.send(Method::PUT, "/api/settings/secrets", Some(&json!({"name": "A", "value": "sk-2"}))).await;
    let with = |current: &str, previous: &[&str]| {
        let mut config = config();
        config.secret_key = current.into();
        config.site.previous_secret_keys = previous.iter().map(|&key| key.into()).collect();
        Gateway::start(server.ports.clone(), config)
    };
    let _rotating = with("new", &["the secret key"]).await;
    // It has done so when a server that knows the new key alone can open them.
    let new = with("new", &[]).await;
    let value = async |path: &str| {
        let request = new.request(Method::GET, path);
        let response = request.header("x-expose-secrets", "plaintext").send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    until(async || value("/api/settings").await.0 == 200).await;
    until(async || value("/api/settings/secrets/A").await == (200, "sk-2".to_owned())).await;
    assert!(value("/api/settings").await.1.contains("\"sk-1\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_is_kept_nowhere_on_its_way() {
    let server = start().await;
    server.post("/api/profiles/p", json!({"llm": {"model": "openai/m", "api_key": "sk-1"}})).await;
    let ways = ["", "encrypted", "plaintext"]
        .map(|how| ["/api/settings", "/api/profiles/p"].map(|path| (path, how)));
    for (path, how) in ways.into_iter().flatten() {
        let request = server.request(Method::GET, path).header("x-expose-secrets", how);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        let varies = response.headers().get_all("vary").iter().any(|by| by == "x-expose-secrets");
        assert!(varies, "{path}: {:?}", response.headers());
    }
}
