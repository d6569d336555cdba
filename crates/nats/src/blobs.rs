//! Blobs in pieces, in a stream.

use std::ops::Range;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use ports::{Blobs, Error, Result};

use crate::body::{self, Body, PIECE};
use crate::jetstream::{JetStream, StreamFilter};
use crate::layout::{self, BLOBS};

/// Blobs in pieces: under the name stands which [`Body`] it has, below it lie the pieces. Unlike an object store's
/// objects they are read by direct gets, from any offset.
pub struct NatsBlobs {
    pub jetstream: JetStream,
}

#[async_trait]
impl Blobs for NatsBlobs {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let subject = layout::blob_subject(name)?;
        let replaced = self.body(&subject).await?;
        let body = Body::of(&bytes)?;
        for (index, piece) in body::split(&bytes) {
            let subject = format!("{subject}.{}.{index}", body.digest);
            self.jetstream.store(&subject, None, HeaderMap::new(), piece).await?;
        }
        self.jetstream.store(&subject, None, HeaderMap::new(), body.to_string().into()).await?;
        match replaced {
            Some(old) if old.digest != body.digest => {
                self.purge(&format!("{subject}.{}.*", old.digest)).await
            }
            _ => Ok(()),
        }
    }

    async fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let subject = &layout::blob_subject(name)?;
        let body = &self.body(subject).await?.ok_or(Error::NotFound)?;
        let pieces = body.pieces(&range);
        let began = pieces.start * PIECE;
        let bytes = body::read(pieces, |index| async move {
            let subject = format!("{subject}.{}.{index}", body.digest);
            let last = self.jetstream.last(StreamFilter { stream: BLOBS, subject: &subject }).await?;
            Ok(last.map(|raw| raw.payload))
        });
        let bytes = bytes.await?;
        let at = |offset: u64| {
            usize::try_from(offset.saturating_sub(began)).unwrap_or(usize::MAX).min(bytes.len())
        };
        Ok(bytes.slice(at(range.start)..at(range.end.max(range.start))))
    }

    async fn size(&self, name: &str) -> Result<u64> {
        let subject = layout::blob_subject(name)?;
        Ok(self.body(&subject).await?.ok_or(Error::NotFound)?.size)
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let subject = layout::blob_subject(name)?;
        self.purge(&subject).await?;
        self.purge(&format!("{subject}.>")).await
    }
}

impl NatsBlobs {
    async fn body(&self, subject: &str) -> Result<Option<Body>> {
        let Some(raw) = self.jetstream.last(StreamFilter { stream: BLOBS, subject }).await? else {
            return Ok(None);
        };
        let body = std::str::from_utf8(&raw.payload).ok().and_then(Body::parse);
        body.map(Some).ok_or_else(|| Error::Internal(format!("{subject} is not a blob")))
    }

    async fn purge(&self, subject: &str) -> Result<()> {
        self.jetstream.purge(StreamFilter { stream: BLOBS, subject }).await.map(|_| ())
    }
}
