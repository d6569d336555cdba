//! A part of the cluster for as long as something is moved in or out: it serves nobody, and only places what comes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::Tasks;
use control::placement::{Cluster as Placing, Placement, of_cluster};
use control::storage::Books;
use ports::Ports;
use tokio_util::sync::CancellationToken;
use types::conversation::ConversationRecord;
use types::{SandboxId, TenantId};
use vault::Vault;

use super::gateway::{secret_key, take_keys};
use super::settings::Cluster;
use crate::serving;
use crate::settings::Settings;

const LEAVING: Duration = Duration::from_secs(10);

pub struct Member {
    placement: Arc<dyn Placement>,
    connection: nats::Connection,
    books: Arc<Books>,
    tasks: Tasks,
}

/// # Errors
/// There is no secret key, or NATS cannot be reached.
pub async fn join(settings: &mut Settings, cluster: Cluster) -> anyhow::Result<(Member, Ports, Arc<Vault>)> {
    take_keys(settings, &cluster)?;
    let vault = Arc::new(serving::vault(&secret_key(settings, &cluster)?, settings));
    let connection = super::connect(&cluster, "gateway").await?;
    connection.set_up(None).await?;
    let books = Books::new(connection.control().await?.kv, cluster.sandbox_storage, |_| ());
    // What is brought into a sandbox counts as what its worker stores.
    let ports = connection.control_at_cost(books.clone()).await?;
    let placing =
        Placing { policy: cluster.policy, root: cluster.workspaces_root, patience: cluster.start_patience };
    let tasks = Tasks::until(CancellationToken::new());
    let placement = of_cluster(placing, &ports, &tasks).await;
    let placement = placement.context("the stored conversations cannot be read")?;
    Ok((Member { placement, connection, books, tasks }, ports, vault))
}

impl Member {
    /// # Errors
    /// Those of the store.
    pub async fn sandbox_of(&self, record: &ConversationRecord) -> ports::Result<SandboxId> {
        self.placement.of_new(record, false).await
    }

    /// # Errors
    /// Those of the store.
    pub async fn default_sandbox(&self, tenant: &TenantId) -> ports::Result<SandboxId> {
        self.placement.at(tenant, "").await
    }

    /// Whether its sandbox stays for it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep(&self, record: &ConversationRecord) -> ports::Result<bool> {
        self.placement.kept(record).await
    }

    pub async fn leave(self) {
        self.tasks.drain.cancel();
        self.tasks.tracker.close();
        // What does not end by itself is nothing that was moved.
        let _ = tokio::time::timeout(LEAVING, self.tasks.tracker.wait()).await;
        self.books.tell_all().await;
        self.connection.drain().await;
    }
}
