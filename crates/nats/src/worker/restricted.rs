//! What a worker has of the other ports: its own lease, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{future::ready, stream};
use ports::{Changes, Error, Expect, Kv, KvEntry, Result, Scan};
use types::{SandboxId, buckets};

use super::Remote;

/// Of all buckets, a worker's own lease.
pub struct OwnLease {
    pub remote: Arc<Remote>,
    pub sandbox: SandboxId,
}

#[async_trait]
impl Kv for OwnLease {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        self.check(bucket, key)?;
        self.remote.lease().await
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        self.check(bucket, key)?;
        self.remote.put_lease(value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, _expect: Expect) -> Result<()> {
        Err(denied(bucket, key))
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        Box::pin(stream::once(ready(Err(denied(bucket, "*")))))
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        Err(denied(bucket, "*"))
    }
}

impl OwnLease {
    fn check(&self, bucket: &str, key: &str) -> Result<()> {
        match bucket == buckets::LEASES && key == self.sandbox.as_str() {
            true => Ok(()),
            false => Err(denied(bucket, key)),
        }
    }
}

fn denied(bucket: &str, key: &str) -> Error {
    Error::Internal(format!("{bucket}/{key} is not for a worker"))
}
