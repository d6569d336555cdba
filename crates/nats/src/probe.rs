//! How the server stores, as it is seen from here: for who looks for what is wrong.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use types::buckets::{CLUSTER, PROBE_KEY};
use types::subjects::store;
use types::time;

use crate::error::Error;
use crate::layout::key_subject;
use crate::streams::{StreamFilter, Streams};

/// One message on its way to the server's disk and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Until the server said that it is stored.
    pub took: Duration,
    /// The server's clock then, in Unix milliseconds.
    pub server_unix_ms: u64,
}

/// Leaves one small message, which the next one replaces.
pub async fn probe(streams: &dyn Streams) -> Result<Probe, Error> {
    let (stream, subject) = (store::bucket_stream(CLUSTER), key_subject(CLUSTER, PROBE_KEY)?);
    let begun = Instant::now();
    streams.store(&subject, None, HeaderMap::new(), Bytes::from_static(b"probe")).await?;
    let took = begun.elapsed();
    let stored = streams.last(StreamFilter { stream: &stream, subject: &subject }).await?;
    let server_unix_ms = stored.and_then(|raw| time::unix_of_utc(&raw.stored_at));
    let without = || ports::Error::Internal("a stored message without its time".to_owned());
    Ok(Probe { took, server_unix_ms: server_unix_ms.ok_or_else(without)? })
}
