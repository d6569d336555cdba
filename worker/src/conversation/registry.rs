//! Which conversations are in memory. At any time at most one actor of a conversation exists: it is entered
//! here before it starts and leaves after its last write.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ports::rpc::{Code, Fault, Reason};
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tools::ToolSet;
use tracing::Span;
use types::calls::{Command, CommandDone, ConversationCall};
use types::{ConversationId, Life};
use uuid::Uuid;

use super::dormant::{Dormant, make_room};
use super::{Shared, actor, open};

/// Commands of one conversation that may wait for its actor.
const MAILBOX: usize = 256;

/// How long an interrupt is waited for; it goes on after that.
const INTERRUPT_DEADLINE: Duration = Duration::from_secs(5);

/// How long HEAD is waited for to be moved. The log is read for it, and for nobody who has stopped waiting.
const NAVIGATE_DEADLINE: Duration = Duration::from_secs(60);

/// How long a conversation may take to stop writing when it is deleted, and the files of its tools to be set aside.
const FORGET_DEADLINE: Duration = Duration::from_secs(5);

/// Deleting waits this long for the shell to end; it is ended in any case.
const SHELL_DEADLINE: Duration = Duration::from_millis(50);

pub(super) type Reply = oneshot::Sender<Result<CommandDone, Fault>>;

/// A command on its way to an actor.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) life: Life,
    pub(super) reply: Reply,
    /// The call that brings it.
    pub(super) span: Span,
}

enum Slot {
    Live(Handle),
    Dormant(Dormant),
}

struct Handle {
    mailbox: mpsc::Sender<Request>,
    forget: CancellationToken,
    ended: CancellationToken,
    /// Once it is known.
    life: Arc<SetOnce<Life>>,
    /// Whom it was called for.
    called: Life,
}

pub(super) struct Registry {
    pub(super) shared: Arc<Shared>,
    entries: Mutex<HashMap<ConversationId, Slot>>,
    /// A shell became idle: there may be too many.
    idled: Notify,
    /// Conversations whose runs are still to be closed.
    pub(super) unclosed: Mutex<HashSet<ConversationId>>,
    /// Deletions of which it is not known how they have ended.
    pub(super) unsettled: Mutex<HashSet<Uuid>>,
}

impl Registry {
    pub(super) fn new(shared: Shared) -> Arc<Self> {
        let (unclosed, unsettled) = (Mutex::default(), Mutex::default());
        let (shared, entries) = (Arc::new(shared), Mutex::default());
        Arc::new(Self { shared, entries, idled: Notify::new(), unclosed, unsettled })
    }

    /// Has the conversation's actor perform a command, and starts the actor if there is none.
    pub(super) async fn command(self: &Arc<Self>, call: ConversationCall) -> Result<CommandDone, Fault> {
        let ConversationCall { conversation, created_at, command } = call;
        let life = Life { id: conversation, created_at };
        let when_late = match command {
            Command::Forget { persistence_dir, deletion } => {
                return self.forget(life, PathBuf::from(persistence_dir), deletion).await;
            }
            Command::Forgotten { persistence_dir, deletion, is_gone } => {
                return self.forgotten(life, PathBuf::from(persistence_dir), deletion, is_gone).await;
            }
            Command::Interrupt {} => Some((INTERRUPT_DEADLINE, Ok(CommandDone::default()))),
            Command::Navigate { .. } => Some((NAVIGATE_DEADLINE, Err(Reason::TooSlow.into()))),
            _ => None,
        };
        self.until_left(life.id).await;
        let (reply, answer) = oneshot::channel();
        self.post(Request { command, life, reply, span: Span::current() })?;
        let answer = async { answer.await.unwrap_or_else(|_| Err(ended())) };
        let Some((patience, late)) = when_late else { return answer.await };
        tokio::time::timeout(patience, answer).await.unwrap_or(late)
    }

    /// Until an actor that is to be forgotten has left its place: what comes now may be for another conversation of that id.
    async fn until_left(&self, id: ConversationId) {
        let leaving = match self.entries.lock().get(&id) {
            Some(Slot::Live(handle)) if handle.forget.is_cancelled() => handle.ended.clone(),
            _ => return,
        };
        let _ = tokio::time::timeout(FORGET_DEADLINE, leaving.cancelled()).await;
    }

    pub(super) fn post(self: &Arc<Self>, request: Request) -> Result<(), Fault> {
        let id = request.life.id;
        if self.shared.shutdown.is_cancelled() {
            return Err(Reason::ShuttingDown.into());
        }
        let mut entries = self.entries.lock();
        if !matches!(entries.get(&id), Some(Slot::Live(_))) {
            let dormant = entries.remove(&id).and_then(Slot::into_dormant);
            let dormant = dormant.unwrap_or_else(Dormant::nothing);
            entries.insert(id, Slot::Live(self.start(&request.life, dormant)));
        }
        let Some(Slot::Live(handle)) = entries.get(&id) else { return Err(ended()) };
        if handle.forget.is_cancelled() {
            return Err(Reason::Missing.into());
        }
        // Posted under the lock, so that an actor that finds its mailbox empty under the lock may go.
        handle.mailbox.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Reason::Overloaded.into(),
            mpsc::error::TrySendError::Closed(_) => ended(),
        })
    }

    fn start(self: &Arc<Self>, called: &Life, dormant: Dormant) -> Handle {
        let (mailbox, requests) = mpsc::channel(MAILBOX);
        let (forget, ended) = (CancellationToken::new(), CancellationToken::new());
        let life = Arc::new(SetOnce::new());
        let seat = Seat {
            registry: Arc::clone(self),
            id: called.id,
            requests,
            forget: forget.clone(),
            ended: ended.clone(),
            life: Arc::clone(&life),
        };
        let (shared, busy) = (Arc::clone(&self.shared), self.shared.guards.activity.begin());
        self.shared.tracker.spawn(async move {
            actor::live(shared, seat, dormant).await;
            drop(busy);
        });
        Handle { mailbox, forget, ended, life, called: called.clone() }
    }

    /// Ends everything of a conversation that is deleted, and sets aside what its tools have kept in `folder`. Once this
    /// returns nothing more is written, whatever calls were under way. Where another conversation has its id by now all that
    /// is here is of that one.
    async fn forget(
        self: &Arc<Self>,
        life: Life,
        folder: PathBuf,
        deletion: Uuid,
    ) -> Result<CommandDone, Fault> {
        if !self.may_be_here(&life).await? {
            return Ok(CommandDone::default());
        }
        let (id, commands) = (life.id, &self.shared.guards.commands);
        let note = commands.gone().note(life.clone(), deletion);
        let (folder, given_up) = (Arc::new(folder), CancellationToken::new());
        let goes_on = {
            let given_up = given_up.clone();
            move || !given_up.is_cancelled()
        };
        let all = async {
            let Some((running, dormant)) = self.cut_off(&life).await else { return };
            let actor_ended = async {
                if let Some(ended) = running {
                    ended.cancelled().await;
                }
            };
            let shell_closed = async {
                if let Some(kept) = dormant.and_then(|dormant| dormant.kept) {
                    self.shared.close_shell(kept.tools).await;
                }
            };
            // Processes end also where the log keeps its writer waiting.
            tokio::join!(actor_ended, shell_closed, commands.forget(id));
            let set_aside = move |folder: &Path| tools::set_aside(folder, deletion, goes_on);
            self.shared.with_kept(id, &folder, set_aside).await;
        };
        if tokio::time::timeout(FORGET_DEADLINE, all).await.is_err() {
            given_up.cancel();
            commands.gone().take_back(&note);
            let cause = "the conversation does not stop writing";
            return Err(Fault::from(Reason::Unavailable).caused_by(cause));
        }
        self.settle_later(life, folder, deletion);
        Ok(CommandDone::default())
    }

    /// Tells the actor of a conversation to end, and answers when it has, or takes what is kept of it; `None` where that is
    /// another one's by now.
    async fn cut_off(&self, life: &Life) -> Option<(Option<CancellationToken>, Option<Dormant>)> {
        loop {
            let (opened, ended) = {
                let mut entries = self.entries.lock();
                match entries.get(&life.id) {
                    // It opens the conversation that there is, whichever it was called for.
                    Some(Slot::Live(handle)) if handle.is_called_for_another(life) => {
                        (Arc::clone(&handle.life), handle.ended.clone())
                    }
                    Some(slot) if !slot.may_be(life) => return None,
                    Some(Slot::Live(handle)) => {
                        handle.forget.cancel();
                        return Some((Some(handle.ended.clone()), None));
                    }
                    _ => return Some((None, entries.remove(&life.id).and_then(Slot::into_dormant))),
                }
            };
            tokio::select! {
                _ = opened.wait() => {}
                () = ended.cancelled() => {}
            }
        }
    }

    /// Whether no other conversation has the id by now. An actor knows its own once it has opened; for all others, of which
    /// only a shell or a command of the API may be here, the record tells.
    async fn may_be_here(&self, life: &Life) -> Result<bool, Fault> {
        let living = match self.entries.lock().get(&life.id) {
            Some(Slot::Live(handle)) => handle.life.get().cloned(),
            Some(Slot::Dormant(_)) | None => None,
        };
        if let Some(living) = living {
            return Ok(living.may_be(life));
        }
        match open::record(&self.shared, life.id).await {
            Ok(copy) => Ok(copy.life().may_be(life)),
            Err(fault) if fault.code == Code::NotFound => Ok(true),
            Err(fault) => Err(fault),
        }
    }

    /// Ends the shells and drops the memories of conversations nobody has touched for long; where there are too many
    /// shells, also others. Returns never.
    pub(super) async fn let_go_of_idle(&self) {
        let (shells, memories) = (self.shared.config.shell_idle, self.shared.config.remembered_for);
        let often = shells.min(memories).clamp(Duration::from_millis(10), Duration::from_secs(60));
        let mut ticks = tokio::time::interval(often);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.idled.notified() => {}
            }
            drop(self.take_of_dormant(|_, dormant| {
                dormant.memory.take_if(|_| dormant.since.elapsed() >= memories)
            }));
            let surplus = self.surplus_shells();
            let closing = self.take_of_dormant(|id, dormant| {
                let (since, is_old) = (dormant.since, dormant.since.elapsed() >= shells);
                let kept = dormant.kept.take_if(|kept| {
                    surplus.contains(&(id, since)) || is_old && !kept.tools.has_running_command()
                })?;
                Some((id, kept))
            });
            for (id, kept) in closing {
                if kept.tools.has_running_command() {
                    tracing::warn!(conversation.id = %id, "there are too many shells: one in which a program runs is closed");
                }
                kept.tools.close().await;
            }
        }
    }

    /// Whose shells are too many, and since when they rest: first those in which nothing runs, then those that nobody
    /// has touched for longest.
    fn surplus_shells(&self) -> HashSet<(ConversationId, Instant)> {
        let entries = self.entries.lock();
        let kept = entries.iter().filter_map(|(id, entry)| match entry {
            Slot::Dormant(Dormant { kept: Some(kept), since, .. }) => {
                Some((kept.tools.has_running_command(), *since, *id))
            }
            Slot::Dormant(_) | Slot::Live(_) => None,
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_unstable();
        let surplus = kept.len().saturating_sub(self.shared.config.most_shells);
        kept.into_iter().take(surplus).map(|(_, since, id)| (id, since)).collect()
    }

    /// Waits until every actor has ended (they see the shutdown themselves) and closes the shells left.
    pub(super) async fn close(&self) {
        let tracker = &self.shared.tracker;
        tracker.close();
        let patience = self.shared.config.drain * 2 + Duration::from_secs(5);
        if tokio::time::timeout(patience, tracker.wait()).await.is_err() {
            tracing::warn!(tasks = tracker.len(), "conversations do not end in time");
        }
        for kept in self.take_of_dormant(|_, dormant| dormant.kept.take()) {
            kept.tools.close().await;
        }
    }

    /// What `take` takes away from conversations without an actor. Those that are left with nothing are dropped.
    fn take_of_dormant<T>(&self, mut take: impl FnMut(ConversationId, &mut Dormant) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.entries.lock().retain(|id, entry| match entry {
            Slot::Live(_) => true,
            Slot::Dormant(dormant) => {
                taken.extend(take(*id, dormant));
                !dormant.is_nothing()
            }
        });
        taken
    }
}

impl Handle {
    /// As long as it has not opened.
    fn is_called_for_another(&self, life: &Life) -> bool {
        self.life.get().is_none() && !self.called.may_be(life)
    }
}

impl Slot {
    /// As [`Life::may_be`].
    fn may_be(&self, life: &Life) -> bool {
        let own = match self {
            Self::Live(handle) => handle.life.get(),
            Self::Dormant(dormant) => dormant.memory.as_ref().map(|memory| &memory.life),
        };
        own.is_none_or(|own| own.may_be(life))
    }

    fn into_dormant(self) -> Option<Dormant> {
        match self {
            Self::Live(_) => None,
            Self::Dormant(dormant) => Some(dormant),
        }
    }
}

impl Shared {
    /// Ends the shell and all it started; goes on in the background if that takes long.
    pub(super) async fn close_shell(&self, tools: Arc<ToolSet>) {
        let closing = self.tracker.spawn(async move { tools.close().await });
        let _ = tokio::time::timeout(SHELL_DEADLINE, closing).await;
    }

    /// Does something about the files of a deleted conversation's tools. Goes on to its end also when nobody waits for it.
    pub(super) async fn with_kept(
        &self,
        id: ConversationId,
        folder: &Arc<PathBuf>,
        act: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) {
        // What else is named is nothing of this conversation.
        if folder.file_name() != Some(id.hex().as_ref()) {
            return;
        }
        let folder = Arc::clone(folder);
        let acting = self.tracker.spawn_blocking(move || {
            if let Err(error) = act(&folder) {
                tracing::warn!(conversation.id = %id, %error, "files of a deleted conversation stay");
            }
        });
        // A panic there is told of by its hook.
        let _ = acting.await;
    }
}

fn ended() -> Fault {
    Fault::from(Reason::Unavailable).caused_by("the conversation was closed meanwhile")
}

/// An actor's place in the registry. Dropping it gives the place up, also when the actor crashes.
pub(super) struct Seat {
    registry: Arc<Registry>,
    pub(super) id: ConversationId,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) forget: CancellationToken,
    ended: CancellationToken,
    pub(super) life: Arc<SetOnce<Life>>,
}

impl Seat {
    /// Gives the place up if no command waits, and leaves what `dormant` makes. From `true` on another actor of the
    /// conversation may start.
    pub(super) fn retire(&mut self, dormant: impl FnOnce() -> Dormant) -> bool {
        let mut entries = self.registry.entries.lock();
        if !self.requests.is_empty() || self.forget.is_cancelled() {
            return false;
        }
        leave(&mut entries, self.id, &self.ended, dormant());
        let all = entries.values_mut().filter_map(|entry| match entry {
            Slot::Live(_) => None,
            Slot::Dormant(dormant) => Some(dormant),
        });
        let forgotten = make_room(all, self.registry.shared.config.remembered_bytes);
        entries.retain(|_, entry| !matches!(entry, Slot::Dormant(dormant) if dormant.is_nothing()));
        drop(entries);
        drop(forgotten);
        self.registry.idled.notify_one();
        true
    }

    /// Gives the place up and refuses the commands that wait.
    pub(super) fn leave(mut self, dormant: Dormant, fault: &Fault) {
        leave(&mut self.registry.entries.lock(), self.id, &self.ended, dormant);
        self.refuse_all(fault);
    }

    /// Has the conversation opened again until what is under way by its log is closed.
    pub(super) fn close_later(&self) {
        if let Some(life) = self.life.get() {
            self.registry.close_later(life.clone());
        }
    }

    /// Takes no commands any more and refuses those that wait.
    pub(super) fn refuse_all(&mut self, fault: &Fault) {
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            request.refuse(fault.clone());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        leave(&mut self.registry.entries.lock(), self.id, &self.ended, Dormant::nothing());
    }
}

fn leave(
    entries: &mut HashMap<ConversationId, Slot>,
    id: ConversationId,
    ended: &CancellationToken,
    dormant: Dormant,
) {
    if ended.is_cancelled() {
        return;
    }
    ended.cancel();
    if dormant.is_nothing() {
        entries.remove(&id);
    } else {
        entries.insert(id, Slot::Dormant(dormant));
    }
}

impl Request {
    pub(super) fn refuse(self, fault: Fault) {
        // A caller that has gone away is no concern of the actor.
        let _ = self.reply.send(Err(fault));
    }
}
