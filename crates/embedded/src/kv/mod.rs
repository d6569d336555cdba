//! Buckets as folders, keys as files: the revision on the first line, then the value.

mod index;
mod looking;
mod read;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ports::{Change, Changes, Error, Expect, Kv, KvEntry, Result, Scan};

use crate::blocking::blocking;
use crate::disk::Disk;
use crate::journal::Journal;
use crate::place::{Place, bucket_folder};
use index::Buckets;
pub use looking::Looking;
use read::Pages;
use write::{Delete, Put};

/// What stays free of the disk where something can be done without: more than all else that may be written at the same time.
const SPARED: u64 = 16 << 20;

/// Only keys and revisions are kept in memory, of the buckets that were written to.
pub struct FileKv {
    disk: Arc<Disk>,
    journal: Journal,
    buckets: Arc<Buckets>,
    /// Who has looked what room there is, and takes it.
    taking_room: tokio::sync::Mutex<()>,
}

impl FileKv {
    pub fn new(disk: Arc<Disk>, journal: Journal) -> Self {
        Self { disk, journal, buckets: Arc::default(), taking_room: tokio::sync::Mutex::default() }
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
        ports::fits(value.len())?;
        let target = write::Target::new(self.buckets.clone(), bucket, key, expect)?;
        self.journal.run(|answer| Box::new(Put::new(target, value, answer))).await
    }

    async fn put_if_room(&self, bucket: &str, key: &str, value: Bytes) -> Result<()> {
        // What several see of the same room is there for one of them.
        let _taking = self.taking_room.lock().await;
        let disk = self.disk.clone();
        if blocking(move || disk.room()).await? < SPARED + 2 * value.len() as u64 {
            return Err(Error::Full(
                "what is left of the disk is for what cannot be done without".to_owned(),
            ));
        }
        self.put(bucket, key, value, Expect::Anything).await.map(drop)
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        let target = write::Target::new(self.buckets.clone(), bucket, key, expect)?;
        self.journal.run(|answer| Box::new(Delete::new(target, answer))).await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        match bucket_folder(bucket) {
            Ok(folder) => all(self.disk.in_root(&folder)),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        bucket_folder(bucket)?;
        Ok(Box::pin(self.buckets.watch(bucket)))
    }
}

/// What the folder of a bucket holds.
fn all<'a>(folder: PathBuf) -> Scan<'a> {
    let opened = blocking(move || Pages::open(folder));
    let pages = stream::once(opened).map_ok(|pages| stream::try_unfold(pages, next_page)).try_flatten();
    pages.map_ok(|page| stream::iter(page).map(Ok::<_, Error>)).try_flatten().boxed()
}

async fn next_page(mut pages: Pages) -> Result<Option<(Vec<Change>, Pages)>> {
    blocking(move || {
        let page = pages.next_page()?;
        Ok((!page.is_empty()).then_some((page, pages)))
    })
    .await
}
