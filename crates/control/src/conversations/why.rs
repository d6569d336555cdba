//! Why a conversation does not move. Only looks: no worker is woken by it.

use ports::rpc::{Code, Fault};
use readmodel::index::ConversationState;
use serde::Serialize;
use types::conversation::Status;
use types::placement::{Failure, FailureReason, Lease, Want};
use types::{Epoch, Event, EventBody, SandboxId, time};

use super::Conversations;
use crate::models::Budget;
use crate::placement::SandboxStatus;

#[derive(Serialize, utoipa::ToSchema)]
pub struct Why {
    pub status: Status,
    /// What it waits for; null when nothing keeps it from moving.
    pub blocked_by: Option<Blocker>,
    /// Since when, UTC with `Z`, where that is known.
    pub since: Option<String>,
    /// One sentence.
    pub detail: String,
    #[schema(value_type = String)]
    pub sandbox: SandboxId,
    /// Of the newest incarnation of its worker.
    #[schema(value_type = Option<u64>)]
    pub epoch: Option<Epoch>,
    /// Of a worker that is alive.
    #[schema(value_type = Option<Object>)]
    pub lease: Option<Lease>,
    /// Why the worker did not start, or ended.
    #[schema(value_type = Option<Object>)]
    pub failure: Option<Failure>,
    pub budget: Option<Budget>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blocker {
    Model,
    /// Calls to the provider wait until it takes them again.
    ProviderLimit,
    Tool,
    Confirmation,
    SandboxLimit,
    WorkerStarting,
    WorkerLost,
    StartFailed,
    Budget,
}

impl Conversations {
    /// What the conversation waits for.
    ///
    /// # Errors
    /// Those of the store; `NotFound` when it was deleted meanwhile.
    pub async fn why(&self, entry: &ConversationState) -> Result<Why, Fault> {
        let status = self.placement().status(entry.log.sandbox());
        let last = self.last_event(entry).await?;
        let gone = || Fault::new(Code::NotFound, "Not Found");
        let record = self.0.index.read(entry.id).await?.ok_or_else(gone)?;
        let budget = self.0.models.budget(&record).await?;
        let found = self.find(entry, status.as_ref(), last.as_ref(), budget.as_ref());
        let allocation = status.as_ref().and_then(|status| status.allocation.clone());
        Ok(Why {
            status: entry.status(),
            blocked_by: found.blocker,
            since: found.since,
            detail: found.detail,
            sandbox: entry.log.sandbox().clone(),
            epoch: allocation.as_ref().map(|allocation| allocation.epoch),
            failure: allocation.and_then(|allocation| allocation.failure),
            lease: status.and_then(|status| status.lease),
            budget,
        })
    }

    /// The newest event that is not a state update.
    async fn last_event(&self, entry: &ConversationState) -> Result<Option<Event>, Fault> {
        let Some(id) = entry.with_projection(|projection| projection.leaf_event_id.clone()) else {
            return Ok(None);
        };
        let event = self.0.history.get(entry, &id).await?;
        Ok(event.and_then(|event| serde_json::from_slice(&event).ok()))
    }

    fn find(
        &self,
        entry: &ConversationState,
        status: Option<&SandboxStatus>,
        last: Option<&Event>,
        budget: Option<&Budget>,
    ) -> Finding {
        if let Some(text) = budget.and_then(|budget| budget.reached.clone()) {
            return Finding::new(Blocker::Budget, None, text);
        }
        let waits = entry.status() == Status::Running || entry.record().undelivered.is_some();
        if let Some(found) = status.and_then(|status| without_worker(status, waits)) {
            return found;
        }
        let since = last.and_then(|last| time::local_as_utc(&last.timestamp));
        match entry.status() {
            Status::Running => match last {
                Some(Event { body: EventBody::ActionEvent(action), .. }) if action.action.is_some() => {
                    let tool = &action.tool_name;
                    Finding::new(Blocker::Tool, since, format!("The tool '{tool}' is running."))
                }
                _ => match self.0.models.queued_since(entry.id) {
                    Some(since) => Finding::new(
                        Blocker::ProviderLimit,
                        Some(since),
                        "The model's provider has asked for a pause; the call waits for its end.",
                    ),
                    None => Finding::new(Blocker::Model, since, "The model has not answered yet."),
                },
            },
            Status::WaitingForConfirmation => {
                Finding::new(Blocker::Confirmation, since, "Actions wait for the user's consent.")
            }
            Status::Error => match &entry.record().refused {
                Some(refused) if last.is_none() => {
                    Finding::nothing(&format!("The first message was refused: {}", refused.why))
                }
                _ => Finding::nothing("The last run ended with an error, which is its last event."),
            },
            Status::Stuck => Finding::nothing("The last run was ended because it went round in circles."),
            Status::Idle | Status::Paused | Status::Finished | Status::Deleting => {
                Finding::nothing("No run is under way.")
            }
        }
    }
}

struct Finding {
    blocker: Option<Blocker>,
    since: Option<String>,
    detail: String,
}

impl Finding {
    fn new(blocker: Blocker, since: Option<String>, detail: impl Into<String>) -> Self {
        Self { blocker: Some(blocker), since, detail: detail.into() }
    }

    fn nothing(detail: &str) -> Self {
        Self { blocker: None, since: None, detail: detail.to_owned() }
    }
}

/// What is known when there is no worker; `waits`: the conversation needs one.
fn without_worker(status: &SandboxStatus, waits: bool) -> Option<Finding> {
    if status.lease.is_some() {
        return None;
    }
    let failure = status.allocation.as_ref().and_then(|allocation| allocation.failure.as_ref());
    if let Some(failure) = failure {
        let is_there = status.allocation.as_ref().is_some_and(|allocation| !allocation.instance.is_empty());
        let blocker = match failure.reason {
            FailureReason::NoRoom => Blocker::SandboxLimit,
            FailureReason::DriverUnavailable => Blocker::StartFailed,
            // What is there waits for it, and may get it.
            _ if is_there => Blocker::WorkerStarting,
            FailureReason::Exited
            | FailureReason::OutOfMemory
            | FailureReason::Evicted
            | FailureReason::NodeLost
            | FailureReason::Preempted => Blocker::WorkerLost,
            FailureReason::ImageMissing
            | FailureReason::StartFailed
            | FailureReason::NoCapacity
            | FailureReason::VolumeUnavailable => Blocker::StartFailed,
        };
        return Some(Finding::new(blocker, Some(failure.at.clone()), failure.message.clone()));
    }
    match status.want {
        Want::Running => Some(Finding::new(Blocker::WorkerStarting, None, "The sandbox is starting.")),
        Want::Paused | Want::Deleted if waits => {
            Some(Finding::new(Blocker::WorkerLost, None, "The sandbox has no worker."))
        }
        Want::Paused | Want::Deleted => None,
    }
}
