//! The keys of a data folder for who only looks at them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use ports::{Changes, Error, Expect, Kv, KvEntry, Result, Scan};

use super::{all, read};
use crate::blocking::blocking;
use crate::place::{Place, bucket_folder};

/// The keys of a data folder as its files have them: no lock is taken, and nothing is made or changed. What a crash has left in
/// the journal is not among them.
pub struct Looking {
    root: PathBuf,
}

impl Looking {
    /// `root` is that of [`crate::Options`].
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

#[async_trait]
impl Kv for Looking {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        let path = self.root.join(Place::key(bucket, key)?.path);
        match blocking(move || read::entry(&path)).await {
            Err(Error::NotFound) => Ok(None),
            entry => entry.map(Some),
        }
    }

    async fn put(&self, _: &str, _: &str, _: Bytes, _: Expect) -> Result<u64> {
        Err(only_looking())
    }

    async fn delete(&self, _: &str, _: &str, _: Expect) -> Result<()> {
        Err(only_looking())
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        match bucket_folder(bucket) {
            Ok(folder) => all(self.root.join(folder)),
            Err(error) => Box::pin(stream::once(async { Err(error) })),
        }
    }

    async fn watch(&self, _: &str) -> Result<Changes> {
        Err(only_looking())
    }
}

fn only_looking() -> Error {
    Error::Unavailable("the data folder is only looked at".to_owned())
}
