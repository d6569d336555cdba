//! A hook that takes every call, and what it was told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::hook::Hook;

/// The calls that were taken, by path and body.
pub type Calls = Arc<Mutex<Vec<(String, String)>>>;

/// Takes every call.
pub async fn receiver() -> (Hook, Calls) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hook = Hook::at(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    hook.flush_delay = Duration::from_millis(20);
    let calls = Calls::default();
    let taken = calls.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut call = Vec::new();
            let body = loop {
                match body(&call) {
                    Some(body) => break body,
                    None if matches!(socket.read_buf(&mut call).await, Ok(1..)) => {}
                    None => break String::new(),
                }
            };
            let text = String::from_utf8_lossy(&call).into_owned();
            taken.lock().push((text.split(' ').nth(1).unwrap_or_default().to_owned(), body));
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = socket.write_all(answer).await;
        }
    });
    (hook, calls)
}

/// That of a call, once it is whole.
fn body(call: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(call);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    (body.len() >= length.unwrap().parse().unwrap()).then(|| body.to_owned())
}

pub fn told(calls: &Calls, what: &str) -> usize {
    calls.lock().iter().filter(|(path, _)| path.contains(what)).count()
}

/// The ids of the events that were told, each as often as it came.
pub fn events(calls: &Calls) -> Vec<String> {
    let calls = calls.lock();
    let bodies = calls.iter().filter(|(path, _)| path.contains("/events/")).map(|(_, body)| body);
    let events = bodies.flat_map(|body| serde_json::from_str::<Vec<Value>>(body).unwrap());
    let events = events.filter(|event| event["key"] != "full_state");
    events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}");
}
