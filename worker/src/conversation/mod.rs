//! The conversations of a sandbox: one actor each while there is something to do.

mod actor;
mod command;
mod dormant;
mod hidden;
mod journal;
mod live;
mod lookup;
mod mask;
mod open;
mod perform;
mod refused;
mod registry;
mod replay;
mod secrets;
mod side;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use ports::rpc::{self, Call};
use ports::{Ports, subjects};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::calls::ConversationCall;

use crate::lease::Standing;
use crate::{Activity, Config, Kin};
use lookup::Lookups;
use registry::Registry;

/// What conversations share with the rest of the worker.
pub(crate) struct Guards {
    pub(crate) activity: Activity,
    pub(crate) kin: Kin,
    pub(crate) standing: Standing,
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
    shutdown: CancellationToken,
) -> ports::Result<()> {
    let shutdown = shutdown.child_token();
    let subject = subjects::command_to(&config.sandbox, config.incarnation(), "conversation");
    let (bus, answers) = (ports.bus.clone(), config.answers.clone());
    let registry = Registry::new(Shared {
        lookups: Arc::default(),
        tracker: TaskTracker::new(),
        shutdown: shutdown.clone(),
        config,
        ports,
        models,
        guards,
    });
    let calls = rpc::serve(bus, &subject, Some("worker"), {
        let registry = Arc::clone(&registry);
        move |call: Call<ConversationCall>| {
            let registry = Arc::clone(&registry);
            async move { registry.command(call.body).await.map(|done| (done, Bytes::new())) }
        }
    })
    .await?;
    answers.cancel();
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = calls => tracing::warn!("the bus has ended the subscription for conversation commands"),
        () = registry.let_go_of_idle() => {}
        () = registry.stop_runs_without_lease() => {}
    }
    shutdown.cancel();
    registry.close().await;
    Ok(())
}
