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
/// A connection that ends before, and has told nothing, was none: it is sought as long and as slowly as if it had never come.
const STEADY: Duration = Duration::from_secs(10);
/// What a server may take to say where it begins.
const BEGINNING: Duration = Duration::from_secs(20);

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
    /// All that was stored when the connection began was told.
    Synced,
}

pub struct Stream {
    api: Api,
    path: String,
    /// The index of the last event that was told; none: it is not known where to begin.
    told: Option<i64>,
    socket: Option<Socket>,
    /// The last event that was stored when the connection began, until it was told.
    through: Option<i64>,
    /// When something was heard last: calls of [`Stream::next`] are dropped and made again.
    heard: Instant,
    /// After which event something seemed to be missing: if it still is, there is nothing.
    gap: Option<i64>,
    lost: Option<Loss>,
    asked: bool,
}

struct Loss {
    since: Instant,
    /// When it is tried again.
    next: Instant,
    pause: Duration,
    /// When it seemed to be over.
    back: Option<Instant>,
}

impl Loss {
    fn now() -> Self {
        let now = Instant::now();
        Self { since: now, next: now, pause: FIRST_PAUSE, back: None }
    }

    fn wait(&mut self) {
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
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
        let (api, heard) = (api.clone(), Instant::now());
        let mut stream =
            Self { api, path, told, socket, through: None, heard, gap: None, lost: None, asked: false };
        if since == Since::Now {
            stream.find_beginning().await?;
        }
        Ok(stream)
    }

    /// Only the server knows where now is; it says so first.
    async fn find_beginning(&mut self) -> Result<(), Error> {
        let broken = self.api.broken("it does not say where its events begin");
        let found = tokio::time::timeout(BEGINNING, async {
            while self.told.is_none() {
                self.next().await?;
            }
            Ok(())
        });
        found.await.unwrap_or(Err(broken))
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether all that was stored when the connection began was told.
    pub fn is_synced(&self) -> bool {
        self.through.is_none()
    }

    /// Seeks a new connection, which tells what this one may have kept, and then that it is [`Heard::Synced`].
    pub fn renew(&mut self) {
        self.socket = None;
        self.asked = false;
        let was_steady = |loss: &mut Loss| loss.back.is_some_and(|back| back.elapsed() > STEADY);
        self.lost.take_if(was_steady);
    }

    /// The next of what happens. Dropping the call loses nothing.
    ///
    /// # Errors
    /// Where the conversation is gone, the key is no good, or the server is away for too long.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            if let Some(synced) = self.synced() {
                return Ok(synced);
            }
            let Some(socket) = &mut self.socket else { return self.reconnect().await };
            let patience = if self.asked { SILENCE * 2 } else { SILENCE };
            let frame = match tokio::time::timeout_at(self.heard + patience, socket.next()).await {
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
            (self.asked, self.heard) = (false, Instant::now());
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
            "sync" => {
                let through = frame.get("through_seq").and_then(Value::as_i64).unwrap_or(-1);
                self.through = Some(through);
                self.told.get_or_insert(through);
                self.synced()
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
            "item_started" | "delta" | "item_aborted" => {
                self.lost = None;
                Some(Heard::Piece(frame))
            }
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
        self.lost = None;
        Some(Heard::Event(event))
    }

    /// Once of each connection.
    fn synced(&mut self) -> Option<Heard> {
        self.through.filter(|through| self.told.is_some_and(|told| told >= *through))?;
        self.through = None;
        Some(Heard::Synced)
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
        self.renew();
        match &mut self.lost {
            Some(loss) => loss.wait(),
            None => self.lost = Some(Loss::now()),
        }
        Heard::Lost(why.to_owned())
    }

    /// Dropping the call loses no more than an attempt.
    async fn reconnect(&mut self) -> Result<Heard, Error> {
        loop {
            let loss = self.lost.get_or_insert_with(Loss::now);
            if loss.since.elapsed() > PATIENCE {
                return Err(self.api.broken("each connection ends at once"));
            }
            tokio::time::sleep_until(loss.next).await;
            self.through = None;
            let error = match connect(&self.api, &self.path, self.told).await {
                Ok(socket) => {
                    self.socket = Some(socket);
                    (self.heard, loss.back) = (Instant::now(), Some(Instant::now()));
                    return Ok(Heard::Back);
                }
                Err(error) => error,
            };
            // A proxy in front may say so of a server that is not there yet; of all else it is the last word.
            let is_final = error.status().is_some_and(|status| status < 500 && status != 429);
            if is_final || loss.since.elapsed() > PATIENCE {
                return Err(error);
            }
            loss.wait();
        }
    }
}

async fn connect(api: &Api, path: &str, told: Option<i64>) -> Result<Socket, Error> {
    let query = told.map_or_else(String::new, |told| format!("?after_seq={told}"));
    api.socket(&format!("{path}{query}")).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;

    async fn listening() -> (Api, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (Api::new(&url, None).unwrap(), listener)
    }

    /// To a server that says where its events begin, and then nothing.
    async fn opened(since: Since) -> (Stream, impl Sized) {
        let (api, listener) = listening().await;
        let serving = tokio::spawn(async move {
            let (connection, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(connection).await.unwrap();
            socket.send(Message::text(r#"{"type": "sync", "through_seq": 7}"#)).await.unwrap();
            socket
        });
        let stream = Stream::open(&api, "c", since).await.unwrap();
        (stream, serving.await.unwrap())
    }

    #[tokio::test]
    async fn where_now_is_is_known_before_anything_is_asked_for() {
        let (stream, _socket) = opened(Since::Now).await;
        assert_eq!(stream.told, Some(7));
    }

    #[tokio::test]
    async fn a_silent_connection_is_given_up_however_often_a_call_was_dropped() {
        let (mut stream, _socket) = opened(Since::Now).await;
        stream.heard -= SILENCE * 2;
        let heard = tokio::time::timeout(Duration::from_secs(5), stream.next()).await;
        let Ok(Ok(Heard::Lost(_))) = heard else { panic!("{heard:?}") };
    }

    #[tokio::test]
    async fn a_server_that_ends_each_connection_is_sought_with_pauses() {
        let (api, listener) = listening().await;
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut socket = tokio_tungstenite::accept_async(connection).await.unwrap();
                let _ = socket.close(None).await;
            }
        });
        let mut stream = Stream::open(&api, "c", Since::Start).await.unwrap();
        let seeking = async { while stream.next().await.is_ok() {} };
        assert!(tokio::time::timeout(Duration::from_secs(1), seeking).await.is_err());
        let taken = taken.load(Ordering::SeqCst);
        assert!((2..8).contains(&taken), "{taken} connections in a second");
    }
}
