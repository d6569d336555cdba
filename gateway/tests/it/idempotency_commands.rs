//! Calls with an Idempotency-Key that take long, answer much, or bring a file.

use std::os::unix::fs::MetadataExt;

use crate::harness::{Server, eventually, start, start_with_files};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

const EXECUTE: &str = "/api/bash/execute_bash_command";

fn execute(server: &Server, command: &str) -> RequestBuilder {
    let body = json!({"command": command});
    server.request(Method::POST, EXECUTE).header("idempotency-key", "k").json(&body)
}

fn is_replayed(response: &Response) -> bool {
    response.headers().contains_key("idempotency-replayed")
}

/// A command that notes that it ran, and waits until it may end.
fn waiting(server: &Server) -> String {
    let (ran, go) = (server.path("ran"), server.path("go"));
    format!("echo once >> {ran}; while [ ! -e {go} ]; do sleep 0.01; done; echo done")
}

async fn until_it_runs(server: &Server) {
    let ran = server.folder().join("ran");
    eventually("the command runs", async || ran.exists().then_some(())).await;
}

fn let_it_end(server: &Server) {
    std::fs::write(server.folder().join("go"), "").unwrap();
}

#[tokio::test]
async fn who_repeats_a_call_that_is_under_way_is_asked_to_wait() {
    let server = start().await;
    let command = waiting(&server);
    let first = tokio::spawn(execute(&server, &command).send());
    until_it_runs(&server).await;
    let second = execute(&server, &command).send().await.unwrap();
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (409, &"1".parse().unwrap()));
    let_it_end(&server);
    let answers = [first.await.unwrap().unwrap(), execute(&server, &command).send().await.unwrap()];
    assert!(!is_replayed(&answers[0]) && is_replayed(&answers[1]));
    for answer in answers {
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.json::<Value>().await.unwrap()["stdout"], "done\n");
    }
}

#[tokio::test]
async fn a_call_whose_client_has_gone_is_finished_and_its_answer_kept() {
    let server = start().await;
    let command = waiting(&server);
    let first = tokio::spawn(execute(&server, &command).send());
    until_it_runs(&server).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let_it_end(&server);
    let answer = eventually("the answer is kept", async || {
        let response = execute(&server, &command).send().await.unwrap();
        (response.status() == 200).then_some(response)
    })
    .await;
    assert!(is_replayed(&answer));
    assert_eq!(answer.json::<Value>().await.unwrap()["stdout"], "done\n");
    assert_eq!(std::fs::read_to_string(server.folder().join("ran")).unwrap(), "once\n");
}

#[tokio::test]
async fn a_long_answer_is_given_once_and_its_call_done_once() {
    let server = start().await;
    let command = format!("echo once >> {}; head -c 300000 /dev/zero | tr '\\0' x", server.path("ran"));
    let first = execute(&server, &command).send().await.unwrap();
    assert_eq!(first.json::<Value>().await.unwrap()["stdout"].as_str().unwrap().len(), 300_000);
    let second = execute(&server, &command).send().await.unwrap();
    assert!(second.status() == 200 && is_replayed(&second));
    assert!(second.json::<Value>().await.unwrap()["detail"].as_str().unwrap().contains("too long"));
    assert_eq!(std::fs::read_to_string(server.folder().join("ran")).unwrap(), "once\n");
}

#[tokio::test]
async fn a_repeated_upload_replaces_nothing_and_another_file_is_another_call() {
    let server = start_with_files().await;
    let file = server.folder().join("file");
    let upload = async |content: &'static [u8]| {
        let form = Form::new().part("file", Part::bytes(content).file_name("f"));
        let path = format!("/api/file/upload?path={}", server.path("file"));
        let request = server.request(Method::POST, &path).header("idempotency-key", "k");
        request.multipart(form).send().await.unwrap()
    };
    assert!(!is_replayed(&upload(b"one").await));
    let inode = std::fs::metadata(&file).unwrap().ino();
    let again = upload(b"one").await;
    assert!(again.status() == 200 && is_replayed(&again));
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(upload(b"longer").await.status(), 422);
}
