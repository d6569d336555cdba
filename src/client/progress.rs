//! A run, followed to its end.

use std::time::Duration;

use serde_json::Value;

use tokio::time::Instant;

use super::api::{Api, Error};
use super::start::RUNNING;
use super::stream::{Heard, Stream};
use super::values::text;

/// After so long without a word the server is asked whether the run goes on: the word of its end may have been lost.
const QUIET: Duration = Duration::from_secs(5);

/// After so long it is asked again where it has said that the run is over, and what led to that is still to be told: by a line that
/// is slow. One that is dead is given up by the stream.
const FETCHING: Duration = Duration::from_secs(45);

/// What the answer may take: a connection that is dead is given up, and another one tried.
const ANSWERING: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub enum Step {
    Event(Value),
    Piece(Value),
    Lost(String),
    Back,
    /// The conversation rests, and all that led to it was told.
    Rest(Rest),
}

/// How a conversation rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    pub status: String,
}

/// Begin it before the run is asked for, so that nothing of it is missed.
pub struct Progress {
    api: Api,
    path: String,
    stream: Stream,
    /// Whether the run that is waited for was seen to have begun.
    has_begun: bool,
    /// When the server is asked.
    ask_at: Instant,
    /// It rests, as it has said; what led to it may not be told yet.
    resting: Option<Rest>,
}

impl Progress {
    pub fn new(api: &Api, conversation: &str, stream: Stream) -> Self {
        let path = format!("/api/conversations/{conversation}");
        let ask_at = Instant::now() + QUIET;
        Self { api: api.clone(), path, stream, has_begun: false, ask_at, resting: None }
    }

    /// What is asked for from now on is another run.
    pub fn expect_another(&mut self) {
        self.has_begun = false;
        self.resting = None;
        self.ask_at = Instant::now() + QUIET;
    }

    /// Call it once the server has taken the call that starts the run.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            let Some(heard) = self.heard().await? else {
                let is_fetched = self.resting.is_some();
                match asked(&self.api, &self.path).await? {
                    Some(State::Rests(rest)) => {
                        self.resting = Some(rest);
                        if !is_fetched {
                            self.stream.renew();
                        }
                    }
                    Some(State::Runs) => self.resting = None,
                    // What it has said before still holds.
                    None => {}
                }
                self.put_off_asking();
                continue;
            };
            match heard {
                Heard::Event(event) => {
                    if text(&event, "/key") == "execution_status" && text(&event, "/value") == RUNNING {
                        self.has_begun = true;
                        self.resting = None;
                    }
                    self.put_off_asking();
                    return Ok(Step::Event(event));
                }
                Heard::Piece(piece) => {
                    self.put_off_asking();
                    return Ok(Step::Piece(piece));
                }
                Heard::State(state) if self.has_begun && self.stream.is_synced() => {
                    if let State::Rests(rest) = State::of(&state) {
                        return Ok(Step::Rest(rest));
                    }
                }
                Heard::State(_) => {}
                Heard::Synced => {
                    if let Some(rest) = self.resting.take() {
                        return Ok(Step::Rest(rest));
                    }
                }
                Heard::Lost(why) => return Ok(Step::Lost(why)),
                // Nobody was told that it was given up.
                Heard::Back if self.resting.is_some() => {}
                Heard::Back => return Ok(Step::Back),
            }
        }
    }

    /// Something was told, and more may follow.
    fn put_off_asking(&mut self) {
        let pause = if self.resting.is_some() { FETCHING } else { QUIET };
        self.ask_at = Instant::now() + pause;
    }

    /// `None`: the server is to be asked. While it is sought nobody is.
    async fn heard(&mut self) -> Result<Option<Heard>, Error> {
        if Instant::now() >= self.ask_at {
            return Ok(None);
        }
        if !self.stream.is_connected() {
            return self.stream.next().await.map(Some);
        }
        tokio::time::timeout_at(self.ask_at, self.stream.next()).await.ok().transpose()
    }
}

/// `None` where nobody can be asked: the stream seeks the server.
async fn asked(api: &Api, path: &str) -> Result<Option<State>, Error> {
    let Ok(answer) = tokio::time::timeout(ANSWERING, api.get(path)).await else { return Ok(None) };
    match answer {
        Ok(info) => Ok(Some(State::of(&info))),
        Err(error) if error.status().is_some_and(|status| status < 500 && status != 429) => Err(error),
        Err(_) => Ok(None),
    }
}

/// As the server says that a conversation is.
enum State {
    Runs,
    Rests(Rest),
}

impl State {
    fn of(info: &Value) -> Self {
        match text(info, "/execution_status") {
            RUNNING | "" => Self::Runs,
            status => Self::Rests(Rest { status: status.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::SinkExt;
    use serde_json::json;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::client::stand_in::StandIn;
    use crate::client::stream::Since;

    #[tokio::test]
    async fn what_a_slow_line_still_brings_is_waited_for_whatever_the_server_says_again_of_its_rest_or_does_not()
     {
        let finished = json!({"execution_status": "finished"});
        let states = [finished.clone(), StandIn::FAILS, finished];
        let mut server = StandIn::start(states, (200, json!({}))).await;
        let stream = Stream::open(&server.api, "c", Since::Start).await.unwrap();
        let _silent = server.sockets.recv().await.unwrap();
        let mut progress = Progress::new(&server.api, "c", stream);
        progress.ask_at = Instant::now();
        let (piece, mut slow) = tokio::join!(progress.next(), async {
            server.asked.recv().await.unwrap();
            let mut slow = server.sockets.recv().await.unwrap();
            slow.send(Message::text(r#"{"type": "delta"}"#)).await.unwrap();
            slow
        });
        assert!(matches!(piece, Ok(Step::Piece(_))), "{piece:?}");
        progress.ask_at = Instant::now();
        let (again, ()) = tokio::join!(progress.next(), async {
            server.asked.recv().await.unwrap();
            slow.send(Message::text(r#"{"type": "delta"}"#)).await.unwrap();
        });
        assert!(matches!(again, Ok(Step::Piece(_))), "{again:?}");
        progress.ask_at = Instant::now();
        let next = tokio::time::timeout(Duration::from_secs(5), progress.next());
        let (step, ()) = tokio::join!(next, async {
            server.asked.recv().await.unwrap();
            let _ = slow.send(Message::text(r#"{"type": "sync", "through_seq": -1}"#)).await;
        });
        let Ok(Ok(Step::Rest(rest))) = step else { panic!("{step:?}") };
        assert_eq!(rest.status, "finished");
    }
}
