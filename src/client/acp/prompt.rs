//! A prompt: a run, told to the editor as it goes, up to the reason why it stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::message::Refusal;
use super::sessions::refusal;
use super::wire::Wire;
use super::words::{Teller, begun, question};
use crate::client::api::Api;
use crate::client::interrupt::Interrupt;
use crate::client::progress::{Progress, Step};
use crate::client::seen::{Action, Seen};
use crate::client::start::start;
use crate::client::stream::{Since, Stream};
use crate::client::values::text;
use crate::client::waiting::{self, Answer, WAITING, Waiting, respond};

const ALLOW: &str = "allow";
const ALWAYS: &str = "allow_always";

pub struct Prompt {
    api: Api,
    wire: Wire,
    session: String,
    /// Whether actions wait for a permission.
    asks: bool,
    permits: Permits,
    cancelled: CancellationToken,
}

/// Whether the user has permitted all of a session, for as long as the editor is here.
pub type Permits = Arc<AtomicBool>;

/// What the user says of actions that wait.
enum Permission {
    Given,
    Refused(Option<&'static str>),
    Cancelled,
}

impl Prompt {
    pub fn new(
        api: Api,
        wire: Wire,
        session: &str,
        asks: bool,
        permits: Permits,
        cancelled: CancellationToken,
    ) -> Self {
        Self { api, wire, session: session.to_owned(), asks, permits, cancelled }
    }

    /// The answer to `session/prompt`.
    pub async fn run(self, content: Value) -> Result<Value, Refusal> {
        let stream = Stream::open(&self.api, &self.session, Since::Now).await;
        let stream = stream.map_err(|error| refusal(&error))?;
        let mut progress = Progress::new(&self.api, &self.session, stream);
        let started = self.start(content).await;
        started.map_err(|error| Refusal::failed(format!("{error:#}")))?;
        let mut teller = Teller::new(self.asks);
        let (mut failure, mut interrupt) = (None, None);
        loop {
            let step = tokio::select! {
                step = progress.next() => step.map_err(|error| refusal(&error))?,
                () = self.cancelled.cancelled(), if interrupt.is_none() => {
                    interrupt = Some(Interrupt::of(&self.api, &self.session));
                    continue;
                }
            };
            match step {
                Step::Event(event) => {
                    let seen = Seen::of(&event);
                    // The editor has shown what its user has just said.
                    if !matches!(seen, Seen::User(_)) {
                        for update in teller.event(&seen) {
                            self.wire.update(&self.session, update).await;
                        }
                    }
                    if let Seen::Failed { code, detail } = seen {
                        failure = Some((code, detail));
                    }
                }
                Step::Piece(piece) => {
                    for update in teller.piece(&piece) {
                        self.wire.update(&self.session, update).await;
                    }
                }
                Step::Lost(why) => tracing::warn!(why, "the server is sought again"),
                Step::Back => {}
                Step::Rest(rest) if rest.status == WAITING => {
                    progress.expect_another();
                    let confirmed = self.confirmed().await;
                    if !confirmed.map_err(|error| Refusal::failed(format!("{error:#}")))? {
                        return Ok(stopped("cancelled"));
                    }
                }
                Step::Rest(_) if self.cancelled.is_cancelled() => return Ok(stopped("cancelled")),
                Step::Rest(rest) => return outcome(&rest.status, failure),
            }
        }
    }

    /// What has waited since an editor has gone is not what is asked for now, and would run with it.
    async fn start(&self, content: Value) -> anyhow::Result<()> {
        if waiting::status(&self.api, &self.session).await? == WAITING {
            let reason = Answer::Reject(Some("The user has said something else instead."));
            respond(&self.api, &self.session, reason, None).await?;
        }
        start(&self.api, &self.session, Some(content)).await
    }

    /// Whether the run goes on.
    async fn confirmed(&self) -> anyhow::Result<bool> {
        let mut refused = Vec::new();
        loop {
            let actions = match waiting::look(&self.api, &self.session, &refused).await? {
                Waiting::These(actions) => actions,
                Waiting::Unseen => Vec::new(),
                // Somebody else has answered.
                Waiting::Nothing => return Ok(true),
            };
            let asked = tokio::select! {
                biased;
                () = self.cancelled.cancelled() => Permission::Cancelled,
                asked = self.ask(&actions) => asked,
            };
            let answer = match asked {
                Permission::Given => Answer::Accept,
                Permission::Refused(reason) => Answer::Reject(reason),
                // What waits would run with the next prompt otherwise.
                Permission::Cancelled => Answer::Reject(Some("The prompt was cancelled.")),
            };
            let is_of_these = !actions.is_empty() && !matches!(asked, Permission::Cancelled);
            let shown = is_of_these.then_some(actions.as_slice());
            if !respond(&self.api, &self.session, answer, shown).await? {
                refused = actions;
                continue;
            }
            return match asked {
                Permission::Given => {
                    for action in &actions {
                        self.wire.update(&self.session, begun(action)).await;
                    }
                    Ok(true)
                }
                Permission::Cancelled => Ok(false),
                Permission::Refused(_) => start(&self.api, &self.session, None).await.map(|()| true),
            };
        }
    }

    /// Asks for each action; the server takes one answer for all. Where there is nothing to ask about nothing is permitted.
    async fn ask(&self, actions: &[Action]) -> Permission {
        if actions.is_empty() {
            return Permission::Refused(Some("What waits could not be shown to the user."));
        }
        for action in actions {
            if self.permits.load(Ordering::Relaxed) {
                return Permission::Given;
            }
            let params = json!({"sessionId": self.session, "toolCall": question(action), "options": [
                {"optionId": ALLOW, "name": "Allow", "kind": "allow_once"},
                {"optionId": ALWAYS, "name": "Allow all of this session", "kind": "allow_always"},
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ]});
            let Some(Ok(answer)) = self.wire.ask("session/request_permission", params).await else {
                return Permission::Cancelled;
            };
            match (text(&answer, "/outcome/outcome"), text(&answer, "/outcome/optionId")) {
                ("selected", ALLOW) => {}
                ("selected", ALWAYS) => self.permits.store(true, Ordering::Relaxed),
                ("cancelled", _) => return Permission::Cancelled,
                _ => return Permission::Refused(None),
            }
        }
        Permission::Given
    }
}

fn outcome(status: &str, failure: Option<(String, String)>) -> Result<Value, Refusal> {
    match (status, failure) {
        ("error", Some((code, _))) if code == "MaxIterationsReached" => Ok(stopped("max_turn_requests")),
        ("error", Some((code, detail))) => Err(Refusal::failed(format!("{code}: {detail}"))),
        ("error", None) => Err(Refusal::failed("The run has failed".to_owned())),
        ("stuck", _) => Err(Refusal::failed("The agent goes in circles".to_owned())),
        _ => Ok(stopped("end_turn")),
    }
}

fn stopped(reason: &str) -> Value {
    json!({"stopReason": reason})
}
