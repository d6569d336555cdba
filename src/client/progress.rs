//! A run, followed to its end.

use std::time::Duration;

use serde_json::Value;

use super::api::{Api, Error};
use super::stream::{Heard, Stream};
use super::values::text;

/// After so long without a word the server is asked whether the run goes on: the word of its end may have been lost.
const QUIET: Duration = Duration::from_secs(5);

const RUNNING: &str = "running";

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
}

impl Progress {
    pub fn new(api: &Api, conversation: &str, stream: Stream) -> Self {
        let path = format!("/api/conversations/{conversation}");
        Self { api: api.clone(), path, stream, has_begun: false }
    }

    /// What is asked for from now on is another run.
    pub fn expect_another(&mut self) {
        self.has_begun = false;
    }

    /// Call it once the server has taken the call that starts the run.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            let Some(heard) = self.heard().await? else {
                if let Some(rest) = asked(&self.api, &self.path).await? {
                    return Ok(Step::Rest(rest));
                }
                continue;
            };
            match heard {
                Heard::Event(event) => {
                    if text(&event, "/key") == "execution_status" && text(&event, "/value") == RUNNING {
                        self.has_begun = true;
                    }
                    return Ok(Step::Event(event));
                }
                Heard::Piece(piece) => return Ok(Step::Piece(piece)),
                Heard::State(state) if self.has_begun => {
                    if let Some(rest) = resting(&state) {
                        return Ok(Step::Rest(rest));
                    }
                }
                Heard::State(_) => {}
                Heard::Lost(why) => return Ok(Step::Lost(why)),
                Heard::Back => return Ok(Step::Back),
            }
        }
    }

    /// `None`: it has been quiet. While the server is sought nobody is asked.
    async fn heard(&mut self) -> Result<Option<Heard>, Error> {
        if !self.stream.is_connected() {
            return self.stream.next().await.map(Some);
        }
        tokio::time::timeout(QUIET, self.stream.next()).await.ok().transpose()
    }
}

/// `None` as well where nobody can be asked: the stream seeks the server.
async fn asked(api: &Api, path: &str) -> Result<Option<Rest>, Error> {
    match api.get(path).await {
        Ok(info) => Ok(resting(&info)),
        Err(error) if error.status().is_some_and(|status| status < 500 && status != 429) => Err(error),
        Err(_) => Ok(None),
    }
}

fn resting(state: &Value) -> Option<Rest> {
    let status = text(state, "/execution_status");
    (status != RUNNING && !status.is_empty()).then(|| Rest { status: status.to_owned() })
}
