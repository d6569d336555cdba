//! A server for unit tests, that says when it is asked for what no real one can be made to say in time.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;

use super::api::Api;

pub struct StandIn {
    pub api: Api,
    /// The sockets that were opened: the test says on them what it likes.
    pub sockets: mpsc::Receiver<WebSocketStream<TcpStream>>,
    /// A word for each GET that was answered.
    pub asked: mpsc::Receiver<()>,
    /// The bodies of what was posted.
    pub posts: mpsc::Receiver<Value>,
}

impl StandIn {
    /// The state of a server that cannot say it.
    pub const FAILS: Value = Value::Null;

    /// `states`: what it answers to one GET after the other, and the last one from then on; `posted`: to each POST.
    pub async fn start(states: impl IntoIterator<Item = Value>, posted: (u16, Value)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let mut states: Vec<Value> = states.into_iter().collect();
        let (opened, sockets) = mpsc::channel(8);
        let (answered, asked) = mpsc::channel(64);
        let (took, posts) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut first = [0; 256];
                let read = connection.peek(&mut first).await.unwrap();
                let first = String::from_utf8_lossy(&first[..read]).into_owned();
                if first.starts_with("GET /sockets/") {
                    let _ = opened.send(tokio_tungstenite::accept_async(connection).await.unwrap()).await;
                } else if first.starts_with("GET ") {
                    let state = if states.len() > 1 { states.remove(0) } else { states[0].clone() };
                    answer(&mut connection, if state == Self::FAILS { 500 } else { 200 }, &state).await;
                    let _ = answered.send(()).await;
                } else {
                    let body = answer(&mut connection, posted.0, &posted.1).await;
                    let _ = took.send(serde_json::from_str(&body).unwrap()).await;
                }
            }
        });
        Self { api, sockets, asked, posts }
    }
}

/// Gives the body of the request.
async fn answer(connection: &mut TcpStream, status: u16, body: &Value) -> String {
    let mut request = String::new();
    let asked = loop {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.unwrap();
        assert!(read > 0, "{request}");
        request.push_str(&String::from_utf8_lossy(&bytes[..read]));
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, length)| length.split_whitespace().next().unwrap().parse().unwrap());
        if body.len() == length {
            break body.to_owned();
        }
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    asked
}
