//! Who may call what, with which credentials.

use crate::harness::{
    KEY, Server, eventually, start, start_keyed, start_with, start_with_files, status_and_json,
};
use reqwest::header::HeaderValue;
use reqwest::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use vault::Keys;

async fn with(server: &Server, path: &str, header: &str, value: &str) -> u16 {
    server.request(Method::GET, path).header(header, value).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn open_routes_need_no_key_and_all_others_do() {
    let server = start_keyed().await;
    for path in ["/", "/alive", "/health", "/ready", "/server_info", "/openapi.json", "/docs", "/redoc"] {
        assert_eq!(server.fetch(path).await.status(), 200, "{path}");
    }
    assert_eq!(server.fetch("/api/init").await.status(), 404);
    for path in [
        "/api/tools/",
        "/api/bash/bash_events/search",
        "/api/file/download?path=relative",
        "/api/git/changes",
        "/api/conversations/no-uuid/file/download",
        "/api/conversations/no-uuid/workspace/a",
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!((status, body), (401, serde_json::json!({"detail": "Unauthorized"})), "{path}");
    }
}

/// What it holds for who has no key is bounded: it waits for no more of a body than a ticket may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_every_route_answers_before_a_long_body_has_come() {
    let server = start_keyed().await;
    let (_, document) = server.get("/openapi.json").await;
    let described = document["paths"].as_object().unwrap().iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.replace(['{', '}'], "")))
    });
    let calls: Vec<_> = described.chain([("POST".to_owned(), "/ticket".to_owned())]).collect();
    assert!(calls.len() > 100, "{}", calls.len());
    for (method, path) in calls {
        for begun in [
            "content-length: 1000000\r\n\r\n{".to_owned(),
            format!("transfer-encoding: chunked\r\n\r\n2000\r\n{}\r\n", " ".repeat(0x2000)),
        ] {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            let own = &server.address;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: {own}\r\norigin: http://{own}\r\n\
                 content-type: application/json\r\nconnection: close\r\n"
            );
            stream.write_all(format!("{head}{begun}").as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            let answered = stream.read_exact(&mut answer);
            let answered = tokio::time::timeout(std::time::Duration::from_secs(10), answered).await;
            assert!(answered.is_ok_and(|read| read.is_ok()), "{method} {path} waits for more");
            assert_eq!(&answer[..9], b"HTTP/1.1 ", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn any_configured_key_in_the_header_opens_and_nothing_else_does() {
    let server = start_with(|config| config.keys = Keys::new(&["one".into(), "two".into()])).await;
    let path = "/api/tools/";
    assert_eq!(with(&server, path, "x-session-api-key", "one").await, 200);
    assert_eq!(with(&server, path, "X-Session-API-Key", "two").await, 200);
    for (header, value) in [
        ("x-session-api-key", "three"),
        ("x-session-api-key", ""),
        ("authorization", "Bearer one"),
        ("cookie", "oh_workspace_session_key=one"),
    ] {
        assert_eq!(with(&server, path, header, value).await, 401, "{header}: {value}");
    }
    assert_eq!(server.fetch("/api/tools/?session_api_key=one").await.status(), 401);
}

#[tokio::test]
async fn a_key_may_have_any_letters() {
    const ODD: &str = "clé \u{1f511} \"quoted\" \\ ;,=";
    let server = start_with(|config| config.keys = Keys::new(&[ODD.into()])).await;
    let answer = async |key: &[u8]| {
        let value = HeaderValue::from_bytes(key).unwrap();
        let request = server.request(Method::GET, "/api/tools/").header("x-session-api-key", value);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(answer(ODD.as_bytes()).await, 200);
    assert_eq!(answer(b"cl\xe9").await, 401);
}

/// Whether the server has hung up; what it sends before is read.
async fn hung_up(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 1024];
    loop {
        match stream.read(&mut rest).await {
            Ok(0) | Err(_) => return true,
            Ok(_) => {}
        }
    }
}

async fn knock(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).await.unwrap()
}

#[tokio::test]
async fn strangers_hold_few_connections_and_the_oldest_makes_way() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.limits.strangers_of_a_peer = 3;
    })
    .await;
    let mut held = Vec::new();
    for say in ["", "GET / HT", "GET /alive HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut stream = knock(&server).await;
        stream.write_all(say.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let mut known = knock(&server).await;
    let request = format!("GET /api/tools/ HTTP/1.1\r\nhost: localhost\r\nx-session-api-key: {KEY}\r\n\r\n");
    known.write_all(request.as_bytes()).await.unwrap();
    assert!(answer_head(&mut known).await.starts_with("HTTP/1.1 200"));
    assert!(hung_up(&mut held[0]).await, "the fourth took the place of the first");

    let _later: Vec<_> = [knock(&server).await, knock(&server).await, knock(&server).await].into();
    for stream in &mut held[1..] {
        assert!(hung_up(stream).await, "whatever a stranger sent");
    }
    known.write_all(request.as_bytes()).await.unwrap();
    // The rest of the first answer comes before the second.
    while !answer_head(&mut known).await.contains("HTTP/1.1 200") {}
}

/// Somebody who asks for much, and takes none of it.
async fn glutton(server: &Server, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(server.address.parse().unwrap()).await.unwrap();
    stream.write_all(request.repeat(100).as_bytes()).await.unwrap();
    // From then on the server is writing.
    stream.peek(&mut [0]).await.unwrap();
    stream
}

async fn is_served(server: &Server, request: &str) {
    let mut stream = knock(server).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = tokio::time::timeout(testing::PATIENCE, answer_head(&mut stream)).await;
    assert!(head.expect("there is no room for anybody else").starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn strangers_who_take_no_answers_make_way_as_well() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.limits.connections = 4;
    })
    .await;
    let request = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..6 {
        let holding = tokio::time::timeout(testing::PATIENCE, glutton(&server, request));
        held.push(holding.await.expect("there is no room for anybody else"));
    }
    is_served(&server, "GET /alive HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
}

#[tokio::test]
async fn who_takes_nothing_for_long_loses_the_connection_though_known() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.limits.connections = 1;
        config.limits.write_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    let known =
        |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-session-api-key: {KEY}\r\n\r\n");
    let _held = glutton(&server, &(known("/api/tools/") + &known("/openapi.json"))).await;
    is_served(&server, &known("/alive")).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_more_is_closed_in_time() {
    let server =
        start_with(|config| config.limits.header_timeout = std::time::Duration::from_millis(200)).await;
    for say in ["", "GET / HT", "GET /alive HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut stream = knock(&server).await;
        stream.write_all(say.as_bytes()).await.unwrap();
        tokio::time::timeout(testing::PATIENCE, hung_up(&mut stream)).await.unwrap();
    }
}

#[tokio::test]
async fn unknown_paths_are_not_found_without_a_key() {
    let server = start_keyed().await;
    let (status, body) = server.get("/api/nothing").await;
    assert_eq!((status, body), (404, serde_json::json!({"detail": "Not Found"})));
}

#[tokio::test]
async fn a_refused_request_is_answered_before_its_body_has_been_sent() {
    let server = start_keyed().await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head =
        "POST /api/file/upload?path=/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(answer_head(&mut stream).await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn a_server_without_keys_is_open_but_only_under_names_of_its_own() {
    let server = start().await;
    for host in ["localhost:8000", "127.0.0.1", "[::1]:3", "10.1.2.3:80", "KNOWN.example:80", "a.localhost"] {
        assert_eq!(with(&server, "/api/tools/", "host", host).await, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:127"] {
        assert_eq!(with(&server, "/api/tools/", "host", host).await, 403, "{host}");
    }
    let keyed = start_keyed().await;
    assert_eq!(with(&keyed, "/health", "host", "any.example").await, 200);
}

#[tokio::test]
async fn foreign_pages_cannot_act_on_a_server_without_keys() {
    let server = start_with_files().await;
    let post = async |origin: &str| {
        let request = server.request(Method::POST, "/api/file/create_directory?path=relative");
        request.header("origin", origin).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("https://evil.example").await, 403);
    assert_eq!(post("null").await, 403);
    // It gets as far as the path.
    assert_eq!(post("http://localhost:3000").await, 400);
    assert_eq!(post("https://app.example").await, 400);
    assert_eq!(post(&format!("http://{}", server.address)).await, 400);
}

#[tokio::test]
async fn sockets_of_foreign_pages_are_refused_before_the_upgrade() {
    for server in [start().await, start_keyed().await] {
        for (origin, refused) in [
            ("origin: https://evil.example\r\n", true),
            ("origin: null\r\n", true),
            ("origin: http://localhost:3000\r\n", false),
            ("", false),
        ] {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            let head = format!(
                "GET /sockets/bash-events HTTP/1.1\r\nhost: localhost\r\n{origin}connection: upgrade\r\n\
                 upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = answer_head(&mut stream).await;
            assert_eq!(answer.starts_with("HTTP/1.1 403 "), refused, "{origin:?}: {answer}");
        }
    }
}

async fn answer_head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the connection ended");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn cookie_of(response: &Response) -> String {
    response.headers()["set-cookie"].to_str().unwrap().to_owned()
}

async fn session(server: &Server, method: Method) -> Response {
    server
        .request(method, "/api/auth/workspace-session")
        .header("x-session-api-key", KEY)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_workspace_cookie_opens_workspace_files_and_is_not_the_key() {
    let server = start_keyed().await;
    server.worker.serve_files().await;
    let id = server.conversation("w").await;
    std::fs::write(server.folder().join("w/page.html"), "<p>hello").unwrap();
    let made = session(&server, Method::POST).await;
    assert_eq!(made.status(), 204);
    let cookie = cookie_of(&made);
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(!cookie.contains(KEY), "{cookie}");
    assert_eq!(
        attributes,
        "HttpOnly; Max-Age=43200; Path=/api/conversations; SameSite=none; Secure; Partitioned"
    );
    let page = format!("/api/conversations/{id}/workspace/page.html");
    assert_eq!(with(&server, &page, "cookie", pair).await, 200);
    assert_eq!(with(&server, &page, "cookie", &format!("{pair}x")).await, 401);
    assert_eq!(with(&server, &page, "x-session-api-key", KEY).await, 200);
    assert_eq!(server.fetch(&page).await.status(), 401);
    let other = format!("/api/conversations/{id}/file/download?path=/x");
    assert_eq!(with(&server, &other, "cookie", pair).await, 401);

    let cleared = session(&server, Method::DELETE).await;
    assert!(cookie_of(&cleared).starts_with("oh_workspace_session_key=; HttpOnly; Max-Age=0; "));
    let without_key = server.request(Method::POST, "/api/auth/workspace-session").send().await.unwrap();
    assert_eq!(without_key.status(), 401);
}

#[tokio::test]
async fn forwarded_headers_count_only_where_they_are_trusted() {
    for trusted in [false, true] {
        let server = start_with(|config| {
            config.keys = Keys::new(&[KEY.into()]);
            config.site.trust_forwarded_headers = trusted;
        })
        .await;
        let request =
            server.request(Method::POST, "/api/auth/workspace-session").header("x-session-api-key", KEY);
        let request = request.header("host", "plain.example").header("x-forwarded-proto", "https");
        let cookie = cookie_of(&request.send().await.unwrap());
        assert_eq!(cookie.contains("Secure"), trusted, "{cookie}");
    }
}

#[tokio::test]
async fn workspace_pages_are_caged_and_stay_inside() {
    let server = start().await;
    server.worker.serve_files().await;
    let id = server.conversation("w").await;
    std::fs::create_dir(server.folder().join("w/site")).unwrap();
    std::fs::write(server.folder().join("w/site/index.html"), "<p>hello").unwrap();
    std::fs::write(server.folder().join("outside.txt"), "outside").unwrap();
    let base = format!("/api/conversations/{id}/workspace");
    let page = server.fetch(&format!("{base}/site")).await;
    let headers = page.headers().clone();
    assert_eq!((page.status().as_u16(), page.text().await.unwrap().as_str()), (200, "<p>hello"));
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("sandbox "));
    assert_eq!(
        with(&server, &format!("{base}/site/"), "if-none-match", headers["etag"].to_str().unwrap()).await,
        304
    );
    for path in [base.clone(), format!("{base}/")] {
        let (status, body) = server.get(&path).await;
        assert_eq!((status, &body["detail"]), (404, &"No index.html in directory".into()), "{path}");
    }
    for path in ["none.txt", "..%2foutside.txt", "%2e%2e/outside.txt"] {
        assert_eq!(server.fetch(&format!("{base}/{path}")).await.status(), 404, "{path}");
    }
    let unknown = "/api/conversations/00000000-0000-0000-0000-000000000009/workspace/x";
    assert_eq!(status_and_json(server.fetch(unknown).await).await.0, 404);
}

#[tokio::test]
async fn what_is_under_way_is_finished_when_the_server_stops() {
    let server = start().await;
    let flag = server.folder().join("begun");
    let body = serde_json::json!({"command": format!("touch {}; sleep 0.3; echo done", flag.display())});
    let request = server.request(Method::POST, "/api/bash/execute_bash_command").json(&body);
    let running = tokio::spawn(request.send());
    eventually("the command runs", async || flag.exists().then_some(())).await;
    let address = server.address.clone();
    server.begin_stop();
    let response = running.await.unwrap().unwrap();
    assert_eq!(response.json::<serde_json::Value>().await.unwrap()["stdout"], "done\n");
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_server_that_stops_waits_for_nobody_who_has_asked_for_nothing() {
    let server = start_with(|config| config.limits.drain = testing::PATIENCE * 2).await;
    let mut held = Vec::new();
    for say in ["", "GET / HT"] {
        let mut stream = knock(&server).await;
        stream.write_all(say.as_bytes()).await.unwrap();
        held.push(stream);
    }
    is_served(&server, "GET /alive HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    server.stop().await;
}
