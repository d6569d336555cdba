//! One incarnation of a sandbox's worker: the real one, with a model and a tool of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nats::Adapter;
use ports::Ports;
use supervisor::Instance;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tools::Catalogue;

use super::model::Scripted;
use super::tool::Deed;
use crate::world::{Here, MAX_PAYLOAD};

/// Before a worker looks again for somebody who stores for it.
const AGAIN: Duration = Duration::from_secs(1);

pub fn work(
    instance: Instance,
    folder: PathBuf,
    stop: CancellationToken,
) -> impl FnOnce(Here) -> BoxFuture<'static, ()> + Send {
    move |here| {
        Box::pin(async move {
            let config = config(&instance, &folder);
            let models = llm::Client::new(Arc::new(Scripted));
            let Some(ports) = stop.run_until_cancelled(ports(&here, &instance)).await else { return };
            if let Err(error) = worker::run(config, ports, models, stop).await {
                tracing::info!(%error, "the worker ends");
            }
        })
    }
}

/// What a worker has: a bus, and deputies for the rest. It waits until there are some.
async fn ports(here: &Here, instance: &Instance) -> Ports {
    loop {
        let bus = here.ports.bus.clone();
        match Adapter::worker(bus, MAX_PAYLOAD, &instance.sandbox, instance.epoch).await {
            Ok(ports) => return ports,
            Err(error) => tracing::debug!(%error, "there is nobody who stores for the worker"),
        }
        sleep(AGAIN).await;
    }
}

fn config(instance: &Instance, folder: &Path) -> worker::Config {
    let Instance { sandbox, epoch } = instance;
    let own = folder.join(sandbox.as_str());
    let mut config =
        worker::Config::new(sandbox.clone(), *epoch, own.join("state"), folder.join("workspace"));
    config.leased = true;
    config.catalogue = Catalogue::standard().with::<Deed>();
    config
}
