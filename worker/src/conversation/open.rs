//! Bringing a conversation into memory. Writes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Agent, Setup};
use bytes::Bytes;
use ports::rpc::{self, Address, Code, Fault, Reason};
use tools::{ToolContext, ToolSet};
use types::agent::AgentConfig;
use types::calls::{RecordCall, WorkingCopy};
use types::time::millis;
use types::{ConversationId, LogId};

use super::Shared;
use super::dormant::{Dormant, KeptShell, Memory};
use super::equip::Wanted;
use super::hidden::{Hidden, Keeper};
use super::journal::{Journal, Loss};
use super::replay::Replay;
use super::secrets::Secrets;
use super::side::TitleWish;
use super::snapshot;

const RECORD_DEADLINE: Duration = Duration::from_secs(10);

/// A conversation in memory.
pub(super) struct Opened {
    pub(super) agent: Agent,
    pub(super) journal: Journal,
    pub(super) kept: KeptShell,
    /// How many events the newest snapshot knows.
    pub(super) snapshot_at: u64,
    /// How the first user message names the conversation, if it should.
    pub(super) wants_title: Option<TitleWish>,
    /// The servers that the agent has tools from.
    pub(super) wanted: Wanted,
}

/// Reads the record and what is new in the log, and takes up what an earlier actor left.
pub(super) async fn open(
    shared: &Shared,
    id: ConversationId,
    Dormant { kept, memory, .. }: Dormant,
) -> Result<Opened, (Fault, Option<KeptShell>)> {
    let begun = Instant::now();
    let (copy, config, replay) = match read(shared, id, memory).await {
        Ok(read) => read,
        Err(fault) => return Err((fault, kept)),
    };
    let wanted = Wanted::of(&config, &copy.working_dir);
    let kept = match kept {
        Some(kept) => kept,
        None => furnish(shared, &copy, &config, wanted.is_nothing()).map_err(|fault| (fault, None))?,
    };
    kept.secrets.remember(copy.past_secrets.clone()).await;
    kept.secrets.add(copy.secrets.clone()).await;
    let log = LogId::conversation(&shared.config.sandbox, id);
    let events = replay.projection.events;
    let journal = match Journal::new(shared.ports.log.clone(), log, shared.config.epoch, &replay) {
        Ok(journal) => journal,
        Err(loss) => return Err((fault_of(loss), Some(kept))),
    };
    let snapshot_at = replay.snapshot_at;
    let unnamed = copy.autotitle && copy.title.is_none();
    let wants_title = (unnamed && !replay.past.has_messages()).then(|| TitleWish::of(&copy));
    let agent = Agent::new(Setup {
        vision: llm::supports_vision(&config.llm),
        copy,
        config,
        toolbox: kept.tools.clone(),
        projection: replay.projection,
        past: replay.past,
    });
    let duration_ms = millis(begun.elapsed());
    tracing::debug!(conversation.id = %id, events, duration_ms, "conversation opened");
    Ok(Opened { agent, journal, kept, snapshot_at, wants_title, wanted })
}

async fn read(
    shared: &Shared,
    id: ConversationId,
    memory: Option<Memory>,
) -> Result<(WorkingCopy, AgentConfig, Replay), Fault> {
    let sandbox = &shared.config.sandbox;
    let (log, snapshots) = (LogId::conversation(sandbox, id), LogId::snapshots(sandbox, id));
    let store = shared.ports.log.as_ref();
    let kept = async {
        if memory.is_some() { None } else { snapshot::newest(store, &snapshots, shared.config.epoch).await }
    };
    let (opened, kept) = tokio::join!(record(shared, id), kept);
    let copy = opened?;
    if shared.guards.commands.gone().has_been(&copy.life()) {
        return Err(Reason::Missing.into());
    }
    let config = AgentConfig::from_client(copy.agent.clone()).map_err(invalid)?;
    let replay = match (memory.filter(|memory| memory.life == copy.life()), kept) {
        (Some(memory), _) => Replay::since(store, &log, *memory.replay).await?,
        (None, Some(kept)) => Replay::after(store, &log, kept).await?,
        (None, None) => Replay::of(store, &log).await?,
    };
    Ok((copy, config, replay))
}

/// # Errors
/// `NotFound` where no conversation of this sandbox has the id; that of the control plane.
pub(super) async fn record(shared: &Shared, id: ConversationId) -> Result<WorkingCopy, Fault> {
    let address = Address::of_control_plane(&shared.config.sandbox);
    let call = RecordCall::Open { conversation: id };
    let bus = shared.ports.bus.as_ref();
    let opened = rpc::call_patiently(bus, &address, &call, Bytes::new(), RECORD_DEADLINE);
    opened.await.map(|(copy, _)| copy)
}

/// `is_equipped`: there are no tools beside those that are made here.
fn furnish(
    shared: &Shared,
    copy: &WorkingCopy,
    config: &AgentConfig,
    is_equipped: bool,
) -> Result<KeptShell, Fault> {
    let persistence_dir = if copy.persistence_dir.is_empty() {
        shared.config.observations_root.join(copy.conversation.hex())
    } else {
        // Agents are told of files in it, and their shells stand elsewhere.
        std::path::absolute(&copy.persistence_dir).map_err(|error| invalid(error.to_string()))?
    };
    let secrets = Arc::new(Secrets::new(shared.lookups.clone(), copy.conversation));
    let keeper = Keeper {
        bus: Arc::clone(&shared.ports.bus),
        sandbox: shared.config.sandbox.clone(),
        conversation: copy.conversation,
    };
    let context = ToolContext {
        secrets: Arc::new(Hidden { secrets: Arc::clone(&secrets), keeper }),
        environment: vec![shared.guards.commands.mark(copy.conversation)],
        ..ToolContext::new(&copy.working_dir, persistence_dir)
    };
    let catalogue = &shared.config.catalogue;
    let tools = ToolSet::new(catalogue, &config.tools, &config.include_default_tools, &context)
        .map_err(|error| invalid(error.to_string()))?;
    Ok(KeptShell { tools: Arc::new(tools), secrets, is_equipped, _busy: None })
}

fn invalid(message: String) -> Fault {
    Fault::new(Code::Invalid, message)
}

pub(super) fn fault_of(loss: Loss) -> Fault {
    match loss {
        Loss::Fenced => Reason::Superseded.into(),
        Loss::Changed => Fault::from(Reason::Unavailable).caused_by("the log was changed by somebody else"),
        Loss::Refused(error) => error.into(),
    }
}
