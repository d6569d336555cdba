//! The log of a worker as the contract of logs wants it: what no worker may, to remove a log, the control plane does.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Appended, EventLog, Record, Result};
use types::{BashScope, LogId, SandboxId, Seq};

pub struct Removing {
    pub worker: Arc<dyn EventLog>,
    pub control: Arc<dyn EventLog>,
}

#[async_trait]
impl EventLog for Removing {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        self.worker.append(log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.worker.read(log, after, limit).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.worker.tail(log).await
    }

    async fn delete(&self, log: &LogId) -> Result<()> {
        self.control.delete(log).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        self.worker.truncate_before(log, first_kept).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        self.worker.bash_logs(sandbox).await
    }
}
