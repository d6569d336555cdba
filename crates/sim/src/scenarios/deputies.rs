//! Workers that have a bus alone, and those who store for them.

use std::time::Duration;

use control::storage::{Books, Limits, serve};
use nats::Adapter;
use ports::Ports;
use ports::rpc::unwatched;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use types::{Epoch, SandboxId};

use crate::world::{Here, MAX_PAYLOAD, World};

/// Before somebody looks again for who stores for him, or for whom.
const AGAIN: Duration = Duration::from_secs(1);

/// What a worker has: a bus, and deputies for the rest. It waits until there are some.
pub async fn ports_of_worker(here: &Here, sandbox: &SandboxId, epoch: Epoch) -> Ports {
    loop {
        match Adapter::worker(here.ports.bus.clone(), MAX_PAYLOAD, sandbox, epoch).await {
            Ok(ports) => return ports,
            Err(error) => tracing::debug!(%error, "there is nobody who stores for the worker"),
        }
        sleep(AGAIN).await;
    }
}

/// A process that does nothing but store for workers, and is started again whenever it is over.
pub fn start(world: &World, name: String) {
    let own = name.clone();
    world.start(name, work, move |world, _| {
        let pause = Duration::from_millis(world.dice().u64(100..5_000));
        world.after(pause, move |world| start(world, own));
    });
}

async fn work(here: Here) {
    let books = Books::new(here.ports.kv.clone(), None, |_| {});
    let (storage, drain) = (here.adapter.storage(), CancellationToken::new());
    while let Err(error) = serve(&*storage, &here.ports, Limits::default(), &books, unwatched(), &drain).await
    {
        tracing::info!(%error, "workers cannot be served, trying again");
        sleep(AGAIN).await;
    }
}
