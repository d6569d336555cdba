//! Bodies too large for a log record.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// Bodies too large for a log record, by name. Names: ASCII letters, digits, `_`, `-`; 1 to 100 bytes.
/// A blob is written whole and never changes; putting one under a taken name replaces it.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()>;

    /// The bytes of `range`, cut at the blob's end.
    ///
    /// # Errors
    /// `NotFound`.
    async fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes>;

    /// Bytes.
    ///
    /// # Errors
    /// `NotFound`.
    async fn size(&self, name: &str) -> Result<u64>;

    /// An absent blob is no error.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn delete(&self, name: &str) -> Result<()>;
}
