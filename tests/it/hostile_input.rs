//! Bad input gets a clear answer; bad commands leave nothing behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};
use testing::{PATIENCE, eventually, until};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

#[tokio::test]
async fn invalid_utf8_of_a_command_becomes_replacement_characters_and_good_letters_stay() {
    let server = Start::new(BINARY).start();
    let request = json!({ "command": "printf 'a\\377b'; i=0; while [ $i -lt 40000 ]; do printf 'é'; i=$((i+1)); done" });
    let output = server.client.post_ok("/api/bash/execute_bash_command", &request).await;
    let text = output["stdout"].as_str().unwrap();
    assert!(text.starts_with("a\u{fffd}b"), "{:?}", &text[..8]);
    assert_eq!(text.matches('é').count(), 40_000);
    assert_eq!(text.matches('\u{fffd}').count(), 1);
}

/// The most memory that the server has had, in bytes.
fn peak(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn however_much_a_command_prints_its_answer_takes_little_memory() {
    const PRINTED: usize = 150_000_000;
    let server = Start::new(BINARY).start();
    let path = "/api/bash/execute_bash_command";
    server.client.post_ok(path, &json!({ "command": "true" })).await;
    let before = peak(&server);
    for key in [None, Some("once")] {
        let command = json!({ "command": format!("head -c {PRINTED} /dev/zero | tr '\\0' x") });
        let mut request = server.client.request(reqwest::Method::POST, path).json(&command);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut response = request.send().await.unwrap();
        let (mut length, mut end) = (0, None);
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
            end = chunk.last().copied();
        }
        assert!(length > PRINTED && end == Some(b'}'), "{length}");
        let grown = peak(&server) - before;
        assert!(grown < PRINTED / 2, "{} MiB with the key {key:?}", grown >> 20);
    }
}

#[tokio::test]
async fn invalid_utf8_in_a_request_is_refused() {
    let server = Start::new(BINARY).start();
    let request = server.client.request(reqwest::Method::POST, "/api/conversations");
    let bytes = b"{\"workspace\": {\"working_dir\": \"\xff\xfe\"}}".to_vec();
    let response = request.header("content-type", "application/json").body(bytes).send().await.unwrap();
    assert_eq!(response.status(), 422);
    let answer: Value = response.json().await.unwrap();
    assert!(answer["detail"].is_array() || answer["detail"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_conversations_file_routes_do_not_leave_its_workspace() {
    let server = Start::new(BINARY).start();
    let folder = server.project().display();
    let root = format!("{folder}/w");
    let id = server.client.create("http://127.0.0.1:9/v1", &root).await;
    let lay = format!("printf outside > {folder}/outside.txt && ln -s {folder} {root}/link");
    server.client.printed(None, &lay).await;
    for path in
        [format!("{root}/../outside.txt"), format!("{root}/link/outside.txt"), "/etc/passwd".to_owned()]
    {
        let (status, answer) =
            server.client.get(&format!("/api/conversations/{id}/file/download?path={path}")).await;
        assert_eq!(status, 422, "{path}: {answer}");
    }
    for path in ["..%2f..%2foutside.txt", "%2e%2e/outside.txt", "link/outside.txt"] {
        let (status, answer) = server.client.get(&format!("/api/conversations/{id}/workspace/{path}")).await;
        assert!(status == 400 || status == 404, "{path}: {status} {answer}");
        assert_ne!(answer, json!("outside"), "{path}");
    }
    let (status, _) = server.client.get("/api/file/download?path=relative.txt").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn paths_and_references_with_nul_bytes_are_refused_everywhere() {
    let server = Start::new(BINARY).start();
    let file = server.project().join("repository/file");
    let repository = file.parent().unwrap().display().to_string();
    server.client.create("http://127.0.0.1:9/v1", &repository).await;
    server.client.printed(None, &format!("echo text > {}", file.display())).await;
    for path in [
        "git/diff?path=/%00".to_owned(),
        format!("git/changes?path={repository}&ref=%00"),
        format!("git/diff?path={}&ref=a%00b", file.display()),
        "file/download?path=/%00".to_owned(),
    ] {
        let (status, answer) = server.client.get(&format!("/api/{path}")).await;
        assert_eq!(status, 400, "{path}: {answer}");
    }
    let body = testing::client::conversation("http://127.0.0.1:9/v1", "/a\0b");
    let (status, answer) = server.client.post("/api/conversations", &body).await;
    assert_eq!((status.as_u16(), &answer["detail"][0]["loc"][2]), (422, &json!("working_dir")), "{answer}");
}

#[tokio::test]
async fn a_file_that_makes_its_readers_wait_holds_up_neither_a_run_nor_the_servers_end() {
    let view = json!({ "command": "view", "path": "/proc/kmsg" });
    let script =
        Script::new("[[wait]]", vec![Turn::call("call_1", "file_editor", view), Turn::finish("done")]);
    let model = Model::start(0, vec![script]).await.unwrap();
    let mut server = Start::new(BINARY).start();
    let work = server.project().join("w").display().to_string();
    let id = server.client.create(&model.base_url(), &work).await;
    server.client.send(&id, "[[wait]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    assert!(server.terminate().success());
}

const UPGRADE: &str = "GET /sockets/bash-events HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A connection that writes what it likes; unlike an HTTP client, all of it before it reads.
fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    stream
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_read_is_not_lost() {
    let server = Start::new(BINARY).with_key("right").start();
    let body = vec![b' '; 4 * 1024 * 1024];
    for (key, kind, status) in [("wrong", "application/json", "401"), ("right", "text/plain", "415")] {
        for attempt in 0..20 {
            let mut stream = connect(&server.url);
            let head = format!(
                "POST /api/conversations HTTP/1.1\r\nHost: localhost\r\nX-Session-API-Key: {key}\r\n\
                 Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap_or_else(|error| panic!("{status}, attempt {attempt}: {error}"));
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("{status}, {attempt}: {error}"));
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
        }
    }
}

#[tokio::test]
async fn a_client_that_pings_and_never_reads_does_not_fill_the_memory() {
    const MOST: usize = 96 * 1024 * 1024;
    let server = Start::new(BINARY).start();
    let mut stream = connect(&server.url);
    stream.write_all(UPGRADE.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let before = server.resident_kib();
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.extend([b'a'; 125]);
    let flood = ping.repeat(1_000);
    let mut sent = 0;
    while sent < MOST && stream.write_all(&flood).is_ok() {
        sent += flood.len();
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more after {sent} bytes of pings");
    server.client.get_ok("/ready").await;
}

/// Asks for a socket without a key, and begins to say who it is.
fn nobodys_socket(url: &str) -> TcpStream {
    let mut stream = connect(url);
    stream.write_all(UPGRADE.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream.write_all(&[0x81]).unwrap();
    stream
}

/// Begins a request that never ends. However much it is told, the server need not take it all.
fn endless_head(url: &str) -> TcpStream {
    let mut stream = connect(url);
    stream.write_all(b"GET /alive HTTP/1.1\r\nHost: localhost\r\nX-Long: ").unwrap();
    let _ = stream.write_all(&vec![b'x'; 400 * 1024]);
    stream
}

#[tokio::test]
async fn clients_without_a_key_hold_little_memory_by_what_they_do_not_finish() {
    const EACH: usize = 100;
    let server = Start::new(BINARY).with_key("right").start();
    let _first = (nobodys_socket(&server.url), endless_head(&server.url));
    let before = server.resident_kib();
    let _held: Vec<TcpStream> =
        (0..EACH).flat_map(|_| [nobodys_socket(&server.url), endless_head(&server.url)]).collect();
    server.client.get_ok("/ready").await;
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more");
}

/// What a shell in the sandbox says of the process whose number is in `file`: `runs`, or that it has `ended`. Nothing
/// if no shell can say so now: the sandbox of who has no conversation left is put to rest.
async fn told_of(server: &Server, file: &str) -> Option<String> {
    let command = format!("grep -q '^State:.[^ZX]' /proc/$(cat {file})/status && echo runs || echo ended");
    let request = json!({ "command": command });
    let (status, output) = server.client.post("/api/bash/execute_bash_command", &request).await;
    let told = output["stdout"].as_str().filter(|_| status.is_success())?;
    Some(told.trim().to_owned())
}

#[tokio::test]
async fn children_that_a_timed_out_command_leaves_behind_are_ended() {
    let server = Start::new(BINARY).start();
    let note = server.project().join("pid").display().to_string();
    let command = format!("sleep 600 & echo $! > {note}; wait");
    let request = json!({ "command": command, "timeout": 1 });
    let output = server.client.post_ok("/api/bash/execute_bash_command", &request).await;
    assert_eq!(output["exit_code"], -1);
    server.client.printed(None, &format!("test -s {note}")).await;
    until(async || told_of(&server, &note).await.is_some_and(|told| told == "ended")).await;
}

#[tokio::test]
async fn children_of_an_agents_terminal_end_with_its_conversation() {
    let script = Script::new(
        "[[child]]",
        vec![Turn::terminal("call_1", "sleep 600 & echo $! > pid"), Turn::finish("done")],
    );
    let model = Model::start(0, vec![script]).await.unwrap();
    let server = Start::new(BINARY).start();
    let work = server.project().join("w").display().to_string();
    let id = server.client.create(&model.base_url(), &work).await;
    server.client.send(&id, "[[child]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let note = format!("{work}/pid");
    assert_eq!(told_of(&server, &note).await.as_deref(), Some("runs"));
    let (status, _) = server.client.delete(&format!("/api/conversations/{id}")).await;
    assert!(status.is_success());
    until(async || told_of(&server, &note).await.is_some_and(|told| told == "ended")).await;
    let look = json!({ "command": format!("test -s {note}") });
    eventually("the workspace stays", async || {
        let (status, output) = server.client.post("/api/bash/execute_bash_command", &look).await;
        (status.is_success() && output["exit_code"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_servers_keys_are_out_of_reach_of_commands_and_agents() {
    let server = Start::new(BINARY)
        .with_key("canary-session")
        .with("OH_SECRET_KEY", "canary-secret")
        .with("OH_JWT_ALGORITHM", "HS256")
        .with("OH_JWT_SECRET", "canary-secret-of-the-issuer-of-tokens")
        .with("OH_JWT_PREVIOUS_SECRETS_0", "canary-secret-of-the-issuer-before")
        .with("OH_JWT_ISSUER", "https://id.example")
        .with("OH_JWT_AUDIENCE", "manyhands")
        .start();
    let spy = "env; tr '\\0' '\\n' < /proc/$PPID/environ; cat /proc/$PPID/fd/0 2>&1 < /dev/null";
    let output = server.client.post_ok("/api/bash/execute_bash_command", &json!({ "command": spy })).await;
    assert!(!output.to_string().contains("canary"), "{output}");
}
