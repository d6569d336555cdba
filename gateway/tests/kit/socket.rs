//! A WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::SOON;

pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn open(url: &str) -> Self {
        Self(connect_async(url).await.unwrap().0)
    }

    /// The status of a refusal before the upgrade.
    pub async fn refusal(url: &str) -> u16 {
        match connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    /// The next frame.
    pub async fn next(&mut self) -> Value {
        self.next_within(SOON).await.expect("no frame came")
    }

    /// The next frame; `None` if none comes in time.
    pub async fn next_within(&mut self, time: Duration) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(time, self.0.next()).await.ok()?;
            match frame.expect("the socket ended").expect("the socket broke") {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("an unexpected frame: {other:?}"),
            }
        }
    }

    /// Frames up to the first that `ends`, that one included.
    pub async fn until(&mut self, ends: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let last = ends(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// The close code, after whatever frames come before it.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let frame = tokio::time::timeout(SOON, self.0.next()).await.expect("it stays open");
            match frame.expect("it ended without a close frame").expect("it broke without a close frame") {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => panic!("a close frame without a code"),
                _ => {}
            }
        }
    }
}

/// Whether a frame is a `full_state` update.
pub fn is_snapshot(frame: &Value) -> bool {
    frame["key"] == "full_state"
}

/// Whether a frame is a `full_state` update that ends the wait for a run.
pub fn is_resting_snapshot(frame: &Value) -> bool {
    is_snapshot(frame) && frame["value"]["execution_status"] != "running"
}
