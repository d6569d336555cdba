//! Nothing hangs, and nothing is asked twice.

use std::time::Duration;

use manyhands_kubernetes::types::Pod;
use manyhands_kubernetes::{Error, Result};

use super::server::{Server, client};

const PATIENCE: Duration = Duration::from_millis(300);

fn is_unavailable<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::Unavailable(_)))
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_after_the_patience() {
    let server = Server::start(None).await;
    let client = server.client().await.with_patience(PATIENCE);
    let pods = client.objects::<Pod>();
    assert!(is_unavailable(&pods.find("a").await));
    assert!(is_unavailable(&pods.list("a=b").await));
    assert!(is_unavailable(&pods.create(&Pod::default()).await));
    assert!(is_unavailable(&pods.watch("a=b", "1", 1).await));
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let client = client("http://127.0.0.1:1").await;
    let Err(Error::Unavailable(told)) = client.version().await else { panic!("it answers") };
    assert!(told.to_lowercase().contains("refused"), "{told}");
}

/// The library would ask again by itself, as often as fifteen times, also for what makes something.
#[tokio::test]
async fn a_server_that_asks_to_come_later_is_asked_once() {
    const LATER: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(Some(LATER)).await;
    let client = server.client().await;
    assert!(is_unavailable(&client.objects::<Pod>().create(&Pod::default()).await));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_proxys_page_is_no_answer() {
    const PAGE: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 13\r\n\r\n<html></html>";
    let server = Server::start(Some(PAGE)).await;
    let found = server.client().await.objects::<Pod>().find("a").await;
    assert!(is_unavailable(&found), "{found:?}");
}
