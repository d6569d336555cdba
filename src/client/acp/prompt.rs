//! A prompt: a run, told to the editor as it goes, up to the reason why it stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::message::Refusal;
use super::sessions::refusal;
use super::stopping::{Calls, stop};
use super::wire::Wire;
use super::words::{Teller, begun, question};
use crate::client::api::{Api, Error};
use crate::client::interrupt::Interrupt;
use crate::client::progress::{Progress, Step};
use crate::client::seen::{Action, Seen};
use crate::client::start::{RUNNING, start_unless};
use crate::client::stream::{Since, Stream};
use crate::client::values::text;
use crate::client::waiting::{self, Answer, WAITING, Waiting, respond};

const ALLOW: &str = "allow";
const ALWAYS: &str = "allow_always";

/// What the server gets to answer once a prompt is cancelled, before the editor is told so.
const ANSWERING: Duration = Duration::from_secs(2);

pub struct Prompt {
    api: Api,
    wire: Wire,
    session: String,
    permits: Permits,
    ends: Ends,
}

/// What a prompt waits for before it begins.
pub type Ready = BoxFuture<'static, Result<(), Refusal>>;

/// How a prompt is brought to its end, and what goes on after that.
pub struct Ends {
    pub cancelled: CancellationToken,
    pub calls: Calls,
    /// Dropped once nothing of it runs.
    pub rests: DropGuard,
    /// Where runs are stopped of which the editor was told that they were.
    pub stopping: TaskTracker,
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
    pub fn new(api: Api, wire: Wire, session: &str, permits: Permits, ends: Ends) -> Self {
        Self { api, wire, session: session.to_owned(), permits, ends }
    }

    /// The answer to `session/prompt`. `ready`: before it nothing is done, and what runs of an earlier one goes on.
    pub async fn run(self, mut ready: Ready, content: Value) -> Result<Value, Refusal> {
        let is_ready = tokio::select! {
            biased;
            () = self.ends.cancelled.cancelled() => None,
            is_ready = &mut ready => Some(is_ready),
        };
        let Some(is_ready) = is_ready else {
            let Ends { rests, stopping, .. } = self.ends;
            stopping.spawn(async move {
                let _ = ready.await;
                drop(rests);
            });
            return Ok(stopped("cancelled"));
        };
        is_ready?;
        let opened = tokio::select! {
            biased;
            // Nothing was said yet.
            () = self.ends.cancelled.cancelled() => return Ok(stopped("cancelled")),
            opened = self.open() => opened.map_err(|error| failed(&error))?,
        };
        match self.follow(opened, content).await {
            Err(refusal) if self.ends.cancelled.is_cancelled() => {
                tracing::warn!(why = refusal.message, "a prompt that was cancelled has failed");
                // The server may have taken what it has not answered.
                let Ends { calls, rests, stopping, .. } = self.ends;
                let stopped_there = stopping.spawn(stop(self.api, self.session, calls, rests));
                let _ = tokio::time::timeout(ANSWERING, stopped_there).await;
                Ok(stopped("cancelled"))
            }
            ended => ended,
        }
    }

    /// What has waited since an editor has gone is not what is asked for now, and would run with it.
    async fn open(&self) -> anyhow::Result<Stream> {
        let stream = Stream::open(&self.api, &self.session, Since::Now).await?;
        if waiting::status(&self.api, &self.session).await? == WAITING {
            let reason = Answer::Reject(Some("The user has said something else instead."));
            respond(&self.api, &self.session, reason, None).await?;
        }
        Ok(stream)
    }

    async fn follow(&self, stream: Stream, content: Value) -> Result<Value, Refusal> {
        let mut progress = Progress::new(&self.api, &self.session, stream);
        if !self.started(Some(content)).await? {
            return Ok(stopped("cancelled"));
        }
        let mut teller = Teller::default();
        let (mut failure, mut interrupt) = (None, None);
        loop {
            let step = tokio::select! {
                step = progress.next() => step.map_err(|error| refusal(&error))?,
                () = self.ends.cancelled.cancelled(), if interrupt.is_none() => {
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
                    if self.confirmed().await? {
                        continue;
                    }
                    if self.status().await? != RUNNING {
                        return Ok(stopped("cancelled"));
                    }
                    // Somebody else has let it go on before.
                    interrupt = Some(Interrupt::of(&self.api, &self.session));
                }
                Step::Rest(_) if self.ends.cancelled.is_cancelled() => return Ok(stopped("cancelled")),
                Step::Rest(rest) => return outcome(&rest.status, failure),
            }
        }
    }

    /// Whether the run goes on.
    async fn confirmed(&self) -> Result<bool, Refusal> {
        let mut refused = Vec::new();
        loop {
            let (waiting, said) = tokio::select! {
                biased;
                () = self.ends.cancelled.cancelled() => (Waiting::Unseen, Permission::Cancelled),
                asked = self.asked(&refused) => asked.map_err(|error| refusal(&error))?,
            };
            let actions = match waiting {
                Waiting::These(actions) => actions,
                Waiting::Unseen => Vec::new(),
                // Somebody else has answered.
                Waiting::Nothing => return Ok(true),
            };
            let answer = match said {
                Permission::Given => Answer::Accept,
                Permission::Refused(reason) => Answer::Reject(reason),
                // What waits would run with the next prompt otherwise.
                Permission::Cancelled => Answer::Reject(Some("The prompt was cancelled.")),
            };
            let is_of_these = !actions.is_empty() && !matches!(said, Permission::Cancelled);
            let shown = is_of_these.then(|| actions.clone());
            let (api, session) = (self.api.clone(), self.session.clone());
            let answered = async move { Ok(respond(&api, &session, answer, shown.as_deref()).await?) };
            if !self.done(answered).await? {
                refused = actions;
                continue;
            }
            match said {
                Permission::Given => {
                    for action in &actions {
                        self.wire.update(&self.session, begun(action)).await;
                    }
                }
                Permission::Cancelled => return Ok(false),
                Permission::Refused(_) => return self.started(None).await,
            }
            return Ok(true);
        }
    }

    /// What waits, and what the user says of it.
    async fn asked(&self, refused: &[Action]) -> Result<(Waiting, Permission), Error> {
        let waiting = waiting::look(&self.api, &self.session, refused).await?;
        let said = match &waiting {
            Waiting::These(actions) => self.ask(actions).await,
            Waiting::Unseen => Permission::Refused(Some("What waits could not be shown to the user.")),
            Waiting::Nothing => Permission::Refused(None),
        };
        Ok((waiting, said))
    }

    /// Lets the agent work; whether it does.
    async fn started(&self, content: Option<Value>) -> Result<bool, Refusal> {
        let (api, session) = (self.api.clone(), self.session.clone());
        let cancelled = self.ends.cancelled.clone();
        self.done(async move { start_unless(&cancelled, &api, &session, content).await }).await
    }

    async fn status(&self) -> Result<String, Refusal> {
        let (api, session) = (self.api.clone(), self.session.clone());
        self.done(async move { Ok(waiting::status(&api, &session).await?) }).await
    }

    /// A call that the server may have taken: an interrupt that comes before it stops nothing, so whoever cancels waits for its
    /// answer, but not for ever. It goes on after that.
    async fn done<T: Send + 'static>(
        &self,
        call: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let given_up = async {
            self.ends.cancelled.cancelled().await;
            tokio::time::sleep(ANSWERING).await;
        };
        let done = tokio::select! {
            done = self.ends.calls.make(call) => done.ok().flatten(),
            () = given_up => None,
        };
        match done {
            Some(done) => done.map_err(|error| failed(&error)),
            None => Err(Refusal::failed("The server does not answer".to_owned())),
        }
    }

    /// Asks for each action; the server takes one answer for all.
    async fn ask(&self, actions: &[Action]) -> Permission {
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

fn failed(error: &anyhow::Error) -> Refusal {
    Refusal::failed(format!("{error:#}"))
}

fn stopped(reason: &str) -> Value {
    json!({"stopReason": reason})
}
