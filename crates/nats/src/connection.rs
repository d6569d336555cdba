//! A connection, and the ports on it.

use std::sync::Arc;

use bytes::Bytes;
use ports::Ports;
use ports::storage::{Ledger, Storage};
use tokio::sync::watch;
use types::placement::Credentials;
use types::{Epoch, SandboxId, subjects};

use crate::adapter::Adapter;
use crate::connect::Renewable;
use crate::error::Error;
use crate::jetstream::JetStream;
use crate::link::{Link, PATIENCE, Status};
use crate::probe::{self, Probe};
use crate::set_up;

/// A connection that comes back by itself. Cheap to clone.
#[derive(Clone)]
pub struct Connection {
    pub(crate) link: Link,
    pub(crate) credentials: Renewable,
    pub(crate) news: Arc<watch::Sender<Status>>,
}

impl Connection {
    /// Makes the streams and buckets of a cluster, or brings them up to date; does nothing where all is well.
    /// Limits and replicas an operator has set stay. `partitions` (4 where `None`) holds only the first time.
    ///
    /// # Errors
    /// `NoJetStream`, `Newer`, `Partitions`, `Storage`.
    pub async fn set_up(&self, partitions: Option<u64>) -> Result<(), Error> {
        set_up::set_up(&self.jetstream(), partitions, None).await
    }

    /// The same with so many `replicas` of each stream at least, where there are as many servers.
    ///
    /// # Errors
    /// As [`Connection::set_up`]; `Storage` also while the servers have no leader.
    pub async fn set_up_on(&self, replicas: Option<u64>) -> Result<(), Error> {
        set_up::set_up(&self.jetstream(), None, replicas).await
    }

    /// All ports, for the control plane.
    ///
    /// # Errors
    /// `NoJetStream`, `NotSetUp`, `Newer`, `Storage`.
    pub async fn control(&self) -> Result<Ports, Error> {
        Ok(self.adapter().await?.control())
    }

    /// The same, for who stores in logs at the cost of their sandboxes.
    ///
    /// # Errors
    /// As [`Connection::control`].
    pub async fn control_at_cost(&self, ledger: Arc<dyn Ledger>) -> Result<Ports, Error> {
        Ok(self.adapter().await?.control_at_cost(ledger))
    }

    /// The ports of one incarnation of a worker: the bus, the logs of its sandbox, and its lease. There must be somebody who serves
    /// [`Connection::storage`].
    ///
    /// # Errors
    /// `Storage` when nobody does.
    pub async fn worker(&self, sandbox: &SandboxId, epoch: Epoch) -> Result<Ports, Error> {
        let link = Link { nobody: subjects::nobody_of(sandbox, epoch), ..self.link.clone() };
        let max_payload = link.client.max_payload();
        Ok(Adapter::worker(Arc::new(link), max_payload, sandbox, epoch).await?)
    }

    /// The storage of workers, to be served to them.
    ///
    /// # Errors
    /// `NotSetUp`, `Storage`.
    pub async fn storage(&self) -> Result<Arc<dyn Storage>, Error> {
        Ok(self.adapter().await?.storage())
    }

    /// Asks the server itself.
    ///
    /// # Errors
    /// `Storage`: no answer, or nobody who could give one.
    pub async fn request(&self, subject: &str, payload: Bytes) -> Result<Bytes, Error> {
        Ok(self.link.ask(subject, None, payload, PATIENCE).await?.payload)
    }

    /// Signs in with these from the next time the connection is made.
    pub fn renew(&self, credentials: Credentials) {
        *self.credentials.lock() = Some(credentials);
    }

    /// Makes the connection anew, with what [`Connection::renew`] was told.
    pub async fn sign_in_anew(&self) {
        // An error means that the client has ended.
        let _ = self.link.client.force_reconnect().await;
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.status.borrow().connected
    }

    /// Returns when the connection is lost; it is being made anew by then.
    pub async fn disconnected(&self) {
        // An error means that the client has ended.
        let _ = self.link.status.clone().wait_for(|status| !status.connected).await;
    }

    /// Returns when there is a connection (again).
    pub async fn connected(&self) {
        let _ = self.link.status.clone().wait_for(|status| status.connected || status.closed).await;
    }

    /// Ends the connection: what was published is sent, what has arrived is delivered.
    pub async fn drain(self) {
        let mut status = self.link.status.clone();
        if self.link.client.drain().await.is_ok() {
            let closed = status.wait_for(|status| status.closed);
            if tokio::time::timeout(PATIENCE, closed).await.is_err() {
                tracing::warn!("the connection to NATS did not end in time");
            }
        }
    }

    /// Stores a small message in the cluster's bucket, and tells how that went.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn probe(&self) -> Result<Probe, Error> {
        probe::probe(&self.jetstream()).await
    }

    /// By which the cluster is known from all others, whatever they are called.
    ///
    /// # Errors
    /// `NotSetUp`, also where no gateway of this release has run yet; `Storage`.
    pub async fn mark(&self) -> Result<String, Error> {
        Ok(format!("{:016x}", set_up::mark(&self.jetstream()).await?))
    }

    #[must_use]
    pub fn server_version(&self) -> String {
        self.link.client.server_info().version
    }

    fn jetstream(&self) -> JetStream {
        JetStream { link: self.link.clone() }
    }

    async fn adapter(&self) -> Result<Adapter, Error> {
        let jetstream = self.jetstream();
        self.link.heed_leaders(&self.news).await?;
        let partitions = set_up::layout(&jetstream).await?.partitions;
        self.link.watch_streams(partitions).await;
        let max_payload = self.link.client.max_payload();
        Ok(Adapter {
            bus: Arc::new(self.link.clone()),
            streams: Arc::new(jetstream),
            partitions,
            max_payload,
        })
    }
}
