//! Faults of the peer that only show from outside ([docs/peer.md](../../docs/peer.md)): that they are not here.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use testing::client::conversation;
use testing::model::Model;
use testing::script::Turn;
use testing::server::{Server, Start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// What anybody may wait for who asks for little, on a machine that has much to do.
const SOON: Duration = Duration::from_secs(3);

async fn in_time<T>(what: &str, asked: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, asked).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

fn work(server: &Server) -> String {
    server.project().join("w").display().to_string()
}

/// B9: without a secret key that somebody has set, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_has_the_key_of_its_model_after_a_kill() {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", provider.local_addr().unwrap());
    let server = Start::new(BINARY).start();
    let id = server.client.create(&url, &work(&server)).await;
    server.client.send(&id, "hello", false).await;

    let server = server.killed_and_restarted();
    server.client.post_ok(&format!("/api/conversations/{id}/run"), &json!({})).await;
    let (mut stream, _) = tokio::time::timeout(testing::PATIENCE, provider.accept()).await.unwrap().unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
    let refusal = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(refusal.as_bytes()).await.unwrap();
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.contains("authorization: bearer llm-key\r\n"), "{head}");
}

/// B28.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_same_order_after_a_kill() {
    let server = Start::new(BINARY).start();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.client.create("http://127.0.0.1:9/v1", &work(&server)).await);
    }
    for changed in [2, 0] {
        server.client.send(&ids[changed], "hello", false).await;
    }
    let listed = async |server: &Server| {
        let path = "/api/conversations/search?sort_order=UPDATED_AT_DESC";
        let items = server.client.get_ok(path).await["items"].as_array().unwrap().clone();
        items.iter().map(|item| (item["id"].clone(), item["updated_at"].clone())).collect::<Vec<_>>()
    };
    let before = listed(&server).await;
    let order: Vec<_> = before.iter().map(|(id, _)| id.as_str().unwrap()).collect();
    assert_eq!(order, [0, 2, 3, 1].map(|index| ids[index].as_str()));
    let server = server.killed_and_restarted();
    assert_eq!(listed(&server).await, before);
}

/// C2.
#[tokio::test(flavor = "multi_thread")]
async fn however_many_questions_wait_for_a_model_the_rest_is_answered() {
    let model = Model::start(0, vec![]).await.unwrap();
    model.will((0..12).map(|_| Turn::hang()));
    let server = Start::new(BINARY).start();
    let mut asking = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..12 {
        let id = server.client.create(&model.base_url(), &work(&server)).await;
        let path = format!("/api/conversations/{id}/ask_agent");
        let request = server.client.request(reqwest::Method::POST, &path).json(&json!({"question": "why?"}));
        asking.push(tokio::spawn(request.send()));
        ids.push(id);
    }
    testing::eventually("all have asked", async || (model.asked() == 12).then_some(())).await;
    for id in &ids {
        let events = format!("/api/conversations/{id}/events/search");
        in_time("a list of events", server.client.get_ok(&events)).await;
        in_time("a message", server.client.send(id, "hello", false)).await;
    }
    in_time("a command", server.client.run(None, "true")).await;
    assert!(asking.iter().all(|asking| !asking.is_finished()), "they wait still");
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}

/// C3.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_locks_the_servers_files_keeps_nobody_waiting() {
    let server = Start::new(BINARY).start();
    if server.is_cluster() {
        return;
    }
    server.client.patch("/api/settings", &json!({"misc_settings_diff": {"a": 1}})).await;
    let mut locked = Vec::new();
    lock_all(server.folder(), &mut locked);
    assert!(locked.len() > 3, "{locked:?}");
    in_time("health", server.client.get_ok("/health")).await;
    for number in 0..5 {
        let change = json!({"misc_settings_diff": {"a": number}});
        let changed = server.client.patch("/api/settings", &change);
        assert_eq!(in_time("a change of the settings", changed).await.0, 200);
        let secret = json!({"name": "A", "value": number.to_string()});
        let request =
            server.client.request(reqwest::Method::PUT, "/api/settings/secrets").json(&secret).send();
        assert!(in_time("a secret", request).await.unwrap().status().is_success());
        in_time("a conversation", server.client.create("http://127.0.0.1:9/v1", &work(&server))).await;
    }
}

/// All files that nobody else has locked.
fn lock_all(folder: &Path, locked: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            lock_all(&path, locked);
        } else if let Ok(file) = File::open(&path)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            locked.push(file);
        }
    }
}

/// C7: as it is built for tests, on a machine that has much to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_there_in_a_moment_tells_its_tools_at_once_and_takes_little_memory() {
    let begun = Instant::now();
    let server = Start::new(BINARY).start();
    let started = begun.elapsed();
    for path in ["/server_info", "/api/tools/", "/api/tools/catalog"] {
        in_time(path, server.client.get_ok(path)).await;
    }
    println!("ready after {started:?}, {} KiB", server.resident_kib());
    assert!(server.is_cluster() || started < Duration::from_secs(8), "{started:?}");
    assert!(server.is_cluster() || server.resident_kib() < 150 * 1024, "{} KiB", server.resident_kib());
}

/// C8.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_a_model_that_is_not_there_is_answered_soon_whatever_its_retries() {
    // Nothing listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Start::new(BINARY).start();
    let mut body = conversation(&format!("http://{dead}/v1"), &work(&server));
    body["agent"]["llm"]["num_retries"] = json!(20);
    body["agent"]["llm"]["retry_min_wait"] = json!(30);
    let created = server.client.post_ok("/api/conversations", &body).await;
    let ask = format!("/api/conversations/{}/ask_agent", created["id"].as_str().unwrap());
    let question = json!({"question": "why?"});
    let asked = server.client.post(&ask, &question);
    let (status, answer) = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("it waits");
    assert!(status.is_server_error() && answer["detail"].is_string(), "{status} {answer}");
}

/// C12.
#[tokio::test(flavor = "multi_thread")]
async fn commands_leave_no_files_of_their_own() {
    let server = Start::new(BINARY).start();
    if server.is_cluster() {
        return;
    }
    server.client.run(None, "echo first").await;
    let before = files_in(server.folder());
    for number in 0..30 {
        server.client.run(None, &format!("echo {number}")).await;
    }
    let after = files_in(server.folder());
    assert!(after <= before + 3, "{before} files became {after}");
}

fn files_in(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}
