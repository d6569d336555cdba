//! Commands to the worker of a conversation, each answered only once the index shows what they did.

use std::sync::Arc;
use std::time::Duration;

use ports::retry::Backoff;
use ports::rpc::{Code, Fault, Reason};
use readmodel::index::ConversationState;
use tokio::time::Instant;
use types::calls::{Command, CommandDone, Once};
use types::{Epoch, Message};
use uuid::Uuid;

use super::Conversations;

/// For commands that do no model call and wait for no tool.
pub const QUICK: Duration = Duration::from_secs(30);

/// Between two calls of a worker that has its lease and is not heard.
const UNHEARD: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Which worker was told to forget a conversation, where there are several one after the other.
#[derive(PartialEq)]
pub(super) struct Told(pub(super) Option<Epoch>);

/// What came of a message.
pub enum Said {
    Done,
    /// It is stored, but no run slot is free.
    WithoutRun,
}

impl Conversations {
    /// Sends `command` and waits until its records are in the index.
    ///
    /// # Errors
    /// The worker's fault; `Unavailable` when it does not answer within `deadline`.
    pub async fn command(
        &self,
        entry: &Arc<ConversationState>,
        command: Command,
        deadline: Duration,
    ) -> Result<CommandDone, Fault> {
        let done = self.told(entry, command, deadline).await?;
        self.0.index.wait_for(entry, done.seq, QUICK).await?;
        Ok(done)
    }

    /// The same, before the index has the records.
    pub(super) async fn told(
        &self,
        entry: &Arc<ConversationState>,
        command: Command,
        deadline: Duration,
    ) -> Result<CommandDone, Fault> {
        self.0.activity.touch();
        let told = self.0.workers.call_within(entry.log.sandbox(), &entry.call(command), deadline).await;
        match told {
            Err(fault) if matches!(fault.reason, Some(Reason::Missing | Reason::SandboxDeleted)) => {
                Err(self.truly_missing(entry, fault).await)
            }
            told => told,
        }
    }

    /// A worker says no to what is for a conversation that was deleted, or went with its sandbox, also where another has its id by
    /// now and this gateway has not heard of it: that one is there.
    async fn truly_missing(&self, entry: &ConversationState, fault: Fault) -> Fault {
        match self.0.index.read(entry.id).await {
            Ok(Some(stored)) if stored.tenant == entry.tenant && !entry.is_of(&stored) => {
                Fault::from(Reason::Unavailable).caused_by("another conversation has its id by now")
            }
            _ => fault,
        }
    }

    /// As [`Conversations::command`], for one that ends a run or the wait for one.
    ///
    /// # Errors
    /// As [`Conversations::command`].
    pub async fn stop(&self, entry: &Arc<ConversationState>, command: Command) -> Result<(), Fault> {
        entry.pulse.touch();
        self.command(entry, command, QUICK).await.map(drop)
    }

    /// As [`Conversations::command`], for one that may start a run: a client that has read the answer listens from
    /// then on for the run's closing snapshot, and must not meet that of an earlier one.
    ///
    /// # Errors
    /// As [`Conversations::command`].
    pub async fn command_that_runs(
        &self,
        entry: &Arc<ConversationState>,
        command: Command,
    ) -> Result<CommandDone, Fault> {
        entry.pulse.touch();
        let outcome = self.command(entry, command, QUICK).await;
        tokio::time::sleep(entry.pulse.until_settled()).await;
        entry.pulse.answered();
        outcome
    }

    /// Starts a run. A first message that still waits starts it, if it is to.
    ///
    /// # Errors
    /// `Conflict`: one is under way. `Busy`: no run slot is free. As [`Conversations::command`].
    pub async fn run(&self, entry: &Arc<ConversationState>) -> Result<(), Fault> {
        if self.deliver_waiting(entry).await? {
            return Ok(());
        }
        self.command_that_runs(entry, Command::Run { first: false }).await.map(drop)
    }

    /// Gives a user's message to the agent, after a first message that still waits, and starts a run if so wished;
    /// with `once`, as that event and only if it is not stored yet.
    ///
    /// # Errors
    /// The message is not stored. `Busy`: no run slot is free for the first one. As [`Conversations::command`].
    pub async fn say(
        &self,
        entry: &Arc<ConversationState>,
        message: Message,
        sender: Option<String>,
        run: bool,
        once: Option<Once>,
    ) -> Result<Said, Fault> {
        self.deliver_waiting(entry).await?;
        match self.message(entry, message, sender, run, once).await {
            Ok(_) => Ok(Said::Done),
            Err(fault) if fault.reason == Some(Reason::MessageSaved) => Ok(Said::WithoutRun),
            Err(fault) => Err(fault),
        }
    }

    /// Gives a user's message to the agent and starts a run, or does neither.
    ///
    /// # Errors
    /// `Busy`: no run slot is free. As [`Conversations::say`].
    pub async fn say_and_run(&self, entry: &Arc<ConversationState>, message: Message) -> Result<(), Fault> {
        self.deliver_waiting(entry).await?;
        let command = Command::Message { message, sender: None, run: true, once: None, only_with_slot: true };
        self.command_that_runs(entry, command).await.map(drop)
    }

    pub(super) async fn message(
        &self,
        entry: &Arc<ConversationState>,
        message: Message,
        sender: Option<String>,
        run: bool,
        once: Option<Once>,
    ) -> Result<CommandDone, Fault> {
        let command = Command::Message { message, sender, run, once, only_with_slot: false };
        if run {
            return self.command_that_runs(entry, command).await;
        }
        entry.pulse.touch();
        self.command(entry, command, QUICK).await
    }

    /// Stops everything of a conversation that is being deleted; starts no worker for it, for one that is not there
    /// writes nothing either. Whoever has a lease is there, also while it hears nothing. `None`: nobody is there.
    ///
    /// # Errors
    /// The worker's fault; `Unavailable` when it does not answer: it may still write.
    pub(super) async fn forget(
        &self,
        entry: &ConversationState,
        deletion: Uuid,
    ) -> Result<Option<Told>, Fault> {
        entry.pulse.touch();
        let (sandbox, give_up, mut pauses) = (entry.log.sandbox(), Instant::now() + QUICK, UNHEARD);
        let persistence_dir = self.0.records.persistence_dir(entry.id);
        let call = entry.call(Command::Forget { persistence_dir, deletion });
        loop {
            let forgotten = self.0.workers.call_if_awake::<_, CommandDone>(sandbox, &call, QUICK).await;
            match forgotten {
                Ok((_, worker)) => return Ok(Some(Told(worker))),
                Err(fault) if fault.code != Code::Absent => return Err(fault),
                Err(_) if self.placement().incarnation(sandbox).is_some() => {
                    let pause = pauses.pause();
                    if Instant::now() + pause >= give_up {
                        return Err(Reason::Unreachable.into());
                    }
                    tokio::time::sleep(pause).await;
                }
                Err(_) => return Ok(None),
            }
        }
    }
}
