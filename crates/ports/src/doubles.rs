//! For tests: stores that are another one but for what the test changes of them.
//!
//! Whatever implements [`LogDouble`] or [`KvDouble`] is such a store. It says what is behind it, and does itself only what it
//! wants to do otherwise.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream;
use types::{BashScope, LogId, SandboxId, Seq};

use crate::{Appended, Changes, EventLog, Expect, Extent, Kv, KvEntry, Record, Result, Scan};

/// An [`EventLog`] that hands everything on.
#[async_trait]
pub trait LogDouble: Send + Sync {
    /// # Errors
    /// Where it cannot be reached now.
    fn inner(&self) -> Result<&dyn EventLog>;

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        self.inner()?.append(log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.inner()?.read(log, after, limit).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.inner()?.tail(log).await
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        self.inner()?.extent(log).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.inner()?.remove(log, extent).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        self.inner()?.truncate_before(log, first_kept).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        self.inner()?.bash_logs(sandbox).await
    }
}

#[async_trait]
impl<T: LogDouble> EventLog for T {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        LogDouble::append(self, log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        LogDouble::read(self, log, after, limit).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        LogDouble::tail(self, log).await
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        LogDouble::extent(self, log).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        LogDouble::remove(self, log, extent).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        LogDouble::truncate_before(self, log, first_kept).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        LogDouble::bash_logs(self, sandbox).await
    }
}

/// A [`Kv`] that hands everything on.
#[async_trait]
pub trait KvDouble: Send + Sync {
    /// # Errors
    /// Where it cannot be reached now.
    fn inner(&self) -> Result<&dyn Kv>;

    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        self.inner()?.get(bucket, key).await
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        self.inner()?.put(bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        self.inner()?.delete(bucket, key, expect).await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        match self.inner() {
            Ok(inner) => inner.scan(bucket),
            Err(error) => Box::pin(stream::once(ready(Err(error)))),
        }
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        self.inner()?.watch(bucket).await
    }
}

#[async_trait]
impl<T: KvDouble> Kv for T {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        KvDouble::get(self, bucket, key).await
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        KvDouble::put(self, bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        KvDouble::delete(self, bucket, key, expect).await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        KvDouble::scan(self, bucket)
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        KvDouble::watch(self, bucket).await
    }
}
