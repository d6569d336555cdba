//! The log of a worker as the contract of logs wants it: what no worker may, to remove a log, the control plane does.

use std::sync::Arc;

use async_trait::async_trait;
use ports::doubles::LogDouble;
use ports::{EventLog, Extent, Result};
use types::LogId;

pub struct Removing {
    pub worker: Arc<dyn EventLog>,
    pub control: Arc<dyn EventLog>,
}

#[async_trait]
impl LogDouble for Removing {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.worker.as_ref())
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        self.control.extent(log).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.control.remove(log, extent).await
    }
}
