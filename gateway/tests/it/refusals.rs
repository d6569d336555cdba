//! The form of refusals: `{"detail": …}`, readable for pages that are allowed, on a connection that lives on.

use std::sync::Arc;

use parking_lot::Mutex;
use ports::doubles::KvDouble;
use ports::{Error, Kv, Ports, Result};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Gateway, KEY, config, create_body, start, start_keyed, start_with};

const ORIGIN: &str = "http://localhost:3000";

/// A store that fails as it is told to.
struct Failing {
    kv: Arc<dyn Kv>,
    error: Mutex<Option<Error>>,
}

impl KvDouble for Failing {
    fn inner(&self) -> Result<&dyn Kv> {
        self.error.lock().clone().map_or(Ok(self.kv.as_ref()), Err)
    }
}

/// Sends it as a page does, and looks at what every refusal has.
async fn refused(request: RequestBuilder, status: u16) -> Value {
    let response = request.header("origin", ORIGIN).send().await.unwrap();
    assert_eq!(response.status(), status);
    detail(response).await
}

async fn detail(response: Response) -> Value {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    assert_eq!(headers["access-control-allow-origin"], ORIGIN, "{status}");
    assert_eq!(headers["content-type"], "application/json", "{status}");
    let mut body: Map<String, Value> = response.json().await.unwrap();
    let detail = body.remove("detail").unwrap_or_default();
    assert!(detail.as_str().is_some_and(|text| !text.is_empty()) || detail.is_array(), "{status}: {detail}");
    let has_id = body.remove("error_id").is_some();
    assert!(!has_id || status >= 500, "{status}");
    assert!(body.is_empty(), "{status} says more: {body:?}");
    detail
}

fn get(client: &Client, path: &str) -> RequestBuilder {
    client.request(Method::GET, path)
}

fn post(client: &Client, path: &str, body: &Value) -> RequestBuilder {
    client.request(Method::POST, path).json(body)
}

#[tokio::test]
async fn every_kind_of_refusal_says_why_in_one_form_to_pages_as_well() {
    let server = start_with(|config| {
        config.limits.json_bytes = 4_000;
        config.limits.rates.of_a_tenant = Some(10);
    })
    .await;
    let id = server.create().await;
    let conversation = format!("/api/conversations/{id}");
    let command = "/api/bash/start_bash_command";

    refused(server.request(Method::PATCH, "/api/settings").json(&json!({})), 400).await;
    refused(get(&server, "/api/nothing"), 404).await;
    refused(get(&server, "/api/conversations/00000000-0000-4000-8000-000000000009"), 404).await;
    refused(server.request(Method::POST, "/health"), 405).await;
    refused(post(&server, &format!("{conversation}/condense"), &json!({})), 409).await;
    refused(post(&server, command, &json!({"command": "x".repeat(5_000)})), 413).await;
    let kind = server.request(Method::POST, command).header("content-type", "text/plain").body("{}");
    refused(kind, 415).await;
    let invalid = refused(post(&server, command, &json!({"command": 1})), 422).await;
    assert_eq!(invalid[0]["loc"], json!(["body", "command"]));
    let deep = server.request(Method::POST, command).header("content-type", "application/json");
    let invalid =
        refused(deep.body(format!("{{\"command\":{}{}}}", "[".repeat(1_900), "]".repeat(1_900))), 422).await;
    assert_eq!(invalid[0]["type"], "json_invalid");
    refused(get(&server, "/health").header("x-long", "x".repeat(70_000)), 431).await;
    let many = (0..150).fold(get(&server, "/health"), |request, n| request.header(format!("x-{n}"), "x"));
    refused(many, 431).await;
    assert_eq!(server.info(&id).await["id"], json!(id), "{conversation}");
    for _ in 0..2_000 {
        let response = get(&server, "/api/tools/").header("origin", ORIGIN).send().await.unwrap();
        if response.status() == 429 {
            assert!(response.headers().contains_key("retry-after"));
            return drop(detail(response).await);
        }
    }
    panic!("nobody was refused for asking often");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_in_the_same_form() {
    let server = start_keyed().await;
    refused(get(&server, "/api/tools/"), 401).await;
    refused(get(&server, "/sockets/bash-events"), 404).await;
    for (path, version, status) in [
        ("/sockets/bash-events?session_api_key=wrong", "13", 403),
        (&format!("/sockets/bash-events?session_api_key={KEY}&resend_mode=some"), "13", 403),
        (&format!("/sockets/events/no-id?session_api_key={KEY}"), "13", 403),
        (&format!("/sockets/bash-events?session_api_key={KEY}"), "12", 400),
    ] {
        let socket = get(&server, path).header("connection", "upgrade").header("upgrade", "websocket");
        let socket = socket.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        refused(socket.header("sec-websocket-version", version), status).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_told_of_in_the_same_form() {
    let server = start().await;
    let failing = Arc::new(Failing { kv: server.ports.kv.clone(), error: Mutex::default() });
    let replica = Gateway::start(Ports { kv: failing.clone(), ..server.ports.clone() }, config()).await;
    testing::until(async || get(&replica, "/ready").send().await.unwrap().status() == 200).await;
    let inside = || "the inside".to_owned();
    for (error, status, has_id) in [
        (Error::Unavailable(inside()), 503, true),
        (Error::Full("Remove something.".to_owned()), 507, false),
        (Error::Internal(inside()), 500, true),
    ] {
        *failing.error.lock() = Some(error);
        let response = post(&replica, "/api/conversations", &create_body()).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.json::<Value>().await.unwrap()["error_id"].is_string(), has_id, "{status}");
        let detail = refused(post(&replica, "/api/conversations", &create_body()), status).await;
        assert!(!detail.to_string().contains("inside"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_the_same_connection_is_served_on() {
    let server = start().await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    for (path, status) in
        [("/api/git/commits?path=/x", "500"), ("/health", "200"), ("/api/nothing", "404"), ("/alive", "200")]
    {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = whole_answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

/// Head and body, by the length that is said.
async fn whole_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
            && body.len() == length.parse::<usize>().unwrap()
        {
            return text;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the connection ended: {text}");
    }
}
