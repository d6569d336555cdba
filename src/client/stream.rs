//! What happens in a conversation, in order: each stored event once, however often the connection is lost.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::api::{Api, Error, Socket};
use super::values::text;

/// A server asks every 20 seconds whether somebody is there; one that is silent for so long is asked.
const SILENCE: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(120);

/// Close codes after which it is no use to come back.
const UNAUTHORIZED: u16 = 4001;
const NOT_FOUND: u16 = 4004;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The first event.
    Start,
    /// What happens from now on.
    Now,
}

#[derive(Debug)]
pub enum Heard {
    /// A stored event, in the order of the log.
    Event(Value),
    /// A piece of an answer that is being written: a frame of the session protocol.
    Piece(Value),
    /// The conversation as it is now.
    State(Value),
    /// The connection is lost; it is sought again.
    Lost(String),
    Back,
}

pub struct Stream {
    api: Api,
    path: String,
    /// The index of the last event that was told; none: it is not known where to begin.
    told: Option<i64>,
    socket: Option<Socket>,
    /// After which event something seemed to be missing: if it still is, there is nothing.
    gap: Option<i64>,
    lost: Option<Loss>,
    asked: bool,
}

struct Loss {
    since: Instant,
    pause: Duration,
}

impl Stream {
    /// # Errors
    /// Where the socket cannot be opened.
    pub async fn open(api: &Api, conversation: &str, since: Since) -> Result<Self, Error> {
        let told = match since {
            Since::Start => Some(-1),
            Since::Now => None,
        };
        let path = format!("/sockets/session/{conversation}");
        let socket = Some(connect(api, &path, told).await?);
        Ok(Self { api: api.clone(), path, told, socket, gap: None, lost: None, asked: false })
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// The next of what happens. Dropping the call loses nothing.
    ///
    /// # Errors
    /// Where the conversation is gone, the key is no good, or the server is away for too long.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            let Some(socket) = &mut self.socket else { return self.reconnect().await };
            let frame = match tokio::time::timeout(SILENCE, socket.next()).await {
                Ok(frame) => frame,
                Err(_) if self.asked => return Ok(self.lose("the server is silent")),
                Err(_) => {
                    self.asked = true;
                    if socket.send(Message::Ping(Default::default())).await.is_err() {
                        return Ok(self.lose("the connection broke"));
                    }
                    continue;
                }
            };
            self.asked = false;
            match frame {
                Some(Ok(Message::Text(frame))) => {
                    let Ok(frame) = serde_json::from_str(&frame) else { continue };
                    if let Some(heard) = self.understand(frame) {
                        return Ok(heard);
                    }
                }
                Some(Ok(Message::Close(frame))) => return self.closed(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(self.lose("the connection broke")),
            }
        }
    }

    fn understand(&mut self, mut frame: Value) -> Option<Heard> {
        match text(&frame, "/type") {
            "sync" if self.told.is_none() => {
                self.told = Some(frame.get("through_seq").and_then(Value::as_i64).unwrap_or(-1));
                None
            }
            "durable" => {
                let seq = frame.get("seq")?.as_i64()?;
                self.take(seq, frame.get_mut("event")?.take())
            }
            "transient" => {
                let event = frame.get_mut("event")?;
                match text(event, "/key") {
                    "full_state" => event.get_mut("value").map(|value| Heard::State(value.take())),
                    _ => None,
                }
            }
            "item_started" | "delta" | "item_aborted" => Some(Heard::Piece(frame)),
            _ => None,
        }
    }

    fn take(&mut self, seq: i64, event: Value) -> Option<Heard> {
        let told = self.told.unwrap_or(seq - 1);
        if seq <= told {
            return None;
        }
        if seq > told + 1 && self.gap != Some(told) {
            self.gap = Some(told);
            return Some(self.lose("something is missing"));
        }
        self.told = Some(seq);
        Some(Heard::Event(event))
    }

    fn closed(&mut self, frame: Option<CloseFrame>) -> Result<Heard, Error> {
        let (code, reason) =
            frame.map_or((1006, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
        match code {
            UNAUTHORIZED | NOT_FOUND => Err(Error::Refused { status: code, detail: reason }),
            _ if reason.is_empty() => Ok(self.lose("the server closed the connection")),
            _ => Ok(self.lose(&format!("the server closed the connection: {reason}"))),
        }
    }

    fn lose(&mut self, why: &str) -> Heard {
        self.socket = None;
        self.asked = false;
        self.lost = Some(Loss { since: Instant::now(), pause: FIRST_PAUSE });
        Heard::Lost(why.to_owned())
    }

    async fn reconnect(&mut self) -> Result<Heard, Error> {
        loop {
            let error = match connect(&self.api, &self.path, self.told).await {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.lost = None;
                    return Ok(Heard::Back);
                }
                Err(error) => error,
            };
            // A proxy in front may say so of a server that is not there yet; of all else it is the last word.
            let is_final = error.status().is_some_and(|status| status < 500 && status != 429);
            let loss = self.lost.get_or_insert(Loss { since: Instant::now(), pause: FIRST_PAUSE });
            if is_final || loss.since.elapsed() > PATIENCE {
                return Err(error);
            }
            let pause = loss.pause;
            loss.pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
        }
    }
}

async fn connect(api: &Api, path: &str, told: Option<i64>) -> Result<Socket, Error> {
    let query = told.map_or_else(String::new, |told| format!("?after_seq={told}"));
    api.socket(&format!("{path}{query}")).await
}
