//! A connection without a client: what is written on it is what the server reads, byte by byte.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use types::placement::Credentials;

/// What a server that says nothing more is waited for.
const QUIET: Duration = Duration::from_secs(5);

pub struct Wire {
    stream: TcpStream,
    /// All that came.
    read: Vec<u8>,
}

impl Wire {
    /// Signs in.
    ///
    /// # Panics
    /// When the server does not let it in.
    pub async fn open(url: &str, credentials: &Credentials) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("nats://")).await.unwrap();
        let mut wire = Self { stream, read: Vec::new() };
        assert!(wire.reads_until("\r\n").await, "a greeting");
        let greeting = String::from_utf8(std::mem::take(&mut wire.read)).unwrap();
        let greeting: Value = serde_json::from_str(greeting.trim().strip_prefix("INFO ").unwrap()).unwrap();
        let key = KeyPair::from_seed(&credentials.seed).unwrap();
        let signed = key.sign(greeting["nonce"].as_str().unwrap().as_bytes()).unwrap();
        let connect = json!({
            "jwt": &*credentials.jwt, "sig": URL_SAFE_NO_PAD.encode(signed), "protocol": 1,
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "lang": "none", "version": "1",
        });
        assert!(wire.say(format!("CONNECT {connect}\r\n").as_bytes()).await, "signed in");
        wire
    }

    /// Whether the server has worked it off, and is still there.
    pub async fn say(&mut self, frames: &[u8]) -> bool {
        let begun = self.read.len();
        let said = self.stream.write_all(&[frames, b"PING\r\n"].concat()).await;
        said.is_ok() && self.reads_until_from(begun, "PONG\r\n").await
    }

    /// Says what nothing can follow, and hangs up.
    pub async fn end(mut self, frame: &[u8]) -> Vec<String> {
        // The server may be the first to hang up.
        let _ = self.stream.write_all(frame).await;
        let _ = self.stream.shutdown().await;
        while self.reads().await {}
        self.messages()
    }

    /// The subjects of the messages that came.
    pub fn messages(&self) -> Vec<String> {
        let (mut rest, mut subjects) = (&self.read[..], Vec::new());
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 2..];
            let parts: Vec<_> = line.split(' ').collect();
            if ["MSG", "HMSG"].contains(&parts[0]) {
                subjects.push(parts[1].to_owned());
                let size: usize = parts.last().unwrap().parse().unwrap();
                rest = rest.get(size + 2..).unwrap_or_default();
            }
        }
        subjects
    }

    async fn reads_until(&mut self, text: &str) -> bool {
        self.reads_until_from(0, text).await
    }

    async fn reads_until_from(&mut self, begun: usize, text: &str) -> bool {
        let is_there = |read: &[u8]| read[begun..].windows(text.len()).any(|piece| piece == text.as_bytes());
        while !is_there(&self.read) {
            if !self.reads().await {
                return false;
            }
        }
        true
    }

    /// Whether something came.
    async fn reads(&mut self) -> bool {
        let mut piece = [0; 1 << 14];
        let count = timeout(QUIET, self.stream.read(&mut piece)).await.map_or(0, Result::unwrap_or_default);
        self.read.extend_from_slice(&piece[..count]);
        count > 0
    }
}
