//! What a worker has of the other ports: its own lease, and nothing else.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{future::ready, stream};
use ports::{Blobs, Changes, Error, Expect, Kv, KvEntry, Result, Scan, buckets};
use types::SandboxId;

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

/// A worker has none.
pub struct NoBlobs;

#[async_trait]
impl Blobs for NoBlobs {
    async fn put(&self, name: &str, _bytes: Bytes) -> Result<()> {
        Err(denied("blob", name))
    }

    async fn get(&self, name: &str, _range: Range<u64>) -> Result<Bytes> {
        Err(denied("blob", name))
    }

    async fn size(&self, name: &str) -> Result<u64> {
        Err(denied("blob", name))
    }

    async fn delete(&self, name: &str) -> Result<()> {
        Err(denied("blob", name))
    }
}

fn denied(kind: &str, name: &str) -> Error {
    Error::Internal(format!("{kind}/{name} is not for a worker"))
}
