//! A conversation's actor: takes commands, and the results of what it started, one at a time.
//!
//! **What it owns.** The agent (what is known of the conversation), the journal (the right to write its log), and the
//! handles of everything that runs for it: at most one model call, tools, questions beside the run, and a snapshot that
//! is being kept. All of that runs in tasks of its own and reports over one channel, so that the actor itself never
//! waits for any of it. The shell and the secrets are shared with those tasks, and outlive the actor (`dormant`).
//!
//! ```text
//!            live()                  serve(): one thing at a time            leave()
//!   seat ──▶ open: record, log ──▶ ┌─ commands (letters) ──▶ agent ─┐ ──▶ cancel what runs, wait for the
//!            and snapshot          └─ results (Done)  ──▶ effects ◀─┘     snapshot, give the seat up, answer
//! ```
//!
//! **One input.** A command or a result goes to the agent, which answers with effects; `perform` does them in order:
//! records are stored first, and only then is anything begun that they announce, and the command answered. After
//! [`Actor::perform`] returned, the agent knows nothing that the log does not. While the log cannot be written the actor
//! stands still: it tries again, and refuses commands.
//!
//! **Rights.** The seat makes it the only actor of the conversation in this worker (`registry`); the fence in the log
//! makes it the only writer among all workers. A run holds a slot from its beginning until its last step is over.
//!
//! **How it ends** ([`End`]). *Idle*: nothing runs and no command came for `idle_after`; the seat is given up under the
//! registry's lock, so that no command is lost between. *Forgotten*: the conversation is deleted; whoever asks for
//! that is answered once nothing more is written. *Shut down*: the run is paused or interrupted in the log first. *Lost*:
//! somebody else wrote, or the log refuses what is next; what this actor knows is not to be trusted, and the next
//! one reads the log. A crash at any point leaves a log that [`agent::Agent::recover`] sets right when it is opened next:
//! that is the first thing an actor does.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, Env, Input, Refusal};
use ports::rpc::{Code, Fault, Reason};
use telemetry::metrics::{Present, Work};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info_span};
use types::calls::CommandDone;
use types::conversation::Projection;
use types::time::{event_now, unix_seconds};
use types::{ConversationId, EventId};

use super::Shared;
use super::dormant::{self, Dormant, KeptShell, Memory};
use super::equip::{Equipping, Wanted};
use super::journal::{Journal, Loss};
use super::mask::Masker;
use super::open::{Opened, fault_of, open};
use super::registry::{Reply, Seat};
use super::replay::Replay;
use super::side::TitleWish;
use super::work::{Done, ModelCall};

/// Results of started work that may wait for the actor.
const RESULTS: usize = 32;

/// How long cancelled tools may take to stop when the worker shuts down.
const CANCEL_DEADLINE: Duration = Duration::from_secs(2);

/// Why an actor ends.
pub(super) enum End {
    /// Nothing to do any more; the place in the registry is given up already.
    Idle,
    Forgotten,
    ShutDown,
    Lost(Loss),
}

/// The right to run, from the start of a run until its last step is over.
pub(super) struct RunSlot {
    _permit: OwnedSemaphorePermit,
    since: Instant,
    span: Span,
    _counted: Present,
}

impl RunSlot {
    pub(super) fn taken(permit: OwnedSemaphorePermit, id: ConversationId, work: &Work) -> Self {
        let span = info_span!("run", conversation.id = %id);
        Self { _permit: permit, since: Instant::now(), span, _counted: work.run() }
    }

    pub(super) fn held_for(&self) -> Duration {
        self.since.elapsed()
    }
}

pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) seat: Seat,
    pub(super) agent: Agent,
    pub(super) journal: Journal,
    pub(super) kept: KeptShell,
    /// How many events the newest snapshot knows.
    pub(super) snapshot_at: u64,
    /// The one that is being stored.
    pub(super) keeping_snapshot: Option<JoinHandle<()>>,
    /// The command being performed, until it is answered.
    pub(super) answering: Option<Reply>,
    /// Interrupts that wait until the run has ended.
    pub(super) interrupts: Vec<Reply>,
    pub(super) slot: Option<RunSlot>,
    pub(super) model: Option<ModelCall>,
    pub(super) tools_running: usize,
    /// Cancels the tools that run now.
    pub(super) cancel_tools: CancellationToken,
    /// Titles and questions under way.
    pub(super) sides: usize,
    /// Cancels them.
    pub(super) cancel_sides: CancellationToken,
    pub(super) wants_title: Option<TitleWish>,
    /// The servers that the agent has tools from.
    pub(super) wanted: Wanted,
    /// Their tools are being looked for.
    pub(super) equipping: Option<Equipping>,
    /// The model's last answer was a failure: nothing is asked of it beside the run.
    pub(super) model_broken: bool,
    pub(super) done: mpsc::Sender<Done>,
    results: mpsc::Receiver<Done>,
}

/// Opens the conversation, performs its commands, and gives the place in the registry up.
pub(super) async fn live(shared: Arc<Shared>, seat: Seat, dormant: Dormant) {
    let forget = seat.forget.clone();
    let opened = tokio::select! {
        opened = open(&shared, seat.id, dormant) => opened,
        () = forget.cancelled() => return seat.leave(Dormant::nothing(), &not_found()),
    };
    match opened {
        Ok(opened) => {
            // Nobody else does.
            let _ = seat.life.set(opened.agent.life());
            let (tools, everyone) = (Arc::clone(&opened.kept.tools), Arc::clone(&shared));
            // What it has started ends at once, also while the actor waits for its log.
            let ending = async {
                forget.cancelled().await;
                everyone.close_shell(tools).await;
            };
            let mut living = pin!(Actor::new(shared, seat, opened).live());
            tokio::select! {
                () = &mut living => return,
                () = ending => {}
            }
            living.await;
        }
        Err((fault, kept)) => {
            tracing::debug!(conversation.id = %seat.id, %fault, "conversation cannot be opened");
            let kept = match (kept, fault.code) {
                (Some(kept), Code::NotFound) => {
                    shared.close_shell(kept.tools).await;
                    None
                }
                (kept, _) => kept,
            };
            seat.leave(Dormant::shell(kept), &fault);
        }
    }
}

impl Actor {
    fn new(shared: Arc<Shared>, seat: Seat, opened: Opened) -> Self {
        let (done, results) = mpsc::channel(RESULTS);
        Self {
            shared,
            seat,
            agent: opened.agent,
            journal: opened.journal,
            kept: opened.kept,
            snapshot_at: opened.snapshot_at,
            keeping_snapshot: None,
            answering: None,
            interrupts: Vec::new(),
            slot: None,
            model: None,
            tools_running: 0,
            cancel_tools: CancellationToken::new(),
            sides: 0,
            cancel_sides: CancellationToken::new(),
            wants_title: opened.wants_title,
            wanted: opened.wanted,
            equipping: None,
            model_broken: false,
            done,
            results,
        }
    }

    async fn live(mut self) {
        let end = self.serve().await;
        if let End::Lost(Loss::Refused(error)) = &end {
            self.cancel_work();
            if !self.close_refused(error).await {
                self.seat.close_later();
            }
        }
        self.leave(end).await;
    }

    async fn serve(&mut self) -> End {
        let recovered = self.agent.recover(&mut self.env());
        if let Err(end) = self.perform(recovered).await {
            return end;
        }
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// Waits for one thing to happen and handles it.
    async fn next(&mut self) -> Result<(), End> {
        let idle_after = self.shared.config.idle_after;
        tokio::select! {
            () = self.seat.forget.cancelled() => Err(End::Forgotten),
            () = self.shared.shutdown.cancelled() => self.wind_down().await,
            Some(done) = self.results.recv() => {
                let span = self.run_span();
                self.finished(done).instrument(span).await
            }
            request = self.seat.requests.recv() => match request {
                Some(request) => self.obey(request).await,
                None => Err(End::ShutDown),
            },
            () = tokio::time::sleep(idle_after), if !self.is_busy() => self.retire(),
        }
    }

    /// Whether anything may still happen by itself.
    fn is_busy(&self) -> bool {
        self.agent.is_running() || self.is_in_step() || self.sides > 0 || self.equipping.is_some()
    }

    pub(super) fn is_in_step(&self) -> bool {
        self.model.is_some() || self.tools_running > 0
    }

    fn retire(&mut self) -> Result<(), End> {
        if self.is_keeping_a_snapshot() {
            return Ok(());
        }
        let (kept, weight) = (self.kept_shell(), self.agent.past().weight());
        let config = &self.shared.config;
        let is_long = self.journal.events() >= config.remembered_from || weight >= dormant::HEAVY;
        let is_kept = is_long && weight <= config.remembered_bytes;
        let (projection, newest_fence) = (self.projection(), self.journal.newest_fence());
        let (agent, anchor, snapshot_at) = (&mut self.agent, self.journal.anchor(), self.snapshot_at);
        let memory = || {
            let life = agent.life();
            let replay = Replay { projection, past: agent.take_past(), newest_fence, anchor, snapshot_at };
            Memory { life, replay: Box::new(replay), weight }
        };
        if self.seat.retire(|| Dormant::new(kept, is_kept.then(memory))) { Err(End::Idle) } else { Ok(()) }
    }

    fn kept_shell(&self) -> Option<KeptShell> {
        let kept = KeptShell {
            tools: Arc::clone(&self.kept.tools),
            secrets: Arc::clone(&self.kept.secrets),
            is_equipped: self.kept.is_equipped,
            _busy: self.kept.tools.has_running_command().then(|| self.shared.guards.activity.begin()),
        };
        kept.tools.has_live_shell().then_some(kept)
    }

    /// Ends a run so that the log says `paused`: the step under way gets some time, then it is cut off.
    async fn wind_down(&mut self) -> Result<(), End> {
        self.seat.refuse_all(&Fault::from(Reason::ShuttingDown));
        self.refuse_waiting(&Fault::from(Reason::ShuttingDown));
        self.cancel_sides.cancel();
        if self.agent.is_running() {
            self.apply(Input::Pause).await?;
        }
        self.let_step_end(self.shared.config.drain).await?;
        if self.agent.is_running() || self.is_in_step() {
            self.apply(Input::Interrupt).await?;
            self.cancel_work();
            self.let_step_end(CANCEL_DEADLINE).await?;
        }
        Err(End::ShutDown)
    }

    async fn let_step_end(&mut self, patience: Duration) -> Result<(), End> {
        let deadline = Instant::now() + patience;
        while self.is_in_step() {
            let Ok(done) = tokio::time::timeout_at(deadline, self.results.recv()).await else { break };
            let Some(done) = done else { break };
            self.finished(done).await?;
        }
        Ok(())
    }

    /// Handles an input that is not a command.
    pub(super) async fn apply(&mut self, input: Input) -> Result<(), End> {
        match self.agent.handle(input, &mut self.env()) {
            Ok(effects) => self.perform(effects).await,
            Err(Refusal::AlreadyRunning | Refusal::AwaitsConfirmation | Refusal::OthersWait) => Ok(()),
            Err(Refusal::Invalid(why)) => {
                tracing::warn!(conversation.id = %self.seat.id, why, "the agent refuses a result");
                Ok(())
            }
        }
    }

    /// What the steps of the run belong to in a trace.
    pub(super) fn run_span(&self) -> Span {
        self.slot.as_ref().map_or_else(Span::none, |slot| slot.span.clone())
    }

    pub(super) fn cancel_work(&mut self) {
        if let Some(call) = self.model.take() {
            call.cancel();
        }
        std::mem::take(&mut self.cancel_tools).cancel();
    }

    pub(super) fn env(&self) -> Stamp {
        Stamp { masker: self.kept.secrets.masker() }
    }

    async fn leave(mut self, end: End) {
        self.cancel_work();
        self.cancel_sides.cancel();
        let (kept, fault) = match end {
            End::Idle => return,
            End::Forgotten => (None, not_found()),
            End::ShutDown => (None, Fault::from(Reason::ShuttingDown)),
            End::Lost(loss @ (Loss::Changed | Loss::Refused(_))) => (self.kept_shell(), fault_of(loss)),
            End::Lost(loss) => (None, fault_of(loss)),
        };
        if !matches!(fault.code, Code::NotFound) {
            tracing::info!(conversation.id = %self.seat.id, %fault, "conversation closed");
        }
        self.refuse_waiting(&fault);
        let replies: Vec<_> = self.answering.take().into_iter().chain(self.interrupts.drain(..)).collect();
        if kept.is_none() {
            self.shared.close_shell(Arc::clone(&self.kept.tools)).await;
        }
        if let Some(snapshot) = self.keeping_snapshot.take() {
            // Nothing is written once the place is free.
            let _ = snapshot.await;
        }
        self.seat.leave(Dormant::shell(kept), &fault);
        // What they have asked for was begun.
        let unanswered = match fault.reason {
            Some(Reason::ShuttingDown) => Reason::WorkerLost.into(),
            _ => fault,
        };
        // Whoever is told so finds the place free: what it asks next is for another actor.
        for reply in replies {
            let _ = reply.send(Err(unanswered.clone()));
        }
    }

    /// What the log says by now, as far as an agent looks at it.
    pub(super) fn projection(&self) -> Projection {
        Projection { seq: self.journal.tail(), events: self.journal.events(), ..self.agent.projection() }
    }

    pub(super) fn position(&self) -> CommandDone {
        CommandDone { seq: self.journal.tail(), text: None }
    }
}

fn not_found() -> Fault {
    Reason::Missing.into()
}

/// The agent's clock and dice, and the secrets known now.
pub(super) struct Stamp {
    masker: Masker,
}

impl Env for Stamp {
    fn now(&mut self) -> String {
        event_now()
    }

    fn unix_now(&mut self) -> f64 {
        unix_seconds()
    }

    fn event_id(&mut self) -> EventId {
        EventId::random()
    }

    fn masked(&self, text: &str) -> String {
        self.masker.mask(text)
    }
}
