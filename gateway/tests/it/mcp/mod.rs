//! MCP servers, tried out and logged in to.

mod fake;
mod logins;
mod lost;
mod providers;
mod replayed;
mod trials;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::harness::Client;
use fake::Fake;

/// Status and answer of a call with a body.
async fn post(client: &Client, path: &str, body: Value) -> (u16, Value) {
    client.send(Method::POST, path, Some(&body)).await
}

/// What comes of a trial.
async fn test(client: &Client, body: Value) -> Value {
    let (status, answer) = post(client, "/api/mcp/test", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// A server that is to be logged in to.
fn asking(fake: &Fake) -> Value {
    logged_in(fake, &Value::Null)
}

/// A server with what a login has come to.
fn logged_in(fake: &Fake, state: &Value) -> Value {
    json!({"server": {"url": fake.url(), "auth": {"strategy": "oauth2", "state": state}}})
}

/// The job, and the address that the browser comes back to with this code.
async fn begun(client: &Client, fake: &Fake, code: &str) -> (String, String) {
    begun_from(client, asking(fake), code).await
}

async fn begun_from(client: &Client, body: Value, code: &str) -> (String, String) {
    let (status, answer) = post(client, "/api/mcp/oauth/start", body).await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    let url = Url::parse(answer["authorization_url"].as_str().unwrap()).unwrap();
    let value = |name: &str| url.query_pairs().find(|(field, _)| field == name).unwrap().1.into_owned();
    let mut back = Url::parse(&value("redirect_uri")).unwrap();
    back.query_pairs_mut().append_pair("code", code).append_pair("state", &value("state"));
    (answer["job_id"].as_str().unwrap().to_owned(), back.into())
}

async fn status(client: &Client, job: &str) -> (u16, Value) {
    client.get(&format!("/api/mcp/oauth/status/{job}")).await
}

async fn call_back(client: &Client, job: &str, url: &str) -> (u16, Value) {
    post(client, &format!("/api/mcp/oauth/callback/{job}"), json!({ "callback_url": url })).await
}
