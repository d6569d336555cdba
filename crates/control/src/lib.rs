//! The control plane: what workers ask for, and which of them serves a call.
//!
//! For workers: `records` hands conversations to those that run them, `models` calls models for those without keys, and
//! `storage` says what they may store. All of them are trusted and take a worker's sandbox from the subject it may speak
//! on, never from what it says. For clients: `conversations` and `commands` do what they ask for, and `placement` knows
//! which sandbox serves a call and wakes its worker. What tenants keep beside them has a folder for each kind (`setup`,
//! `tenant_secrets`, …), all on the same ground: `shelf`, which holds documents, and `outbound`. HTTP is the gateway's.

pub mod acp;
mod activity;
pub mod apps;
pub mod catalogue;
pub mod commands;
mod config;
pub mod conversations;
pub mod extensions;
mod ground;
mod hidden;
pub mod launch;
pub mod logins;
pub mod mcp;
pub mod models;
pub mod placement;
pub mod records;
mod refusal;
pub mod repositories;
mod rooms;
mod server_key;
pub mod setup;
pub mod shelf;
mod slots;
pub mod storage;
mod tasks;
pub mod tenant_secrets;
mod unreadable;
mod watch;
pub mod webhooks;
pub mod workspaces;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ports::retry::{Backoff, while_unavailable};
use ports::rpc::Server;
use ports::{Ports, Turns};
use readmodel::bashlog::Tails;
use readmodel::history::History;
use readmodel::index::Index;
use tokio_util::sync::CancellationToken;
use vault::Vault;

pub use activity::Activity;
use commands::Commands;
pub use config::{Config, GITHUB, Mode, OpenAi};
use conversations::{Conversations, InHand, Marks};
pub use ground::Ground;
use models::Models;
use placement::{Fleet, Single, Workers};
use records::Records;
pub use refusal::Refusal;
pub use rooms::Rooms;
pub use server_key::{is_the_servers_key, note_first_key, note_this_key};
use shelf::Shelves;
use slots::Slots;
pub use tasks::Tasks;
use tenant_secrets::TenantSecrets;
pub use unreadable::unreadable_secrets;
pub use watch::watched;
use webhooks::Webhooks;

/// Conversations that a tenant has copied at once.
const COPIES: usize = 8;

/// How long a store that goes away while it is read is waited for at start.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// The control plane of one process. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    /// What must end before the process has; drained when it begins to stop.
    pub tasks: Tasks,
    pub index: Index,
    pub history: Arc<History>,
    /// Shown to clients as the folder above a conversation's own.
    pub conversations_path: Arc<Path>,
    pub workers: Workers,
    pub conversations: Conversations,
    pub commands: Commands,
    pub rooms: Rooms,
    pub activity: Activity,
    /// Cancelled when the runs that an earlier process left are closed, or in a cluster, where a worker may not come, when
    /// that takes too long.
    pub settled: CancellationToken,
}

impl Control {
    /// Loads what is stored and closes the runs that lost their workers, until `drain` is cancelled. Where the store of a cluster goes away
    /// meanwhile, which takes as long as there is much, it is waited for. Workers are answered on
    /// `desks`, to be ended when nobody waits for anything any more: what clients have asked for may need a worker to its end.
    ///
    /// # Errors
    /// When the store cannot be read, or nothing can be heard; also when it is time to end before that.
    pub async fn start(
        config: Config,
        ports: &Ports,
        vault: Arc<Vault>,
        drain: CancellationToken,
        desks: &Tasks,
    ) -> ports::Result<Self> {
        let tasks = &Tasks::until(drain);
        tasks.end_with(desks);
        let (tracker, drain) = (&desks.tracker, &desks.drain);
        let is_cluster = matches!(config.mode, Mode::Cluster(_));
        // A disk of one's own is not away for a while.
        let patience = if is_cluster { PATIENCE } else { Duration::ZERO };
        let index = &patiently(tasks, patience, || Index::start(ports, tracker, drain)).await?;
        let (outbound, github_url, work) =
            (config.outbound.clone(), config.github_url.clone(), config.metrics.clone());
        let openai = config.openai.clone();
        let conversations_path: Arc<Path> = config.conversations_path.as_path().into();
        let shelves = Shelves::new(ports.kv.clone(), vault.clone(), work);
        let secrets = TenantSecrets::on(shelves.clone());
        let records = Records::new(&config, vault.clone(), secrets, index);
        let worktree_root = config.worktree_root.clone();
        let models = Models::new(&config, ports, vault.clone(), index, desks);
        let server = Server::new(ports.bus.clone(), desks.tracker.clone(), desks.drain.clone());
        let server = server.watched(watched(config.calls.clone()));
        patiently(tasks, patience, || records.clone().serve(&server)).await?;
        let (workers, settled) = match config.mode {
            Mode::Single => {
                let workers = Workers::new(ports.bus.clone(), Arc::new(Single));
                let settled = placement::close_cut_off_runs(&workers, index, tasks);
                (workers, settled)
            }
            Mode::Cluster(cluster) => {
                patiently(tasks, patience, || models.clone().serve(&server)).await?;
                tasks.spawn_vital("sweeping sums", models.clone().keep_swept(ports.kv.clone()));
                let fleet = Arc::new(Fleet::start(cluster, ports, index, desks).await?);
                let workers = Workers::new(ports.bus.clone(), fleet.clone());
                let settled = placement::close_cut_off_runs_of(&fleet, &workers, index, tasks);
                tasks.spawn_vital("giving up abandoned sandboxes", fleet.keep_giving_up());
                (workers, settled)
            }
        };
        let (activity, history) = (Activity::default(), Arc::new(History::new(ports.log.clone())));
        let tails = Tails::new(ports, &tasks.tracker, &tasks.drain);
        let commands = Commands::new(tails, workers.clone(), activity.clone());
        let webhooks = Webhooks::new(webhooks::Inner {
            hooks: config.webhooks,
            index: index.clone(),
            history: history.clone(),
            log: ports.log.clone(),
            kv: ports.kv.clone(),
            outbound: outbound.clone(),
            conversations_path: conversations_path.clone(),
            work: config.metrics,
        });
        let conversations = Conversations::new(conversations::Inner {
            webhooks: webhooks.clone(),
            index: index.clone(),
            history: history.clone(),
            bus: ports.bus.clone(),
            log: ports.log.clone(),
            kv: ports.kv.clone(),
            worktree_root,
            in_hand: InHand::default(),
            deletions: Turns::default(),
            apart: InHand::default(),
            switches: Turns::default(),
            sweeps: InHand::default(),
            copies: Slots::new(COPIES),
            marks: Marks::new(config.copies_left_after),
            workers: workers.clone(),
            records,
            models,
            vault,
            activity: activity.clone(),
            tasks: tasks.clone(),
        });
        let rooms = Rooms::new(&Ground {
            shelves,
            outbound,
            github_url,
            openai,
            workers: workers.clone(),
            tasks: tasks.clone(),
        });
        if !server_key::note_at_start(&rooms.shelves).await {
            tasks.spawn_until_drain(server_key::keep_noting(rooms.shelves.clone()));
        }
        tasks.spawn_until_drain(rooms.clone().seal_anew());
        tasks.spawn_until_drain(rooms.clone().sweep());
        match is_cluster {
            // A server without hooks does nothing for them.
            _ if webhooks.is_empty() => {}
            true => drop(tasks.spawn(webhooks.tell_in_turn(tasks.drain.clone()))),
            false => drop(tasks.spawn(webhooks.tell(tasks.drain.clone()))),
        }
        if is_cluster {
            let delivering = conversations.clone().keep_delivering();
            tasks.spawn_vital("delivering first messages", delivering);
        }
        Ok(Self {
            tasks: tasks.clone(),
            index: index.clone(),
            history,
            conversations_path,
            workers,
            conversations,
            commands,
            rooms,
            activity,
            settled,
        })
    }
}

/// What `attempt` makes as soon as the store is there.
///
/// # Errors
/// Its own, and that it is time to end where it has failed once.
async fn patiently<T, A: Future<Output = ports::Result<T>>>(
    tasks: &Tasks,
    patience: Duration,
    mut attempt: impl FnMut() -> A,
) -> ports::Result<T> {
    let mut told = || {
        let attempt = attempt();
        async {
            let outcome = attempt.await;
            if let Err(error @ ports::Error::Unavailable(_)) = &outcome {
                tracing::warn!(%error, "the store went away during the start, trying again");
            }
            outcome
        }
    };
    match told().await {
        Err(error @ ports::Error::Unavailable(_)) if !patience.is_zero() => {
            let again = tasks.drain.run_until_cancelled(while_unavailable(PAUSES, patience, told));
            again.await.unwrap_or(Err(error))
        }
        outcome => outcome,
    }
}
