//! The store that things are moved into and out of: files of this machine, or NATS.

use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "cluster")]
use anyhow::Context;
use control::shelf::Shelves;
use embedded::OpenError;
use ports::Ports;
#[cfg(feature = "cluster")]
use ports::leader::{Candidate, Timing};
use telemetry::metrics::Metrics;
use types::conversation::ConversationRecord;
use types::{SandboxId, TenantId};
use vault::Vault;

use crate::settings::Settings;
use crate::{serve, serving};

/// Which store.
pub enum Where {
    Files,
    #[cfg(feature = "cluster")]
    Cluster(Box<crate::cluster::settings::Cluster>),
}

pub struct Store {
    pub ports: Ports,
    pub vault: Arc<Vault>,
    pub shelves: Shelves,
    pub settings: Settings,
    kind: Kind,
}

enum Kind {
    Files(embedded::Guard),
    #[cfg(feature = "cluster")]
    Cluster(Box<crate::cluster::moving::Member>),
}

impl Store {
    /// # Errors
    /// A server has the files, or NATS cannot be reached.
    pub async fn open(settings: Settings, at: Where) -> anyhow::Result<Self> {
        match at {
            Where::Files => Self::files(settings).await,
            #[cfg(feature = "cluster")]
            Where::Cluster(cluster) => {
                let mut settings = settings;
                let (member, ports, vault) = crate::cluster::moving::join(&mut settings, *cluster).await?;
                Ok(Self::new(ports, vault, settings, Kind::Cluster(Box::new(member))))
            }
        }
    }

    async fn files(settings: Settings) -> anyhow::Result<Self> {
        let opened = embedded::open(embedded::Options {
            root: settings.state_dir(),
            conversations: settings.conversations_path.clone(),
            bash_events: settings.bash_events_dir.clone(),
            fsync: settings.fsync,
        });
        let (ports, guard) = opened.await.map_err(|error| match error {
            OpenError::Locked { .. } => anyhow::Error::new(error).context("stop the server first"),
            OpenError::Io { .. } => error.into(),
        })?;
        let key = serve::secret_key(&settings)?;
        let vault = Arc::new(serving::vault(&key, &settings));
        Ok(Self::new(ports, vault, settings, Kind::Files(guard)))
    }

    fn new(ports: Ports, vault: Arc<Vault>, settings: Settings, kind: Kind) -> Self {
        let shelves = Shelves::new(ports.kv.clone(), vault.clone(), Metrics::default().work);
        Self { ports, vault, shelves, settings, kind }
    }

    pub async fn close(self) {
        match self.kind {
            Kind::Files(guard) => guard.close().await,
            #[cfg(feature = "cluster")]
            Kind::Cluster(member) => member.leave().await,
        }
    }

    /// Does that when nobody else does it in this store: files belong to one process, and in a cluster one waits for another.
    ///
    /// # Errors
    /// Those of the work; its turn was lost before the end.
    pub async fn alone<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        match &self.kind {
            Kind::Files(_) => work.await,
            #[cfg(feature = "cluster")]
            Kind::Cluster(_) => {
                let turns = (types::buckets::PROBE, types::buckets::IMPORT);
                let candidate = Candidate::new(&self.ports.kv, turns, "importing", Timing::default());
                let done = candidate.once(work).await;
                done.context("the store was away for too long, and another import may have begun")?
            }
        }
    }

    /// Where the conversation is to be.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sandbox_of(&self, record: &ConversationRecord) -> ports::Result<SandboxId> {
        match &self.kind {
            Kind::Files(_) => Ok(SandboxId::from(&record.tenant)),
            #[cfg(feature = "cluster")]
            Kind::Cluster(member) => member.sandbox_of(record).await,
        }
    }

    /// Where what names no conversation is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn default_sandbox(&self, tenant: &TenantId) -> ports::Result<SandboxId> {
        match &self.kind {
            Kind::Files(_) => Ok(SandboxId::from(tenant)),
            #[cfg(feature = "cluster")]
            Kind::Cluster(member) => member.default_sandbox(tenant).await,
        }
    }

    /// To be called when its record is stored. Whether its sandbox stays for it: it may be on the point of being deleted.
    ///
    /// # Errors
    /// Those of the store.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables, reason = "files stay by themselves"))]
    pub async fn keep(&self, record: &ConversationRecord) -> ports::Result<bool> {
        match &self.kind {
            Kind::Files(_) => Ok(true),
            #[cfg(feature = "cluster")]
            Kind::Cluster(member) => member.keep(record).await,
        }
    }

    /// Where tools keep files of conversations; `None` where that is in sandboxes.
    pub fn files_of_conversations(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::Files(_) => Some(self.settings.conversations_path.clone()),
            #[cfg(feature = "cluster")]
            Kind::Cluster(_) => None,
        }
    }

    /// Where programs look for what is installed; `None` where that is in sandboxes.
    pub fn home(&self) -> Option<PathBuf> {
        self.files_of_conversations().map(|_| self.settings.extensions.home.persistence.clone())
    }
}
