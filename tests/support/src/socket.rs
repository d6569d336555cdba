//! A WebSocket client whose every wait ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::PATIENCE;

pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn open(url: &str) -> Self {
        Self { stream: connect_async(url).await.unwrap().0 }
    }

    /// `None` when nobody takes it.
    pub async fn try_open(url: &str) -> Option<Self> {
        connect_async(url).await.ok().map(|(stream, _)| Self { stream })
    }

    /// With a bearer token; the status of a refusal before the upgrade otherwise.
    ///
    /// # Errors
    /// That status.
    pub async fn open_with(url: &str, token: Option<&str>) -> Result<Self, u16> {
        let mut request = url.into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the socket cannot be opened: {error}"),
        }
    }

    /// The status of a refusal before the upgrade.
    ///
    /// # Panics
    /// When it is not refused.
    pub async fn refusal(url: &str) -> u16 {
        match connect_async(url).await {
            Err(Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next frame.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn next(&mut self) -> Value {
        self.next_within(PATIENCE).await.expect("no frame came")
    }

    /// The next frame; `None` if none comes in time.
    ///
    /// # Panics
    /// When the socket ends.
    pub async fn next_within(&mut self, time: Duration) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(time, self.stream.next()).await.ok()?;
            match frame.expect("the socket ended").expect("the socket broke") {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("an unexpected frame: {other:?}"),
            }
        }
    }

    /// The next frame; `None` when the server has closed.
    ///
    /// # Panics
    /// When neither comes in time.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("no frame came");
            match frame? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
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

    /// Waits until the server has asked so many times whether somebody is there; answers it, as always.
    ///
    /// # Panics
    /// When it does not ask, or says something else.
    pub async fn until_pinged(&mut self, times: usize) {
        for _ in 0..times {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nobody asks");
            let frame = frame.expect("the socket ended").expect("the socket broke");
            assert!(matches!(frame, Message::Ping(_)), "an unexpected frame: {frame:?}");
        }
    }

    /// The close code, after whatever frames come before it.
    ///
    /// # Panics
    /// When the socket stays open, or ends without one.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("it stays open");
            match frame.expect("it ended without a close frame").expect("it broke without a close frame") {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => panic!("a close frame without a code"),
                _ => {}
            }
        }
    }
}
