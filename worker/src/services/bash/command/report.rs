//! The output events of one command.

use std::collections::VecDeque;
use std::sync::Arc;

use ports::Error;
use types::BashScope;
use types::bash::{BashEvent, BashOutput};
use uuid::Uuid;

use super::super::journal::{Journals, Receipt, Refusal, Result};
use super::super::output::{Stream, parts};
use super::FAILED;

/// Events that wait to be stored; with as many, output is left in the pipe.
const IN_FLIGHT: usize = 6;
/// Bytes of one stream in one event, as JSON: with both, a frame stays below 1 MiB.
const EVENT_SIZE: usize = 500 * 1024;

const REFUSED: &str = "What the command has printed could not be stored. It was ended.";

pub(super) struct Report {
    journals: Arc<Journals>,
    journal: BashScope,
    command_id: String,
    order: u64,
    waiting: VecDeque<Receipt>,
    /// Why the log takes no more.
    refused: Option<String>,
    end: End,
}

/// A command has one end, whatever becomes of what it has printed.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Untold,
    /// It is the last of what waits.
    HandedOver,
    Stored,
}

impl Report {
    pub(super) fn new(journals: Arc<Journals>, journal: BashScope, command_id: String) -> Self {
        Self {
            journals,
            journal,
            command_id,
            order: 0,
            waiting: VecDeque::new(),
            refused: None,
            end: End::Untold,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < IN_FLIGHT
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits until the oldest event is stored.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn oldest_stored(&mut self) -> Result<()> {
        let Some(oldest) = self.waiting.front_mut() else { return Ok(()) };
        let stored = oldest.await.unwrap_or(Err(Refusal::Stopping));
        self.waiting.pop_front();
        if self.waiting.is_empty() && self.end == End::HandedOver {
            self.end = if stored.is_ok() { End::Stored } else { End::Untold };
        }
        if let Err(error) = &stored {
            self.refused = self.refused.take().or_else(|| refusal(error));
            tracing::warn!(command.id = %self.command_id, %error, "cannot store the output of a command");
        }
        stored.map(drop)
    }

    /// Where the log has not taken an event and never will, says so in its place: the command is over. Its own end, where
    /// that is stored, stays the only one.
    pub(super) async fn if_refused(&mut self) {
        let Some(why) = self.refused.take() else { return };
        self.all_stored().await;
        if self.end == End::Untold {
            self.failed(&why).await;
        }
    }

    async fn all_stored(&mut self) {
        while self.is_waiting() {
            // What went wrong is kept.
            let _ = self.oldest_stored().await;
        }
    }

    /// Sends what waits in the streams, but for a character that is not complete.
    pub(super) async fn more(&mut self, stdout: &mut Stream, stderr: &mut Stream) {
        self.send(stdout.take(false), stderr.take(false), None).await;
    }

    /// Sends the rest with the exit code and waits until all is stored.
    pub(super) async fn last(&mut self, stdout: &mut Stream, stderr: &mut Stream, code: i32) {
        self.send(stdout.take(true), stderr.take(true), Some(code)).await;
        self.all_stored().await;
    }

    pub(super) async fn failed(&mut self, why: &str) {
        self.send(String::new(), why.to_owned(), Some(FAILED)).await;
        self.all_stored().await;
    }

    async fn send(&mut self, stdout: String, stderr: String, code: Option<i32>) {
        let mut stdout = VecDeque::from(parts(stdout, EVENT_SIZE));
        let mut stderr = VecDeque::from(parts(stderr, EVENT_SIZE));
        while stdout.len() > 1 || stderr.len() > 1 {
            self.event(stdout.pop_front(), stderr.pop_front(), None).await;
        }
        let (stdout, stderr) = (stdout.pop_front(), stderr.pop_front());
        self.event(stdout, stderr, code).await;
    }

    async fn event(&mut self, stdout: Option<String>, stderr: Option<String>, exit_code: Option<i32>) {
        let some_text = |text: &String| !text.is_empty();
        let (stdout, stderr) = (stdout.filter(some_text), stderr.filter(some_text));
        if stdout.is_none() && stderr.is_none() && exit_code.is_none() {
            return;
        }
        let event = BashEvent::BashOutput(BashOutput {
            id: Uuid::new_v4().simple().to_string(),
            timestamp: String::new(),
            command_id: self.command_id.clone(),
            order: self.order,
            exit_code,
            stdout,
            stderr,
        });
        self.order += 1;
        match self.journals.append(self.journal, event).await {
            Ok(receipt) => {
                self.waiting.push_back(receipt);
                if exit_code.is_some() {
                    self.end = End::HandedOver;
                }
            }
            Err(error) => {
                tracing::warn!(command.id = %self.command_id, %error, "cannot store the output of a command");
            }
        }
    }
}

/// What is said in place of an event that the log never takes. Nothing of one that this worker cannot store: the next
/// one closes the command.
fn refusal(refusal: &Refusal) -> Option<String> {
    let Refusal::Log(error) = refusal else { return None };
    match error {
        Error::Full(why) => Some(why.clone()),
        Error::TooLarge(_) | Error::Internal(_) => Some(REFUSED.to_owned()),
        Error::Unavailable(_) | Error::Conflict { .. } | Error::NotFound => None,
    }
}
