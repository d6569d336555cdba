//! Blobs as files.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Blobs, Result};

use crate::blocking::blocking;
use crate::disk::{Disk, absent_is_fine};
use crate::options::Fsync;
use crate::place::check_blob_name;

/// A blob a file. They do not go through the journal: they are large, and each is whole by its rename.
pub struct FileBlobs {
    pub disk: Arc<Disk>,
    pub fsync: Fsync,
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        check_blob_name(name)?;
        let (disk, path) = (self.disk.clone(), self.disk.blob(name));
        let durable = self.fsync == Fsync::Always;
        blocking(move || disk.put_whole(&path, &bytes, durable)).await
    }

    async fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        check_blob_name(name)?;
        let path = self.disk.blob(name);
        blocking(move || {
            let file = File::open(path)?;
            let end = range.end.min(file.metadata()?.len());
            let length = usize::try_from(end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, range.start)?;
            Ok(buffer.into())
        })
        .await
    }

    async fn size(&self, name: &str) -> Result<u64> {
        check_blob_name(name)?;
        let path = self.disk.blob(name);
        blocking(move || Ok(fs::metadata(path)?.len())).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        check_blob_name(name)?;
        let path = self.disk.blob(name);
        blocking(move || absent_is_fine(fs::remove_file(path))).await
    }
}
