//! A part of the cluster for as long as something is moved in or out: one more gateway that serves no clients.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::placement::Cluster as Placing;
use control::{Control, Mode};
use outbound::{Outbound, Private};
use ports::Ports;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::conversation::ConversationRecord;
use types::{SandboxId, TenantId};
use vault::Vault;

use super::gateway::take_keys;
use super::settings::Cluster;
use crate::descriptors::Descriptors;
use crate::serving;
use crate::settings::Settings;

const LEAVING: Duration = Duration::from_secs(10);

pub struct Member {
    control: Control,
    connection: nats::Connection,
    stop: CancellationToken,
}

/// # Errors
/// There is no secret key, or NATS cannot be reached.
pub async fn join(settings: &mut Settings, cluster: Cluster) -> anyhow::Result<(Member, Ports, Arc<Vault>)> {
    take_keys(settings, &cluster)?;
    let secret_key = settings.secret_key.clone();
    let secret_key = secret_key.context("OH_SECRET_KEY must be set: all gateways of a cluster share it")?;
    let vault = Arc::new(serving::vault(&secret_key, settings));
    let workspace = cluster.workspaces_root.join("project");
    let metrics = Metrics::of_gateway();
    let config = serving::gateway(secret_key, settings, metrics, Descriptors::raise(), workspace, false);
    let mode = Mode::Cluster(Placing {
        policy: cluster.policy,
        root: cluster.workspaces_root.clone(),
        patience: cluster.start_patience,
        sandbox_storage: cluster.sandbox_storage,
    });
    let outbound = Outbound::new(settings.private_addresses.unwrap_or(Private::Refused));
    let conversations = cluster.workspaces_root.join(".manyhands/conversations");
    let (budget, worktrees) = (cluster.tenant_budget_usd, settings.conversation_worktree_root.clone());
    let config = serving::control(&config, conversations, worktrees, mode, budget, outbound);
    let connection = super::connect(&cluster, "gateway").await?;
    connection.set_up(None).await?;
    let ports = connection.control().await?;
    let stop = CancellationToken::new();
    let control = Control::start(config, &ports, vault.clone(), stop.child_token()).await;
    let control = control.context("the stored conversations cannot be read")?;
    Ok((Member { control, connection, stop }, ports, vault))
}

impl Member {
    /// # Errors
    /// Those of the store.
    pub async fn sandbox_of(&self, record: &ConversationRecord) -> ports::Result<SandboxId> {
        self.control.workers.placement().of_new(record, false).await
    }

    /// # Errors
    /// Those of the store.
    pub async fn default_sandbox(&self, tenant: &TenantId) -> ports::Result<SandboxId> {
        self.control.workers.placement().at(tenant, "").await
    }

    /// # Errors
    /// Those of the store; `Unavailable` where its sandbox is being deleted.
    pub async fn keep(&self, record: &ConversationRecord) -> ports::Result<()> {
        match self.control.workers.placement().kept(record).await? {
            true => Ok(()),
            false => Err(ports::Error::Unavailable("its sandbox is being deleted".to_owned())),
        }
    }

    pub async fn leave(self) {
        self.stop.cancel();
        self.control.tasks.tracker.close();
        // What does not end by itself is nothing that was moved.
        let _ = tokio::time::timeout(LEAVING, self.control.tasks.tracker.wait()).await;
        self.connection.drain().await;
    }
}
