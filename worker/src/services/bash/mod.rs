//! Commands run over the API, their output as it comes, and their log.

mod command;
mod environment;
mod journal;
mod kin;
mod output;
mod process;
mod remains;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use child_environment::Variable;
use parking_lot::Mutex;
use ports::retry::{Backoff, while_unavailable};
use ports::rpc::{self, Address, Code, Fault, Reason};
use ports::{Bus, Ports};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::bash::{BashCommand, BashEvent, ExecuteBashRequest};
use types::calls::{BashCall, BashCleared, BashStarted, BashStopped, RecordCall, Scope, WorkingCopy};
use types::{BashScope, ConversationId, SandboxId};
use uuid::Uuid;

use super::fault::not_found;
use super::gone::Gone;
use super::{ServicesConfig, place};
use crate::Activity;
use command::Run;
use journal::{Journals, Kept, Refusal};
use kin::Kin;

/// How long a stop waits for the end of a command.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// A command whose event cannot be stored for so long is not begun.
const STORE_PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
const LISTING_PATIENCE: Duration = Duration::from_secs(60);
const RECORD_DEADLINE: Duration = Duration::from_secs(10);
const SHORTEST_PURGE_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Service {
    default_cwd: PathBuf,
    most_commands: usize,
    environment: Arc<Vec<Variable>>,
    journals: Arc<Journals>,
    running: Arc<Mutex<HashMap<Name, Control>>>,
    activity: Activity,
    kin: Kin,
    gone: Gone,
    bus: Arc<dyn Bus>,
    sandbox: SandboxId,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// A command: its log and its id.
type Name = (BashScope, String);

#[derive(Clone)]
struct Control {
    stop: CancellationToken,
    /// Its log is removed, or the worker ends: nothing more is stored of it.
    forget: CancellationToken,
    ended: CancellationToken,
}

impl Service {
    pub(super) fn new(
        config: &ServicesConfig,
        ports: &Ports,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let (log, sandbox) = (Arc::clone(&ports.log), config.sandbox.clone());
        let running: Arc<Mutex<HashMap<Name, Control>>> = Arc::default();
        let is_running = {
            let running = Arc::clone(&running);
            move |log: BashScope, command: &str| running.lock().contains_key(&(log, command.to_owned()))
        };
        let (tracker, shutdown) = (tracker.clone(), shutdown.clone());
        let journals = Journals::new(
            log,
            sandbox.clone(),
            config.epoch,
            tracker.clone(),
            shutdown.clone(),
            Arc::new(is_running),
        );
        Self {
            default_cwd: config.default_cwd.clone(),
            most_commands: config.most_commands,
            environment: Arc::new(environment::for_commands(child_environment::inherited())),
            journals: Arc::new(journals),
            running,
            activity: config.activity.clone(),
            kin: Kin::new(&config.sandbox, &config.scratch),
            gone: Gone::default(),
            bus: Arc::clone(&ports.bus),
            sandbox,
            tracker,
            shutdown,
        }
    }

    pub(super) async fn answer(&self, call: BashCall) -> Result<Value, Fault> {
        match call {
            BashCall::Start { scope, request } => json(self.start(&scope, request).await?),
            BashCall::Stop { scope, command_id } => {
                json(BashStopped { ended: self.stop(&scope, &command_id).await? })
            }
            BashCall::Clear { scope } => {
                json(BashCleared { cleared_count: self.journals.clear(scope.bash()).await? })
            }
        }
    }

    /// Gives the commands that an earlier worker left without an end one, and ends all that it has left: once its logs
    /// are this worker's, so that it can say nothing else of it.
    pub(super) async fn close_what_was_cut_off(self: Arc<Self>) {
        for log in self.logs().await {
            if let Err(error) = self.journals.open(log).await {
                tracing::warn!(?log, %error, "commands that were cut off are not closed");
            }
        }
        self.kin.end_earlier().await;
    }

    /// Ends the commands of a conversation that has [gone](Self::gone), and what they have started. Once this returns, their
    /// log is not written any more.
    pub(super) async fn forget(&self, conversation: ConversationId) {
        let scope = BashScope::Conversation(conversation);
        let running = self.running_in(scope);
        running.iter().for_each(|command| command.forget.cancel());
        let all_ended = async {
            for command in &running {
                command.ended.cancelled().await;
            }
        };
        // A command may wait for the writer, and the writer for a log that cannot be written.
        tokio::join!(self.journals.forget(scope), all_ended, self.kin.end(conversation));
        // By now no command begins or brings anything; what began meanwhile may have left something.
        tokio::join!(self.journals.forget(scope), self.kin.end(conversation));
        self.kin.forget(conversation);
    }

    /// The conversations for which nothing is begun any more.
    pub(super) fn gone(&self) -> &Gone {
        &self.gone
    }

    /// The variable by which a later worker finds what this one could not end.
    pub(super) fn mark(&self, scope: BashScope) -> (String, String) {
        self.kin.mark(scope)
    }

    /// Ends what is left of all commands.
    pub(super) async fn end_all(&self) {
        self.kin.end_all().await;
    }

    /// Forgets events older than `retention` from time to time, until `shutdown`.
    pub(super) async fn forget_old(self: Arc<Self>, retention: Duration, shutdown: CancellationToken) {
        let pause = (retention / 2).max(SHORTEST_PURGE_PAUSE);
        loop {
            let before = types::time::utc_ago(retention);
            for log in self.logs().await {
                if let Err(error) = self.journals.forget_before(log, before.clone()).await {
                    tracing::warn!(?log, %error, "cannot forget old bash events");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn logs(&self) -> Vec<BashScope> {
        let listing = while_unavailable(AGAIN, LISTING_PATIENCE, || self.journals.all());
        listing.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the logs of commands cannot be listed");
            Vec::new()
        })
    }

    async fn start(&self, scope: &Scope, request: ExecuteBashRequest) -> Result<BashStarted, Fault> {
        let cwd = self.cwd(scope, request.cwd.as_deref())?;
        if request.command.contains('\0') {
            return Err(Fault::new(Code::Invalid, "a command cannot contain NUL bytes"));
        }
        let mut command = BashCommand {
            command: request.command,
            cwd: request.cwd,
            timeout: request.timeout,
            id: Uuid::new_v4().simple().to_string(),
            timestamp: String::new(),
        };
        let journal = scope.bash();
        let entry = self.enter((journal, command.id.clone()))?;
        // Who forgets the conversation from here on meets the command.
        if let BashScope::Conversation(conversation) = journal {
            self.check_is_there(conversation).await?;
        }
        let append = self.journals.append(journal, BashEvent::BashCommand(command.clone()));
        let stored = timeout(STORE_PATIENCE, append).await.map_err(|_| unwritable())??;
        let run = Run {
            command: command.clone(),
            cwd,
            environment: self.environment_in(journal),
            journals: Arc::clone(&self.journals),
            journal,
            stop: entry.control.stop.clone(),
            shutdown: entry.control.forget.clone(),
        };
        let (begun, answer) = oneshot::channel();
        let busy = self.activity.begin();
        self.tracker.spawn(async move {
            run.live(stored, begun).await;
            drop((entry, busy));
        });
        let Kept { timestamp, seq } = answer.await.unwrap_or(Err(Refusal::Stopping))?;
        command.timestamp = timestamp;
        Ok(BashStarted { command, seq })
    }

    /// Whether the command has ended.
    async fn stop(&self, scope: &Scope, id: &str) -> Result<bool, Fault> {
        let id = Uuid::parse_str(id).map_or_else(|_| id.to_owned(), |id| id.simple().to_string());
        let name = (scope.bash(), id);
        let control = self.running.lock().get(&name).cloned();
        if let Some(control) = control {
            control.stop.cancel();
            return Ok(timeout(STOP_PATIENCE, control.ended.cancelled()).await.is_ok());
        }
        let (journal, id) = name;
        // One that an earlier worker left running ends here.
        self.journals.open(journal).await?;
        if self.journals.has_command(journal, &id).await? { Ok(true) } else { Err(not_found("Not Found")) }
    }

    /// # Errors
    /// The conversation was deleted, and none was made anew under its id; those of the record.
    async fn check_is_there(&self, conversation: ConversationId) -> Result<(), Fault> {
        if !self.gone.has(conversation) {
            return Ok(());
        }
        let (bus, address) = (self.bus.as_ref(), Address::of_control_plane(&self.sandbox));
        let call = RecordCall::Open { conversation };
        let (copy, _): (WorkingCopy, _) =
            rpc::call_patiently(bus, &address, &call, Bytes::new(), RECORD_DEADLINE).await?;
        match self.gone.has_been(&copy.life()) {
            true => Err(Reason::Missing.into()),
            false => Ok(()),
        }
    }

    fn environment_in(&self, scope: BashScope) -> Arc<Vec<Variable>> {
        self.kin.begin(scope);
        let (name, value) = self.kin.mark(scope);
        let mut environment = self.environment.to_vec();
        environment.push((name.into(), value.into()));
        Arc::new(environment)
    }

    fn cwd(&self, scope: &Scope, asked: Option<&str>) -> Result<PathBuf, Fault> {
        if let Some(workspace) = &scope.workspace {
            // That of a new conversation may not be prepared yet. What goes wrong is told when the command starts.
            let _ = tools::hands::make_folders(Path::new(&workspace.root));
        }
        match (&scope.workspace, asked) {
            (None, None) => Ok(self.default_cwd.clone()),
            (None, Some(asked)) => Ok(self.default_cwd.join(asked)),
            (Some(workspace), None) => Ok(PathBuf::from(&workspace.root)),
            (Some(workspace), Some(asked)) => {
                let asked = PathBuf::from(&workspace.root).join(asked);
                place::within(scope, &asked)
                    .map_err(|_| Fault::new(Code::Invalid, "cwd must be inside the conversation workspace"))
            }
        }
    }

    fn running_in(&self, scope: BashScope) -> Vec<Control> {
        let running = self.running.lock();
        running.iter().filter(|((of, _), _)| *of == scope).map(|(_, control)| control.clone()).collect()
    }

    fn enter(&self, name: Name) -> Result<Registration, Fault> {
        let control = Control {
            stop: CancellationToken::new(),
            forget: self.shutdown.child_token(),
            ended: CancellationToken::new(),
        };
        let mut running = self.running.lock();
        if running.len() >= self.most_commands {
            return Err(Fault::new(Code::Busy, "Too many commands are running"));
        }
        running.insert(name.clone(), control.clone());
        drop(running);
        Ok(Registration { running: Arc::clone(&self.running), name, control })
    }
}

/// A command's place among the running ones, until it is dropped.
struct Registration {
    running: Arc<Mutex<HashMap<Name, Control>>>,
    name: Name,
    control: Control,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.running.lock().remove(&self.name);
        self.control.ended.cancel();
    }
}

fn unwritable() -> Refusal {
    ports::Error::Unavailable("The log of commands cannot be written now. Try again later.".to_owned()).into()
}

fn json(answer: impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(answer).map_err(Fault::internal)
}
