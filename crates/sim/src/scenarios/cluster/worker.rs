//! One incarnation of a sandbox's worker: the real one, with a model and a tool of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use supervisor::Instance;
use tokio_util::sync::CancellationToken;
use tools::Catalogue;

use super::model::Scripted;
use super::tool::Deed;
use crate::scenarios::deputies::ports_of_worker;
use crate::world::Here;

pub fn work(
    instance: Instance,
    folder: PathBuf,
    stop: CancellationToken,
) -> impl FnOnce(Here) -> BoxFuture<'static, ()> + Send {
    move |here| {
        Box::pin(async move {
            let config = config(&instance, &folder);
            let models = llm::Client::new(Arc::new(Scripted));
            let ports = ports_of_worker(&here, &instance.sandbox, instance.epoch);
            let Some(ports) = stop.run_until_cancelled(ports).await else { return };
            if let Err(error) = worker::run(config, ports, models, stop).await {
                tracing::info!(%error, "the worker ends");
            }
        })
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
