//! Much at once: sockets that do not read, many sockets, large outputs and uploads.

use serde_json::json;
use testing::client::{Client, message};
use testing::model::Model;
use testing::script::{Call, Script, Turn};
use testing::server::{Server, Start};
use testing::socket::Socket;

const MIB: usize = 1024 * 1024;

async fn server_and_conversation(scripts: Vec<Script>) -> (Server, Model, String) {
    let model = Model::start(0, scripts).await.unwrap();
    let server = Start::new(env!("CARGO_BIN_EXE_manyhands")).start();
    let id = server.client.create(&model.base_url(), &server.project().join("w").display().to_string()).await;
    (server, model, id)
}

fn think(count: usize) -> Vec<Turn> {
    let call = |i| Call {
        id: format!("call_{i}"),
        name: "think".to_owned(),
        arguments: json!({ "thought": format!("thought {i}") }),
    };
    vec![Turn::calls((0..count).map(call).collect())]
}

async fn events_until_finished(socket: &mut Socket) -> Vec<String> {
    let frames =
        socket.until(|event| event["key"] == "execution_status" && event["value"] == "finished").await;
    frames.iter().filter(|e| e["key"] != "full_state").map(|e| e["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sockets_get_every_event_once_and_in_order() {
    let (server, _model, id) = server_and_conversation(vec![Script::new("[[many]]", think(25))]).await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let mut socket = server.client.socket(&format!("/sockets/events/{id}")).await;
        socket.until(|event| event["key"] == "full_state").await;
        sockets.push(socket);
    }
    server.client.send(&id, "[[many]]", true).await;
    let mut all = Vec::new();
    for socket in &mut sockets {
        all.push(events_until_finished(socket).await);
    }
    let stored: Vec<String> = server
        .client
        .events(&id)
        .await
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    for seen in all {
        assert_eq!(seen, stored[..seen.len()]);
        assert!(seen.len() > 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_does_not_read_slows_nobody_and_is_closed_or_complete() {
    let (server, _model, id) = server_and_conversation(vec![]).await;
    let mut slow = server.client.socket(&format!("/sockets/events/{id}")).await;
    let mut quick = server.client.socket(&format!("/sockets/events/{id}")).await;
    quick.until(|event| event["key"] == "full_state").await;
    // Far more than sockets buffer: 40 MiB.
    let text = "y".repeat(400 * 1024);
    for i in 0..100 {
        server.client.post_ok(&format!("/api/conversations/{id}/events"), &message(&text, false)).await;
        let wanted = format!("the message {i} on the quick socket");
        tokio::time::timeout(testing::PATIENCE, quick.until(|event| event["kind"] == "MessageEvent"))
            .await
            .expect(&wanted);
    }
    let stored = server.client.events(&id).await;
    let mut seen = Vec::new();
    while let Some(event) = slow.next_or_end().await {
        if event["key"] != "full_state" {
            seen.push(event["id"].clone());
        }
        if seen.len() == stored.len() {
            break;
        }
    }
    let ids: Vec<_> = stored.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(seen, ids[..seen.len()], "no silent gap: what came is the beginning, complete and in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5_mb_tool_output_is_cut_for_the_model_and_kept_whole_beside_the_log() {
    let command = "head -c 5000000 /dev/zero | tr '\\0' 'z'";
    let script = Script::new("[[big]]", vec![Turn::terminal("call_1", command), Turn::finish("done")]);
    let (server, _model, id) = server_and_conversation(vec![script]).await;
    server.client.send(&id, "[[big]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let events = server.client.events(&id).await;
    let observation = events.iter().find(|event| event["kind"] == "ObservationEvent").unwrap();
    let shown = observation["observation"]["content"][0]["text"].as_str().unwrap();
    assert!(shown.len() < 40_000, "{}", shown.len());

    let (_, note) = shown.split_once("the whole output is in ").unwrap();
    let (kept, _) = note.split_once(" ...]").unwrap();
    // Outside what its workspace's file routes show, whichever mode it is: another command reads it.
    let counted = server.client.run(Some(&id), &format!("tr -cd z < '{kept}' | wc -c")).await;
    assert_eq!(counted["stdout"].as_str().unwrap().trim(), "5000000", "{kept}: {counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_300_mb_upload_and_download_need_constant_memory() {
    let server = Start::new(env!("CARGO_BIN_EXE_manyhands")).start();
    let target = server.project().join("big.bin");
    server.client.get_ok("/health").await;
    let before = server.resident_kib();
    upload(&server.client, &target.display().to_string(), 300 * MIB).await;
    let path = format!("/api/file/download?path={}", target.display());
    let mut response = server.client.request(reqwest::Method::GET, &path).send().await.unwrap();
    let mut received = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        assert!(chunk.iter().all(|byte| *byte == b'u'));
        received += chunk.len();
    }
    assert_eq!(received, 300 * MIB);
    let grown = server.resident_kib().saturating_sub(before) / 1024;
    println!("300 MiB up and down: {grown} MiB more resident");
    assert!(grown < 48, "{grown} MiB");
}

/// A multipart upload whose body is made while it is sent.
async fn upload(client: &Client, path: &str, size: usize) {
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    let block = bytes::Bytes::from(vec![b'u'; MIB]);
    let blocks = (0..size / MIB).map(move |_| block.clone());
    let parts =
        std::iter::once(bytes::Bytes::from(head)).chain(blocks).chain([bytes::Bytes::from("\r\n--b--\r\n")]);
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(parts.map(Ok::<_, std::io::Error>)));
    let request = client.request(reqwest::Method::POST, &format!("/api/file/upload?path={path}"));
    let response =
        request.header("content-type", "multipart/form-data; boundary=b").body(body).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
    let answer: serde_json::Value = response.json().await.unwrap();
    assert_eq!(answer, json!({ "success": true, "file_size": size }));
}
