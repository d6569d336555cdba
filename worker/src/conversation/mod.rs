//! The conversations of a sandbox: one actor each while there is something to do.

mod actor;
mod command;
mod journal;
mod live;
mod lookup;
mod mask;
mod open;
mod perform;
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

use crate::Config;
use lookup::Lookups;
use registry::Registry;

/// What all actors of a worker use.
struct Shared {
    config: Config,
    ports: Ports,
    models: llm::Client,
    lookups: Arc<Lookups>,
    /// One permit for each run.
    slots: Arc<Semaphore>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// Answers conversation commands until `shutdown`, then pauses all runs and closes all shells.
pub(crate) async fn serve(
    config: Config,
    ports: Ports,
    models: llm::Client,
    shutdown: CancellationToken,
) -> ports::Result<()> {
    let shutdown = shutdown.child_token();
    let subject = subjects::command(&config.sandbox, "conversation");
    let (bus, answers) = (ports.bus.clone(), config.answers.clone());
    let registry = Registry::new(Shared {
        slots: Arc::new(Semaphore::new(config.max_concurrent_runs)),
        lookups: Arc::default(),
        tracker: TaskTracker::new(),
        shutdown: shutdown.clone(),
        config,
        ports,
        models,
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
        () = registry.close_idle_shells() => {}
    }
    shutdown.cancel();
    registry.close().await;
    Ok(())
}
