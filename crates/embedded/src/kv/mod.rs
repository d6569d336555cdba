//! Buckets as folders, keys as files: the revision on the first line, then the value.

mod index;
mod read;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Changes, Error, Expect, Kv, KvEntry, Result};

use crate::blocking::blocking;
use crate::disk::Disk;
use crate::journal::{Journal, MAX_BYTES};
use crate::place::{Place, bucket_folder};
use index::Buckets;
use write::{Delete, Put};

/// Only keys and revisions are kept in memory, of the buckets that were written to.
pub struct FileKv {
    disk: Arc<Disk>,
    journal: Journal,
    buckets: Arc<Buckets>,
}

impl FileKv {
    pub fn new(disk: Arc<Disk>, journal: Journal) -> Self {
        Self { disk, journal, buckets: Arc::default() }
    }
}

#[async_trait]
impl Kv for FileKv {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        let path = self.disk.path(&Place::key(bucket, key)?);
        match blocking(move || read::entry(&path)).await {
            Err(Error::NotFound) => Ok(None),
            entry => entry.map(Some),
        }
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        if value.len() > MAX_BYTES - (1 << 10) {
            return Err(Error::Internal(format!("a value of more than {MAX_BYTES} bytes")));
        }
        let target = write::Target::new(self.buckets.clone(), bucket, key, expect)?;
        self.journal.run(|answer| Box::new(Put::new(target, value, answer))).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        let target = write::Target::new(self.buckets.clone(), bucket, key, expect)?;
        self.journal.run(|answer| Box::new(Delete::new(target, answer))).await
    }

    async fn list(&self, bucket: &str) -> Result<Vec<(String, KvEntry)>> {
        let folder = self.disk.in_root(&bucket_folder(bucket)?);
        blocking(move || read::entries(&folder)).await
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        bucket_folder(bucket)?;
        Ok(Box::pin(self.buckets.watch(bucket)))
    }
}
