//! What a server of one process promises of its files: with a torn last line, a second server, on a full disk, and at an
//! orderly end.

use std::io::Write;

use serde_json::Value;
use testing::client::message;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;

use super::small_disk::SmallDisk;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

#[tokio::test]
async fn a_torn_last_line_is_cut_and_the_rest_is_kept() {
    let model = Model::start(0, vec![Script::new("[[torn]]", vec![Turn::text("hello")])]).await.unwrap();
    let start = Start::new(BINARY);
    let mut server = start.start();
    let id = server.client.create(&model.base_url(), &server.folder().join("w").display().to_string()).await;
    server.client.send(&id, "[[torn]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let before = server.client.events(&id).await;
    assert!(server.terminate().success());

    let log = server.folder().join("workspace/conversations").join(id.replace('-', "")).join("events.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(br#"{"n":99,"event":{"id":"half"#).unwrap();
    drop(file);

    let server = start.start();
    assert_eq!(server.client.events(&id).await, before);
    server.client.send(&id, "again", true).await;
    server.client.wait_for_status(&id, "finished").await;
    assert!(server.client.events(&id).await.len() > before.len());
}

#[tokio::test]
async fn a_second_server_on_one_data_directory_refuses_to_start() {
    let start = Start::new(BINARY);
    let server = start.start();
    let second = start.command().output().unwrap();
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains(&server.pid().to_string()), "names the process that holds it: {told}");
    server.client.get_ok("/ready").await;
}

#[tokio::test]
async fn an_orderly_stop_pauses_runs_and_closes_sockets_with_1012() {
    let model = Model::start(0, vec![Script::new("[[long]]", vec![Turn::terminal("call_1", "sleep 600")])])
        .await
        .unwrap();
    let start = Start::new(BINARY);
    let mut server = start.start();
    let id = server.client.create(&model.base_url(), &server.folder().join("w").display().to_string()).await;
    let mut socket = server.client.socket(&format!("/sockets/events/{id}")).await;
    server.client.send(&id, "[[long]]", true).await;
    socket.until(|event| event["kind"] == "ActionEvent").await;
    assert!(server.terminate().success());
    assert_eq!(socket.close_code().await, 1012);

    let server = start.start();
    let info = server.client.get_ok(&format!("/api/conversations/{id}")).await;
    assert_eq!(info["execution_status"], "paused");
}

#[tokio::test]
async fn a_full_disk_refuses_new_messages_and_keeps_the_acknowledged_ones() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "48m") else {
        testing::may_skip("the full disk", "mounting a small file system needs root");
        return;
    };
    let data = disk.0.join("conversations");
    let start = Start::new(BINARY).with("OH_CONVERSATIONS_PATH", &data.display().to_string());
    let server = start.start();
    let id =
        server.client.create("http://127.0.0.1:9/v1", &server.folder().join("w").display().to_string()).await;
    let path = format!("/api/conversations/{id}/events");

    let text = "x".repeat(512 * 1024);
    let mut acknowledged = 0;
    let refused = loop {
        let (status, answer) = server.client.post(&path, &message(&text, false)).await;
        if !status.is_success() {
            break (status, answer);
        }
        acknowledged += 1;
        assert!(acknowledged < 500, "the disk never gets full");
    };
    println!("{acknowledged} messages of 512 KiB fitted, then {} {}", refused.0, refused.1);
    assert_eq!(refused.0.as_u16(), 503);

    let messages = |events: &[Value]| events.iter().filter(|e| e["kind"] == "MessageEvent").count();
    assert_eq!(messages(&server.client.events(&id).await), acknowledged);
    let server = server.killed_and_restarted();
    assert_eq!(messages(&server.client.events(&id).await), acknowledged);
}
