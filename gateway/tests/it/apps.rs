//! Programs that extensions of the user interface bring along: what is told of them, and their pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use control::placement::Policy;
use manyhands_gateway::config;
use ports::rpc::{self, Address, Call, Limits};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SandboxId;
use types::calls::{AppAnswer, AppCall};

use crate::harness::cluster::start_idle;
use crate::harness::{KEY, Server, start, start_keyed, start_with};

/// Where browsers reach the programs.
const INGRESS: &str = "http://127.0.0.1:9999";
const HOST: &str = "127.0.0.1:9999";
/// A page of the user interface.
const PAGE: &str = "http://localhost:3000";

/// A server with an ingress, and the program `my-app`, which is ready.
struct World {
    server: Server,
    /// The program's port; 0: it is not ready.
    port: Arc<AtomicU16>,
}

impl World {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other limits.
    async fn with(change: impl FnOnce(&mut config::Limits)) -> Self {
        let server = start_with(|config| {
            config.keys = vault::Keys::new(&[KEY.into()]);
            config.site.app_backend_public_url = Some(format!("{INGRESS}/"));
            change(&mut config.limits);
        })
        .await;
        let port = Arc::new(AtomicU16::new(program().await));
        let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
        let ready = Arc::clone(&port);
        let answer = move |call: Call<AppCall>| {
            let port = Some(ready.load(Ordering::Relaxed)).filter(|port| *port != 0);
            async move {
                let answer = match call.body {
                    AppCall::Endpoint { name } => AppAnswer::Endpoint(port.filter(|_| name == "my-app")),
                    _ => AppAnswer::Stopped,
                };
                Ok((answer, Bytes::new()))
            }
        };
        let address = Address::of_worker(&SandboxId::shared(), None);
        calls.serve(&address, None, Limits::new(8, 1 << 20), answer).await.unwrap();
        Self { server, port }
    }

    /// At the ingress.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).header("host", HOST)
    }

    fn session(&self, method: Method) -> RequestBuilder {
        let request = self.request(method, "/app-backends/my-app/session");
        request.header("origin", PAGE).header("x-session-api-key", KEY)
    }

    /// What the cookie holds.
    async fn begin(&self) -> String {
        let response = self.session(Method::POST).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned()
    }

    /// What came of the wish to switch, and the head of the answer.
    async fn socket(&self, token: &str, origin: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(&self.server.address).await.unwrap();
        let request = format!(
            "GET /app-backends/my-app/socket HTTP/1.1\r\nHost: {HOST}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nCookie: oh_app_backend_session={token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }

    async fn get(&self, path: &str, token: &str) -> Response {
        let cookie = format!("other=1; oh_app_backend_session={token}");
        self.request(Method::GET, path).header("cookie", cookie).send().await.unwrap()
    }
}

/// Answers with the head that it was sent; below `/redirect` it leads away, and whoever wants to switch may: what they say
/// then comes back.
async fn program() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    port
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let text = String::from_utf8(head).unwrap().to_ascii_lowercase();
    if text.contains("upgrade: websocket") {
        let switched =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switched.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        return;
    }
    if text.contains(" /stream") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").await.unwrap();
        let _ = stream.read_u8().await;
        return;
    }
    if text.contains(" /switches") {
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            .await;
        let _ = stream.read_u8().await;
        return;
    }
    if text.contains(" /pieces") {
        let piece = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(piece).await.unwrap();
        let _ = stream.read_u8().await;
        return;
    }
    let method = text.split(' ').next().unwrap_or_default();
    let body = if method == "head" { "" } else { text.as_str() };
    let answer = match text.contains(" /redirect") {
        true => "HTTP/1.1 302 Found\r\nLocation: http://x.example/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        false => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nSet-Cookie: a=b\r\nServer: s\r\nService-Worker-Allowed: /\r\n\
             Clear-Site-Data: \"*\"\r\nNEL: {{}}\r\nReport-To: {{}}\r\nConnection: x-hop\r\nX-Hop: y\r\nX-Own: y\r\nX-Method: {method}\r\n\r\n{body}",
            text.len()
        ),
    };
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn detail(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["detail"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_shown_to_who_has_its_cookie() {
    let world = World::start().await;
    let response = world.session(Method::POST).send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in
        ["HttpOnly", "Secure", "SameSite=none", "Partitioned", "Max-Age=300", "Path=/app-backends/my-app"]
    {
        assert!(cookie.split("; ").any(|had| had == part), "{cookie} has no {part}");
    }
    assert_eq!(response.headers()["access-control-allow-origin"], PAGE);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["ingress_url"], format!("{INGRESS}/app-backends/my-app/"));
    assert!(answer["iframe_sandbox"].as_str().unwrap().contains("allow-scripts"));
    assert!(answer["expires_at"].as_str().unwrap().ends_with('Z'));
    let token = world.begin().await;
    let path = "/app-backends/my-app/a%20b?x=1&session_api_key=k";
    let shown = world.get(path, &token).await;
    assert_eq!((shown.status().as_u16(), shown.headers()["x-own"].to_str().unwrap()), (200, "y"));
    for kept in ["set-cookie", "server", "service-worker-allowed", "clear-site-data", "nel", "report-to"] {
        assert!(shown.headers().get(kept).is_none(), "{kept}");
    }
    let head = shown.text().await.unwrap();
    assert!(head.starts_with("get /a%20b?x=1 http/1.1"), "{head}");
    assert_eq!(world.get("/app-backends/my-app", &token).await.status(), 200);
    assert_eq!(world.get("/app-backends/my-app/", &token).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_program_is_counted_and_keeps_its_user_from_nothing() {
    let world = World::with(|limits| limits.rates.of_a_key = Some(1)).await;
    let token = world.begin().await;
    let mut let_through = 0;
    while world.get("/app-backends/my-app/", &token).await.status() != 429 {
        let_through += 1;
        assert!(let_through < 20, "nobody counts");
    }
    let with_key = world.server.request(Method::GET, "/api/tools/").header("x-session-api-key", KEY);
    assert_eq!(with_key.send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_a_page_of_another_program_has_set_keeps_nobody_out() {
    let world = World::start().await;
    let token = world.begin().await;
    let both = format!("oh_app_backend_session=x; oh_app_backend_session=; oh_app_backend_session={token}");
    let shown = async || {
        let request = world.request(Method::GET, "/app-backends/my-app/").header("cookie", &both);
        request.send().await.unwrap().status()
    };
    assert_eq!(shown().await, 200);
    let taken_back = world.session(Method::DELETE).header("cookie", &both).send().await.unwrap();
    assert_eq!((taken_back.status().as_u16(), shown().await.as_u16()), (204, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_browser_speaks_for_a_proxy() {
    let world = World::start().await;
    let token = world.begin().await;
    let names = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-user", "x-real-ip"];
    let mut request = world.request(Method::GET, "/app-backends/my-app/");
    for name in names {
        request = request.header(name, "marked");
    }
    let cookie = format!("oh_app_backend_session={token}");
    let shown = request.header("x-own", "kept").header("cookie", cookie).send().await.unwrap();
    let head = shown.text().await.unwrap();
    assert!(head.contains("x-own: kept") && !head.contains("marked"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_may_have_a_page_that_is_called_session() {
    let world = World::start().await;
    let token = world.begin().await;
    for method in [Method::GET, Method::PUT, Method::PATCH] {
        let asked = world.request(method.clone(), "/app-backends/my-app/session").header("origin", INGRESS);
        let shown = asked.header("cookie", format!("oh_app_backend_session={token}")).send().await.unwrap();
        let wanted = method.as_str().to_ascii_lowercase();
        assert_eq!(
            (shown.status().as_u16(), shown.headers()["x-method"].to_str().unwrap()),
            (200, wanted.as_str())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_key_nor_cookie_reaches_a_program() {
    let world = World::start().await;
    let token = world.begin().await;
    let request = world.request(Method::GET, "/app-backends/my-app/x");
    let request = request.header("cookie", format!("oh_app_backend_session={token}"));
    let request = request.header("x-session-api-key", KEY).header("authorization", "Bearer marked");
    let head = request.header("x-own", "stays").send().await.unwrap().text().await.unwrap();
    assert!(head.contains("x-own: stays"), "{head}");
    for secret in [token.as_str(), KEY, "marked", "cookie", HOST] {
        assert!(!head.contains(secret), "{secret} in {head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_session_opens_nothing_else() {
    let world = World::start().await;
    let token = world.begin().await;
    assert_eq!(world.get("/app-backends/other/", &token).await.status(), 401);
    assert_eq!(world.get("/app-backends/my-app/", "guess").await.status(), 401);
    assert_eq!(world.get("/api/settings", &token).await.status(), 401);
    let elsewhere = world.server.request(Method::GET, "/app-backends/my-app/");
    let elsewhere = elsewhere.header("cookie", format!("oh_app_backend_session={token}"));
    let told = json!("Canvas App request must use the configured ingress origin");
    assert_eq!(detail(elsewhere).await, (421, told));
    for path in
        ["/app-backends/my-app/a%2F..%2Fb", "/app-backends/my-app/a%5Cb", "/app-backends/my-app/%252e%252e"]
    {
        assert_eq!(world.get(path, &token).await.status(), 400, "{path}");
    }
    // Pages of other origins may not act, and not switch.
    let cookie = format!("oh_app_backend_session={token}");
    for origin in [PAGE, "https://evil.example"] {
        let acting = world.request(Method::POST, "/app-backends/my-app/x").header("cookie", &cookie);
        assert_eq!(acting.header("origin", origin).send().await.unwrap().status(), 403, "{origin}");
    }
    let own = world.request(Method::POST, "/app-backends/my-app/x").header("cookie", &cookie);
    assert_eq!(own.header("origin", INGRESS).send().await.unwrap().status(), 200);
    assert_eq!(world.get("/app-backends/my-app/redirect", &token).await.status(), 502);
    // Another program may have the port by now.
    world.port.store(1, Ordering::Relaxed);
    assert_eq!(world.get("/app-backends/my-app/", &token).await.status(), 401);
    world.port.store(0, Ordering::Relaxed);
    assert_eq!(world.get("/app-backends/my-app/", &token).await.status(), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_begin_a_session_is_looked_at_in_the_peers_order() {
    let world = World::start().await;
    let begin = || world.request(Method::POST, "/app-backends/my-app/session");
    assert_eq!(begin().header("origin", PAGE).send().await.unwrap().status(), 401);
    let keyed = || begin().header("x-session-api-key", KEY);
    assert_eq!(detail(keyed()).await, (403, json!("Origin is not allowed")));
    let same = "Canvas App ingress must use a separate browser origin";
    assert_eq!(detail(keyed().header("origin", INGRESS)).await, (409, json!(same)));
    let unknown = world.request(Method::POST, "/app-backends/other/session").header("x-session-api-key", KEY);
    let not_ready = "Canvas App backend is not ready";
    assert_eq!(detail(unknown.header("origin", PAGE)).await, (503, json!(not_ready)));
    let outside = world.server.request(Method::POST, "/app-backends/my-app/session");
    assert_eq!(detail(outside.header("x-session-api-key", KEY).header("origin", PAGE)).await.0, 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_it_is_taken_back_and_when_the_program_is_stopped() {
    let world = World::start().await;
    let (one, other) = (world.begin().await, world.begin().await);
    let cookie = format!("oh_app_backend_session={one}");
    let taken_back = world.session(Method::DELETE).header("cookie", cookie).send().await.unwrap();
    assert_eq!(taken_back.status(), 204);
    assert!(taken_back.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(world.get("/app-backends/my-app/", &one).await.status(), 401);
    assert_eq!(world.get("/app-backends/my-app/", &other).await.status(), 200);
    let stop = world.server.request(Method::POST, "/api/canvas-extensions/installed/my-app/backend/stop");
    assert_eq!(stop.header("x-session-api-key", KEY).send().await.unwrap().status(), 200);
    assert_eq!(world.get("/app-backends/my-app/", &other).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_joined_until_the_session_ends() {
    let world = World::start().await;
    let token = world.begin().await;
    let (_, refused) = world.socket(&token, "https://evil.example").await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let (mut stream, head) = world.socket(&token, INGRESS).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
    let mut endless = world.get("/app-backends/my-app/stream", &token).await;
    assert_eq!(endless.chunk().await.unwrap().unwrap(), "hello");
    let cookie = format!("oh_app_backend_session={token}");
    assert_eq!(world.session(Method::DELETE).header("cookie", cookie).send().await.unwrap().status(), 204);
    assert_eq!(stream.read(&mut echo).await.unwrap_or(0), 0, "it is cut off");
    let ended = tokio::time::timeout(testing::PATIENCE, endless.chunk()).await.expect("it is cut off");
    assert!(ended.is_err(), "it says so: {ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_off_is_not_taken_for_a_whole_one() {
    let world = World::start().await;
    let token = world.begin().await;
    let mut endless = world.get("/app-backends/my-app/pieces", &token).await;
    assert_eq!(endless.chunk().await.unwrap().unwrap(), "hello");
    let cookie = format!("oh_app_backend_session={token}");
    assert_eq!(world.session(Method::DELETE).header("cookie", cookie).send().await.unwrap().status(), 204);
    let ended = tokio::time::timeout(testing::PATIENCE, endless.chunk()).await.expect("it goes on");
    assert!(ended.is_err(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_program_switches_to_another_protocol_that_nobody_has_asked_for() {
    let world = World::start().await;
    let token = world.begin().await;
    assert_eq!(world.get("/app-backends/my-app/switches", &token).await.status(), 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_cut_off_when_the_program_is_stopped() {
    let world = World::start().await;
    let token = world.begin().await;
    let (mut stream, head) = world.socket(&token, INGRESS).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let stop = world.server.request(Method::POST, "/api/canvas-extensions/installed/my-app/backend/stop");
    assert_eq!(stop.header("x-session-api-key", KEY).send().await.unwrap().status(), 200);
    let cut_off = tokio::time::timeout(testing::PATIENCE, stream.read(&mut [0; 5])).await;
    assert_eq!(cut_off.expect("it goes on").unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_a_program_is_one_of_those_there_are() {
    let world = World::with(|limits| limits.connections = 4).await;
    // One is the client's, which is kept.
    let token = world.begin().await;
    let (first, head) = world.socket(&token, INGRESS).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let (second, head) = world.socket(&token, INGRESS).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    drop((first, second));
    let again = testing::eventually("there is room again", async || {
        let (_, head) = world.socket(&token, INGRESS).await;
        head.starts_with("HTTP/1.1 101").then_some(())
    });
    again.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_between_neighbours_stays_there() {
    let world = World::start().await;
    let token = world.begin().await;
    let asked = async |method: &str| {
        let mut stream = TcpStream::connect(&world.server.address).await.unwrap();
        let request = format!(
            "{method} /app-backends/my-app/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\
             TE: trailers\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: Basic marked\r\nX-End: 1\r\n\
             Cookie: oh_app_backend_session={token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.to_ascii_lowercase()
    };
    let answer = asked("GET").await;
    assert!(answer.contains("x-method: get") && answer.contains("x-end: 1"), "{answer}");
    for between in ["x-hop", "trailers", "timeout=5", "marked"] {
        assert!(!answer.contains(between), "{between} in {answer}");
    }
    let answer = asked("HEAD").await;
    assert!(answer.contains("x-method: head") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_open_server_pages_of_programs_reach_nothing_else() {
    let server = start_with(|config| {
        config.site.app_backend_public_url = Some("http://apps.example:9999".to_owned());
    })
    .await;
    let at_ingress = |path: &str| server.request(Method::GET, path).header("host", "apps.example:9999");
    assert_eq!(at_ingress("/api/settings").send().await.unwrap().status(), 200, "it is no page that asks");
    let by_page = at_ingress("/api/settings").header("sec-fetch-site", "same-origin");
    assert_eq!(by_page.send().await.unwrap().status(), 403);
    let shown = |site: &'static str| {
        let request = at_ingress("/api/settings").header("sec-fetch-mode", "navigate");
        request.header("sec-fetch-site", site)
    };
    assert_eq!(shown("cross-site").send().await.unwrap().status(), 403, "by a page in a frame of the page's");
    assert_eq!(shown("none").send().await.unwrap().status(), 200, "the user himself has asked for it");
    let by_user_interface = at_ingress("/api/settings").header("sec-fetch-site", "same-site");
    let by_user_interface = by_user_interface.header("sec-fetch-mode", "cors").header("origin", PAGE);
    assert_eq!(by_user_interface.send().await.unwrap().status(), 200);
    let by_other_name =
        server.request(Method::GET, "/api/settings").header("origin", "http://apps.example:9999");
    assert_eq!(by_other_name.send().await.unwrap().status(), 403);
    let below = at_ingress("/app-backends/my-app/").header("sec-fetch-site", "same-origin");
    assert_eq!(below.send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_ingress_nothing_is_shown_and_nothing_promised() {
    let server = start_keyed().await;
    let session = |method: Method| {
        let request = server.request(method, "/app-backends/my-app/session").header("origin", PAGE);
        request.header("x-session-api-key", KEY)
    };
    let told = json!("Canvas App backend ingress is not configured");
    for method in [Method::POST, Method::DELETE] {
        assert_eq!(detail(session(method)).await, (503, told.clone()));
    }
    assert_eq!(detail(server.request(Method::GET, "/app-backends/my-app/x")).await, (503, told));
    let capability = json!("canvas_app_backend_bridge_v1");
    let (_, info) = server.get("/server_info").await;
    assert!(!info["capabilities"].as_array().unwrap().contains(&capability));
    assert_eq!(info["app_backend_ingress_url"], Value::Null);
    let (_, info) = World::start().await.server.get("/server_info").await;
    assert!(info["capabilities"].as_array().unwrap().contains(&capability));
    assert_eq!(info["app_backend_ingress_url"], INGRESS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_promises_no_pages_of_programs_for_it_runs_none() {
    let world = start_idle(Policy::Shared, 1, |config| {
        config.site.app_backend_public_url = Some(INGRESS.to_owned());
    })
    .await;
    let (_, info) = world.gateway().get("/server_info").await;
    assert_eq!(info["app_backend_ingress_url"], Value::Null);
    assert!(!info["capabilities"].as_array().unwrap().contains(&json!("canvas_app_backend_bridge_v1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_answers_of_what_is_not_installed_are_ours() {
    let server = start().await;
    let at = |rest: &str| format!("/api/canvas-extensions/installed/zz/backend{rest}");
    let missing = json!({"name": "zz", "state": "missing", "revision": null, "prepared_revision": null, "pid": null,
        "port": null, "detail": "Canvas App is not installed or its manifest is invalid"});
    assert_eq!(server.get(&at("")).await, (200, missing.clone()));
    for rest in ["/prepare", "/start"] {
        assert_eq!(server.post(&at(rest), json!({"revision": "r"})).await, (200, missing.clone()), "{rest}");
        let (status, answer) = server.post(&at(rest), json!({"revision": ""})).await;
        assert_eq!((status, &answer["detail"][0]["type"]), (422, &json!("string_too_short")));
    }
    assert_eq!(server.delete(&at("/data")).await, (200, missing.clone()));
    assert_eq!(server.send(Method::POST, &at("/stop"), None).await, (200, missing));
    let nothing = json!({"name": "zz", "logs": "", "truncated": false});
    assert_eq!(server.get(&at("/logs")).await, (200, nothing));
    for limit in ["0", "262145"] {
        let (status, answer) = server.get(&at(&format!("/logs?limit_bytes={limit}"))).await;
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["query", "limit_bytes"])), "{limit}");
    }
    let (status, answer) = server.get("/api/canvas-extensions/installed/No/backend").await;
    assert_eq!((status, &answer["detail"][0]["type"]), (422, &json!("string_pattern_mismatch")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_operations_of_the_peer_are_not_there() {
    let server = start().await;
    let id = server.create().await;
    for (method, path) in [
        (Method::PUT, format!("/api/conversations/{id}/credential-bindings/A")),
        (Method::POST, "/api/conversations/prepare-for-sandbox-pause".to_owned()),
        (Method::GET, "/_docker/x".to_owned()),
        (Method::GET, "/api/llm/balance".to_owned()),
    ] {
        let (status, _) = server.send(method, &path, Some(&json!({}))).await;
        assert!(matches!(status, 404 | 405), "{path}: {status}");
    }
}
