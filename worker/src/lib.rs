//! The worker: everything that happens inside one sandbox.
//!
//! It runs the conversations placed there (one actor each, the only writer of the conversation's log) and
//! the workspace services: commands, files, git. It is reached over the bus alone and keeps nothing that
//! cannot be rebuilt from the logs, except live shells.

mod activity;
mod broker;
mod config;
mod conversation;
mod lease;
mod rest;
pub mod services;

use std::sync::Arc;
use std::time::Duration;

use ports::Ports;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use activity::Activity;
pub use broker::Broker;
pub use config::Config;
use lease::{Keeper, LeaseState};

/// How long commands, uploads and git calls may take to end after shutdown.
const SERVICES_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus does not take this worker's subscriptions.
    #[error("the worker cannot be reached over the bus")]
    Unreachable(#[from] ports::Error),
    /// A newer incarnation has the sandbox: this one has stopped.
    #[error("the worker was replaced")]
    Replaced(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Serves the sandbox's commands until `shutdown`; then pauses runs, ends commands and shells, and returns.
/// Nothing acknowledged is lost when it is dropped instead: a run cut off is closed when its conversation
/// is opened next.
///
/// # Errors
/// [`Error::Unreachable`] when the subscriptions cannot be made, [`Error::Replaced`] when a newer incarnation
/// has the lease.
pub async fn run(
    config: Config,
    ports: Ports,
    models: llm::Client,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let shutdown = shutdown.child_token();
    let _stop_services = shutdown.clone().drop_guard();
    let tracker = TaskTracker::new();
    let activity = config.activity.clone();
    if let Some(user) = config.command_user
        && tools::hands::choose(user).is_err()
    {
        tracing::warn!("commands run as the user that was chosen before");
    }
    if let Err(error) = tools::hands::make_folders(&config.project_dir) {
        tracing::warn!(%error, "the folder commands start in cannot be made");
    }
    let (keeper, lease_state) = match config.leased {
        true => {
            let taken = Keeper::take(ports.kv.clone(), config.sandbox.clone(), config.epoch).await;
            let (keeper, lease_state) = taken.map_err(replaced)?;
            (Some(keeper), lease_state)
        }
        false => (None, LeaseState::alone()),
    };
    let services = services::ServicesConfig {
        sandbox: config.sandbox.clone(),
        incarnation: config.incarnation(),
        epoch: config.epoch,
        default_cwd: config.project_dir.clone(),
        scratch: config.scratch.clone(),
        most_commands: config.most_commands,
        bash_retention: config.bash_retention,
        editor: config.editor.clone(),
        apps: config.apps.clone(),
        worktrees: config.worktrees.clone(),
        makes_repositories: config.makes_repositories,
        extensions: config.extensions.clone(),
        outbound: config.outbound.clone(),
        activity: activity.clone(),
        watch: config.watch.clone(),
    };
    let (commands, servers) =
        services::serve(services, ports.clone(), tracker.clone(), shutdown.clone()).await?;
    let slots = Arc::new(Semaphore::new(config.max_concurrent_runs));
    let guards = conversation::Guards {
        activity: activity.clone(),
        commands: commands.clone(),
        servers,
        lease_state,
        slots: slots.clone(),
    };
    let report = {
        let most = config.max_concurrent_runs;
        move || lease::Report {
            idle: activity.idle_for(),
            runs: most.saturating_sub(slots.available_permits()),
            calls: activity.calls(),
        }
    };
    let keeping = async {
        match keeper {
            Some(keeper) => keeper.keep(report).await,
            None => std::future::pending().await,
        }
    };
    let conversations = conversation::serve(config, ports, models, guards, tracker.clone(), shutdown.clone());
    let outcome = tokio::select! {
        served = conversations => served.map_err(Error::from),
        newer = keeping => Err(replaced(newer)),
    };
    shutdown.cancel();
    tracker.close();
    if tokio::time::timeout(SERVICES_DEADLINE, tracker.wait()).await.is_err() {
        tracing::warn!(tasks = tracker.len(), "commands do not end in time");
    }
    commands.end_all().await;
    outcome
}

fn replaced(refusal: lease::Refusal) -> Error {
    Error::Replaced(refusal.into())
}
