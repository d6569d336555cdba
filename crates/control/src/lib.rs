//! The control plane: what workers ask for, and which of them serves a call. One module a deputy.
//!
//! `records` hands conversations to the workers that run them, `models` calls models for workers without keys,
//! `storage` says what they may store, and `placement` knows which sandbox serves a call and wakes its worker. All of them are trusted and take a worker's
//! sandbox from the subject it may speak on, never from what it says. HTTP is the gateway's.

mod config;
pub mod models;
pub mod placement;
pub mod records;
pub mod storage;
mod tasks;
mod watch;

use std::sync::Arc;

use ports::Ports;
use ports::rpc::Server;
use readmodel::index::Index;
use tokio_util::sync::CancellationToken;
use vault::Vault;

pub use config::{Config, Mode};
use models::Models;
use placement::{Fleet, Placement, Single, Workers};
use records::Records;
pub use tasks::Tasks;
pub use watch::watched;

/// The deputies of one process. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub placement: Arc<dyn Placement>,
    pub workers: Workers,
    pub records: Records,
    pub models: Models,
    /// Cancelled when the runs that an earlier process left are closed. Where others may serve them it is at once: the
    /// worker of a sandbox may be starting elsewhere.
    pub settled: CancellationToken,
}

impl Control {
    /// Answers workers, and closes the runs that lost theirs, in `tasks`.
    ///
    /// # Errors
    /// When the store cannot be read, or nothing can be heard.
    pub async fn start(
        config: Config,
        ports: &Ports,
        vault: Arc<Vault>,
        index: &Index,
        tasks: &Tasks,
    ) -> ports::Result<Self> {
        let records = Records::new(&config, vault.clone(), index);
        let models = Models::new(&config, ports, vault, index, tasks);
        let server = Server::new(ports.bus.clone(), tasks.tracker.clone(), tasks.drain.clone());
        let server = server.watched(watched(config.calls.clone()));
        records.clone().serve(&server).await?;
        let (workers, settled) = match config.mode {
            Mode::Single => {
                let workers = Workers::new(ports.bus.clone(), Arc::new(Single));
                let settled = placement::close_cut_off_runs(&workers, index, tasks);
                (workers, settled)
            }
            Mode::Cluster(cluster) => {
                models.clone().serve(&server).await?;
                let fleet = Arc::new(Fleet::start(cluster, ports, index, tasks).await?);
                let workers = Workers::new(ports.bus.clone(), fleet.clone());
                placement::close_cut_off_runs_of(&fleet, &workers, index, tasks);
                let settled = CancellationToken::new();
                settled.cancel();
                (workers, settled)
            }
        };
        Ok(Self { placement: workers.placement().clone(), workers, records, models, settled })
    }
}
