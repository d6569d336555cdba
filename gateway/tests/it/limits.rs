//! What each client may ask for: how often, over how many connections, and how slowly a body may come.

use std::time::Duration;

use manyhands_gateway::config::BodyRate;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testing::socket::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vault::Keys;

use crate::harness::tokens::{bearer, claims, token, with_secret};
use crate::harness::{Client, Config, Gateway, KEY, Server, config, eventually, start_with, until};

/// More than are let through at once where one a second is.
const MANY: usize = 20;

/// How many of [`MANY`] are let through, and what the first of the others is told.
async fn many(ask: impl Fn() -> RequestBuilder) -> (usize, Option<(HeaderMap, Value)>) {
    let mut let_through = 0;
    let mut refusal = None;
    for _ in 0..MANY {
        let response = ask().send().await.unwrap();
        match response.status().as_u16() {
            429 if refusal.is_none() => {
                let headers = response.headers().clone();
                refusal = Some((headers, response.json().await.unwrap()));
            }
            429 => {}
            _ => let_through += 1,
        }
    }
    (let_through, refusal)
}

/// Some time may pass meanwhile, in which one or another may be asked more.
fn is_a_burst(let_through: usize) -> bool {
    (10..MANY).contains(&let_through)
}

fn told(refusal: Option<(HeaderMap, Value)>) -> (u64, Value) {
    let (headers, body) = refusal.expect("nobody was refused");
    let seconds = headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert_eq!(headers["access-control-allow-origin"], "http://localhost:3000");
    assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("Retry-After"));
    (seconds, body)
}

fn ask(server: &Server, path: &str) -> RequestBuilder {
    server.request(Method::GET, path).header("origin", "http://localhost:3000")
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_and_a_probe_is_always_answered() {
    let server = start_with(|config| config.limits.rates.of_an_address = Some(1)).await;
    let (let_through, refusal) = many(|| ask(&server, "/server_info")).await;
    assert!(is_a_burst(let_through), "{let_through}");
    let (seconds, body) = told(refusal);
    assert_eq!((seconds, body), (1, json!({"detail": "Too many requests from this address"})));
    for probe in ["/health", "/alive", "/ready"] {
        assert_eq!(many(|| ask(&server, probe)).await.0, MANY, "{probe}");
    }
    // A page is told what it may do, or its browser would call the refusal something else.
    let preflight = server.request(Method::OPTIONS, "/server_info").header("origin", "http://localhost:3000");
    let preflight = preflight.header("access-control-request-method", "GET").send().await.unwrap();
    assert_eq!(preflight.status(), 200);
    eventually("a second has passed", async || {
        (ask(&server, "/server_info").send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_of_its_clients_has_a_rate_and_nobody_lends_another_address() {
    for (trusted, is_apart) in [(true, true), (false, false)] {
        let server = start_with(|config| {
            config.limits.rates.of_an_address = Some(1);
            config.site.trust_forwarded_headers = trusted;
        })
        .await;
        let from = |address: &'static str| {
            let server = &server;
            move || ask(server, "/server_info").header("x-forwarded-for", address)
        };
        assert!(is_a_burst(many(from("9.9.9.1, 2001:db8::1")).await.0));
        // What a client says itself comes before what the proxy adds, and all of a network is one.
        assert!(!is_a_burst(many(from("9.9.9.2, 2001:db8::2")).await.0), "{trusted}");
        assert_eq!(is_a_burst(many(from("9.9.9.1, 2001:db8:0:1::1")).await.0), is_apart);
    }
}

#[tokio::test]
async fn each_key_and_token_has_a_rate_of_its_own() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into(), "another".into()]);
        config.site.bearer = Some(bearer());
        config.limits.rates.of_a_key = Some(1);
    })
    .await;
    let with_key = |key: &'static str| {
        let server = &server;
        move || ask(server, "/api/tools/").header("x-session-api-key", key)
    };
    let (let_through, refusal) = many(with_key(KEY)).await;
    assert!(is_a_burst(let_through), "{let_through}");
    assert_eq!(told(refusal).1, json!({"detail": "Too many requests with this key"}));
    let url = format!("ws://{}/sockets/bash-events?session_api_key={KEY}", server.address);
    assert_eq!(Socket::refusal(&url).await, 429);
    let mut late = server.socket("/sockets/bash-events").await;
    late.send(json!({"type": "auth", "session_api_key": KEY}).to_string()).await;
    assert_eq!(late.close_code().await, 1013);

    assert!(is_a_burst(many(with_key("another")).await.0));
    let of_a = token("a", "read");
    assert!(is_a_burst(many(|| ask(&server, "/api/tools/").bearer_auth(&of_a)).await.0));
    // The same token, written otherwise.
    let otherwise = || ask(&server, "/api/tools/").header("authorization", format!("bearer  {of_a} "));
    assert!(!is_a_burst(many(otherwise).await.0));
    // Who is not known has none.
    assert_eq!(many(with_key("wrong")).await.0, MANY);
}

#[tokio::test]
async fn pages_have_a_rate_of_their_own_for_each_key_and_keep_its_owner_from_nothing() {
    let limited = |config: &mut Config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.limits.rates.of_a_key = Some(1);
    };
    let server = start_with(limited).await;
    let mint = server.request(Method::POST, "/api/auth/workspace-session").header("x-session-api-key", KEY);
    let minted = mint.send().await.unwrap();
    let cookie = minted.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = format!("/api/conversations/{}/workspace/a", uuid::Uuid::new_v4());
    let (let_through, refusal) = many(|| ask(&server, &page).header("cookie", &cookie)).await;
    assert!(is_a_burst(let_through), "{let_through}");
    assert_eq!(told(refusal).1, json!({"detail": "Too many requests with this key"}));
    // A second cookie of the same key is no second rate.
    let mint = server.request(Method::POST, "/api/auth/workspace-session").header("x-session-api-key", KEY);
    let minted = mint.send().await.unwrap();
    let second = minted.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(!is_a_burst(many(|| ask(&server, &page).header("cookie", &second)).await.0));
    let with_key = ask(&server, "/api/tools/").header("x-session-api-key", KEY).send().await.unwrap();
    assert_eq!(with_key.status(), 200);
    // Every gateway knows it as the same.
    let mut alike = config();
    limited(&mut alike);
    let other = Gateway::start(server.ports.clone(), alike).await;
    let of_other = |path: &str| other.request(Method::GET, path).header("origin", "http://localhost:3000");
    assert!(is_a_burst(many(|| of_other(&page).header("cookie", &cookie)).await.0));
    assert!(!is_a_burst(many(|| of_other(&page).header("cookie", &second)).await.0));
}

#[tokio::test]
async fn who_asks_for_what_is_not_allowed_is_counted_too() {
    let server = start_with(|config| {
        config.site.bearer = Some(bearer());
        config.limits.rates.of_a_key = Some(1);
    })
    .await;
    let reads = token("a", "read");
    let (let_through, _) = many(|| {
        server
            .request(Method::POST, "/api/conversations")
            .header("origin", "http://localhost:3000")
            .bearer_auth(&reads)
    })
    .await;
    assert!(is_a_burst(let_through), "{let_through}");
}

#[tokio::test]
async fn a_tenant_has_one_rate_however_many_tokens_it_has() {
    let server = start_with(|config| {
        config.site.bearer = Some(bearer());
        config.limits.rates.of_a_tenant = Some(1);
    })
    .await;
    let number = std::cell::Cell::new(0);
    let anew = |tenant: &'static str| {
        let (server, number) = (&server, &number);
        move || {
            number.set(number.get() + 1);
            let mut claims = claims(tenant, "read");
            claims["jti"] = number.get().into();
            ask(server, "/api/tools/").bearer_auth(with_secret(crate::harness::tokens::SECRET, &claims))
        }
    };
    let (let_through, refusal) = many(anew("a")).await;
    assert!(is_a_burst(let_through), "{let_through}");
    assert_eq!(told(refusal).1, json!({"detail": "Too many requests for this tenant"}));
    assert!(is_a_burst(many(anew("b")).await.0));
}

#[tokio::test]
async fn usually_nobody_is_refused_for_asking_often() {
    let server = start_with(|_| {}).await;
    for _ in 0..30 {
        assert_eq!(many(|| ask(&server, "/server_info")).await.0, MANY);
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_is_told_so_on_one_more() {
    let server = start_with(|config| config.limits.connections_of_a_peer = 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let client = Client::of(server.address.clone());
        assert_eq!(client.get("/api/tools/").await.0, 200);
        held.push(client);
    }
    let one_more = Client::of(server.address.clone());
    let response = one_more.request(Method::GET, "/api/tools/").header("origin", "http://localhost").send();
    let response = response.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["connection"]),
        (429, &"close".parse().unwrap())
    );
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost");
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_eq!(
        response.json::<Value>().await.unwrap(),
        json!({"detail": "Too many connections from this address"})
    );
    assert_eq!(one_more.get("/health").await.0, 200);
    // Those that it has are served on.
    assert_eq!(held[0].get("/api/tools/").await.0, 200);
    drop(held);
    until(async || Client::of(server.address.clone()).get("/api/tools/").await.0 == 200).await;
}

#[tokio::test]
async fn who_holds_connections_without_a_key_locks_nobody_out_at_the_same_address() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.limits.connections_of_a_peer = 2;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(TcpStream::connect(&server.address).await.unwrap());
    }
    for _ in 0..2 {
        let client = Client::of(server.address.clone());
        let request = client.request(Method::GET, "/api/tools/").header("x-session-api-key", KEY);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let patience = Duration::from_millis(300);
    let server =
        start_with(|config| config.limits.body_rate = BodyRate { bytes_per_second: 1_000, patience }).await;
    for (path, kind, begin) in [
        ("/api/bash/start_bash_command", "application/json", "{"),
        ("/api/file/upload?path=/tmp/w/a", "multipart/form-data; boundary=b", "--b\r\n"),
    ] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\ncontent-type: {kind}\r\n\
             content-length: 100000\r\n\r\n{begin}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let trickling = tokio::spawn(async move {
            // Until the server has hung up.
            while writing.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = Vec::new();
        let whole = async {
            while !answer.ends_with(br#"{"detail":"Request Timeout"}"#) {
                assert_ne!(reading.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
            }
        };
        tokio::time::timeout(testing::PATIENCE, whole).await.expect("it was waited for");
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("allow-origin: http://localhost"),
            "{answer}"
        );
        trickling.abort();
    }
}

#[tokio::test]
async fn a_frame_that_says_it_is_longer_than_any_message_ends_its_socket_before_it_has_come() {
    let server = start_with(|_| {}).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = "GET /sockets/bash-events HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let length: u64 = 16 * 1024 * 1024 + 1;
    let frame = [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4], b"{"].concat();
    stream.write_all(&frame).await.unwrap();
    let ended = async { while stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(testing::PATIENCE, ended).await.expect("the rest of it is waited for");
}
