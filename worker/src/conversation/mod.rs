//! The conversations of a sandbox: one actor each while there is something to do.

mod actor;
mod branch;
mod command;
mod dormant;
mod equip;
mod forgotten;
mod hidden;
mod journal;
mod leftovers;
mod live;
mod lookup;
mod mask;
mod navigate;
mod open;
mod perform;
mod refused;
mod registry;
mod replay;
mod secrets;
mod side;
mod snapshot;
mod unclosed;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use ports::Ports;
use ports::rpc::{Address, Call, Limits, Server};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::calls::ConversationCall;

use crate::lease::LeaseState;
use crate::services::{Commands, Servers};
use crate::{Activity, Config};
use lookup::Lookups;
use registry::Registry;

/// Each conversation bounds by itself what waits for it.
const LIMITS: Limits = Limits::new(4_096, 256 << 20);

/// What conversations share with the rest of the worker.
pub(crate) struct Guards {
    pub(crate) activity: Activity,
    pub(crate) commands: Commands,
    /// Those that agents have tools from.
    pub(crate) servers: Servers,
    pub(crate) lease_state: LeaseState,
    /// One permit for each run.
    pub(crate) slots: Arc<Semaphore>,
}

/// What all actors of a worker use.
struct Shared {
    config: Config,
    ports: Ports,
    models: llm::Client,
    lookups: Arc<Lookups>,
    guards: Guards,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// Answers conversation commands until `shutdown`, then pauses all runs and closes all shells.
pub(crate) async fn serve(
    config: Config,
    ports: Ports,
    models: llm::Client,
    guards: Guards,
    calls: TaskTracker,
    shutdown: CancellationToken,
) -> ports::Result<()> {
    let shutdown = shutdown.child_token();
    let address = Address::of_worker(&config.sandbox, config.incarnation());
    let (answers, activity) = (config.answers.clone(), guards.activity.clone());
    let server =
        Server::new(ports.bus.clone(), calls.clone(), shutdown.clone()).watched(config.watch.clone());
    let (bus, sandbox) = (ports.bus.clone(), config.sandbox.clone());
    let registry = Registry::new(Shared {
        lookups: Arc::new(Lookups::new(config.outbound.clone(), bus.clone(), sandbox.clone())),
        tracker: TaskTracker::new(),
        shutdown: shutdown.clone(),
        config,
        ports,
        models,
        guards,
    });
    let handler = {
        let (registry, activity) = (Arc::clone(&registry), activity.clone());
        move |call: Call<ConversationCall>| {
            let (registry, busy) = (Arc::clone(&registry), activity.call());
            async move {
                let _busy = busy?;
                registry.command(call.body).await.map(|done| (done, Bytes::new()))
            }
        }
    };
    let tasks = calls;
    let calls = server.serve(&address, Some("worker"), LIMITS, handler).await?;
    answers.cancel();
    let deleted = registry.shared.guards.commands.gone().clone();
    let leftovers = async move { leftovers::remove(bus.as_ref(), &sandbox, &deleted).await };
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(leftovers));
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        _ = calls => tracing::warn!("the bus has ended the subscription for conversation commands"),
        () = registry.let_go_of_idle() => {}
    }
    shutdown.cancel();
    registry.close().await;
    Ok(())
}
