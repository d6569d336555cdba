//! Logins with MCP servers.

use control::placement::Policy;
use reqwest::Url;
use serde_json::{Value, json};

use super::fake::{CODE, Fake, Way};
use super::{asking, begun, call_back, post, status, test};
use crate::harness::stepped::idle;
use crate::harness::tokens::{bearer, token};
use crate::harness::{start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_begun_on_one_gateway_ends_on_the_other() {
    let server = start().await;
    let other = server.replica().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    assert_eq!(job.len(), 32);
    let (_, waiting) = status(&other, &job).await;
    assert_eq!((&waiting["status"], &waiting["callback_ready"]), (&json!("authorizing"), &json!(true)));
    let (code, ended) = call_back(&other, &job, &back).await;
    assert_eq!((code, &ended["status"]), (200, &json!("succeeded")), "{ended}");
    assert_eq!(ended["tools"], json!(["add", "fail", "show"]));
    let state = &ended["oauth_state"];
    for secret in ["/tokens/access_token", "/tokens/refresh_token", "/client_info/client_secret"] {
        assert!(state.pointer(secret).unwrap().as_str().unwrap().starts_with("gAAAAA"), "{secret}: {state}");
    }
    assert_eq!(state["client_info"]["client_id"], "client-1");
    assert!(state["token_expires_at"].is_number());
    assert!(!ended.to_string().contains("marked"), "{ended}");
    assert_eq!(status(&server, &job).await.1, ended);
    // A code is good once: who comes again is told what came of it.
    assert_eq!(call_back(&server, &job, &back).await, (200, ended.clone()));
    let exchanges = fake.asked().iter().filter(|asked| asked.contains("authorization_code")).count();
    assert_eq!(exchanges, 1);
    // What clients are given can be sent back and works.
    let auth = json!({"strategy": "oauth2", "state": state});
    let again = test(&other, json!({"server": {"url": fake.url(), "auth": auth}})).await;
    assert_eq!(
        (&again["ok"], &again["oauth_state"]["client_info"]["client_id"]),
        (&json!(true), &json!("client-1"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_of_another_job_is_refused() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, others) = begun(&server, &fake, CODE).await;
    let detail = |text: &str| json!({ "detail": text });
    let port = Url::parse(&back).unwrap().port().unwrap();
    let elsewhere = format!("http://127.0.0.1:{port}/other");
    for (url, refusal) in [
        ("https://localhost/callback", "Invalid OAuth callback URL"),
        ("http://x.example/callback", "Invalid OAuth callback URL"),
        ("no url", "Invalid OAuth callback URL"),
        ("http://localhost:1/callback", "Unexpected OAuth callback URL"),
        (elsewhere.as_str(), "Unexpected OAuth callback URL"),
        (others.as_str(), "Unexpected OAuth callback URL"),
    ] {
        assert_eq!(call_back(&server, &job, url).await, (400, detail(refusal)), "{url}");
    }
    // Neither does a guess end somebody's login.
    let mut guess = Url::parse(&back).unwrap();
    guess.set_query(Some(&format!("code={CODE}&state=guess")));
    assert_eq!(
        call_back(&server, &job, guess.as_str()).await,
        (400, detail("Unexpected OAuth callback URL"))
    );
    assert_eq!(status(&server, &job).await.1["status"], "authorizing");
    assert_eq!(call_back(&server, &job, &back).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_authorization_and_a_wrong_code_are_told() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let refused = back.replace(&format!("code={CODE}"), "error=access_denied");
    let (_, answer) = call_back(&server, &job, &refused).await;
    assert_eq!(answer["error"], "The authorization was refused (access_denied).");
    let (job, back) = begun(&server, &fake, "another-code").await;
    let (_, answer) = call_back(&server, &job, &back).await;
    assert_eq!(answer["status"], "failed");
    assert_eq!(answer["error"], "The provider of the login answered HTTP 400 (invalid_grant).");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_on_this_machine_is_taken_where_it_comes_back_to() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let here = back.replace("localhost", "127.0.0.1");
    let other = here.replace("/callback", "/favicon.ico");
    assert_eq!(browser.get(other).send().await.unwrap().status(), 404);
    let page = browser.get(here).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("logged in"));
    assert_eq!(status(&server, &job).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_over_is_renewed() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    fake.forget_tokens();
    let auth = json!({"strategy": "oauth2", "state": ended["oauth_state"]});
    let body = json!({"server": {"url": fake.url(), "auth": auth}});
    let renewed = test(&server, body.clone()).await;
    assert_eq!(renewed["ok"], true, "{renewed}");
    assert!(fake.asked().contains(&"POST /token refresh_token".to_owned()));
    // A login that works needs no new one.
    let auth = json!({"strategy": "oauth2", "state": renewed["oauth_state"]});
    let (_, started) =
        post(&server, "/api/mcp/oauth/start", json!({"server": {"url": fake.url(), "auth": auth}})).await;
    assert_eq!((&started["ok"], started.get("authorization_url")), (&json!(true), None), "{started}");
    assert_eq!(status(&server, started["job_id"].as_str().unwrap()).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_login_a_server_that_asks_for_one_is_told() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let answer = test(&server, asking(&fake)).await;
    let told =
        json!({"ok": false, "error": "The server asks for an authorization.", "error_kind": "connection"});
    assert_eq!(answer, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_nobody_elses_and_is_stored_sealed() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let fake = Fake::start(Way::Login).await;
    let ask = async |tenant: &str, method: reqwest::Method, path: &str, body: Value| {
        let request = server.request(method, path).bearer_auth(token(tenant, "read write"));
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (_, started) = ask("a", reqwest::Method::POST, "/api/mcp/oauth/start", asking(&fake)).await;
    let job = started["job_id"].as_str().unwrap();
    let path = format!("/api/mcp/oauth/status/{job}");
    assert_eq!(ask("a", reqwest::Method::GET, &path, json!({})).await.0, 200);
    let missing = (404, json!({"detail": "MCP OAuth job not found"}));
    assert_eq!(ask("b", reqwest::Method::GET, &path, json!({})).await, missing);
    let callback = format!("/api/mcp/oauth/callback/{job}");
    let body = json!({"callback_url": "http://localhost:1/callback"});
    assert_eq!(ask("b", reqwest::Method::POST, &callback, body).await, missing);
    let stored = server.ports.kv.get("LOGINS", "a").await.unwrap().unwrap();
    let stored = String::from_utf8_lossy(&stored.value).into_owned();
    assert!(
        stored.contains(job) && !stored.contains("client-secret") && !stored.contains("mcp\""),
        "{stored}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_that_a_login_has_come_to_is_told() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, logged_in) = call_back(&server, &job, &back).await;
    fake.be_rude(true);
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, fresh) = call_back(&server, &job, &back).await;
    fake.forget_tokens();
    let auth = json!({"strategy": "oauth2", "state": logged_in["oauth_state"]});
    let renewed = test(&server, json!({"server": {"url": fake.url(), "auth": auth}})).await;
    for told in [fresh, renewed] {
        assert_eq!(told["error"], "The server refused: no, Bearer **********", "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_whose_client_hangs_up_is_finished() {
    let (world, store) = idle(Policy::Shared).await;
    let fake = Fake::start(Way::Login).await;
    let client = world.gateway();
    let (job, back) = begun(client, &fake, CODE).await;
    let taken = store.stop_before("LOGINS", "\"taken_at\":1");
    let callback = client.request(reqwest::Method::POST, &format!("/api/mcp/oauth/callback/{job}"));
    let calling = tokio::spawn(callback.json(&json!({ "callback_url": back })).send());
    taken
        .meanwhile(async {
            calling.abort();
            let _ = calling.await;
        })
        .await;
    testing::until(async || status(client, &job).await.1["status"] == "succeeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_for_browsers_closes_with_its_login() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let port = Url::parse(&back).unwrap().port().unwrap();
    let is_open = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    assert!(is_open().await);
    assert_eq!(call_back(&server, &job, &back).await.1["status"], "succeeded");
    testing::until(async || !is_open().await).await;
    let (first, back) = begun(&server, &fake, CODE).await;
    let port = Url::parse(&back).unwrap().port().unwrap();
    // Others make the first one's job go.
    for _ in 0..16 {
        begun(&server, &fake, CODE).await;
    }
    assert_eq!(status(&server, &first).await.0, 404);
    testing::until(async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()).await;
}
