//! A prompt: a run, told to the editor as it goes, up to the reason why it stopped.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::message::Refusal;
use super::sessions::refusal;
use super::wire::Wire;
use super::words::{Teller, begun, tool_call};
use crate::client::api::{Api, Error};
use crate::client::pending::Pending;
use crate::client::progress::{Progress, Step};
use crate::client::seen::Seen;
use crate::client::start::start;
use crate::client::stream::{Since, Stream};
use crate::client::values::text;

const ALLOW: &str = "allow";
const ALWAYS: &str = "allow_always";

pub struct Prompt {
    api: Api,
    wire: Wire,
    session: String,
    /// Whether actions wait for a permission.
    asks: bool,
    cancelled: CancellationToken,
}

/// What the user says of actions that wait.
enum Permission {
    Given,
    Refused,
    Cancelled,
}

impl Prompt {
    pub fn new(api: Api, wire: Wire, session: &str, asks: bool, cancelled: CancellationToken) -> Self {
        Self { api, wire, session: session.to_owned(), asks, cancelled }
    }

    /// The answer to `session/prompt`.
    pub async fn run(self, content: Value) -> Result<Value, Refusal> {
        let stream = Stream::open(&self.api, &self.session, Since::Now).await;
        let stream = stream.map_err(|error| refusal(&error))?;
        let mut progress = Progress::new(&self.api, &self.session, stream);
        let started = start(&self.api, &self.session, Some(content)).await;
        started.map_err(|error| Refusal::failed(format!("{error:#}")))?;
        let (mut teller, mut pending) = (Teller::new(self.asks), Pending::default());
        let (mut failure, mut is_stopping) = (None, false);
        loop {
            let step = tokio::select! {
                step = progress.next() => step.map_err(|error| refusal(&error))?,
                () = self.cancelled.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    self.interrupt();
                    continue;
                }
            };
            match step {
                Step::Event(event) => {
                    let seen = Seen::of(&event);
                    pending.note(&seen);
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
                    if let Some(update) = teller.piece(&piece) {
                        self.wire.update(&self.session, update).await;
                    }
                }
                Step::Lost(why) => tracing::warn!(why, "the server is sought again"),
                Step::Back => {}
                Step::Rest(rest) if rest.status == "waiting_for_confirmation" => {
                    progress.expect_another();
                    if !self.confirmed(&pending).await.map_err(|error| refusal(&error))? {
                        return Ok(stopped("cancelled"));
                    }
                }
                Step::Rest(_) if self.cancelled.is_cancelled() => return Ok(stopped("cancelled")),
                Step::Rest(rest) => return outcome(&rest.status, failure),
            }
        }
    }

    /// Not waited for: the end of the run tells whether it came.
    fn interrupt(&self) {
        let (api, path) = (self.api.clone(), format!("/api/conversations/{}/interrupt", self.session));
        tokio::spawn(async move {
            if let Err(error) = api.post(&path, &json!({})).await {
                tracing::warn!(%error, "a run cannot be stopped");
            }
        });
    }

    /// Whether the run goes on.
    async fn confirmed(&self, pending: &Pending) -> Result<bool, Error> {
        let asked = tokio::select! {
            asked = self.ask(pending) => asked?,
            () = self.cancelled.cancelled() => Permission::Cancelled,
        };
        let path = format!("/api/conversations/{}/events/respond_to_confirmation", self.session);
        let body = match asked {
            Permission::Given => json!({"accept": true}),
            Permission::Refused => json!({"accept": false}),
            // What waits would run with the next prompt otherwise.
            Permission::Cancelled => json!({"accept": false, "reason": "The prompt was cancelled."}),
        };
        self.api.post(&path, &body).await?;
        match asked {
            Permission::Given => {
                for action in pending.actions() {
                    self.wire.update(&self.session, begun(action)).await;
                }
                Ok(true)
            }
            Permission::Cancelled => Ok(false),
            Permission::Refused => {
                self.api.post(&format!("/api/conversations/{}/run", self.session), &json!({})).await?;
                Ok(true)
            }
        }
    }

    /// Asks for each action; the server takes one answer for all.
    async fn ask(&self, pending: &Pending) -> Result<Permission, Error> {
        for action in pending.actions() {
            let params = json!({"sessionId": self.session, "toolCall": tool_call(action), "options": [
                {"optionId": ALLOW, "name": "Allow", "kind": "allow_once"},
                {"optionId": ALWAYS, "name": "Allow all of this session", "kind": "allow_always"},
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ]});
            let Some(Ok(answer)) = self.wire.ask("session/request_permission", params).await else {
                return Ok(Permission::Cancelled);
            };
            match (text(&answer, "/outcome/outcome"), text(&answer, "/outcome/optionId")) {
                ("selected", ALLOW) => {}
                ("selected", ALWAYS) => {
                    let path = format!("/api/conversations/{}/confirmation_policy", self.session);
                    self.api.post(&path, &json!({"policy": {"kind": "NeverConfirm"}})).await?;
                    return Ok(Permission::Given);
                }
                ("cancelled", _) => return Ok(Permission::Cancelled),
                _ => return Ok(Permission::Refused),
            }
        }
        Ok(Permission::Given)
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
