//! How the server stores, as it is seen from here: for who looks for what is wrong.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use types::time;

use crate::error::Error;
use crate::jetstream::{JetStream, StreamFilter, last_header};
use crate::layout::{CLUSTER, bucket_stream, key_subject};

const KEY: &str = "probe";
const STORED_AT: &str = "Nats-Time-Stamp";

/// One message on its way to the server's disk and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Until the server said that it is stored.
    pub took: Duration,
    /// The server's clock then, in Unix milliseconds.
    pub server_unix_ms: u64,
}

/// Leaves one small message, which the next one replaces.
pub async fn probe(jetstream: &JetStream) -> Result<Probe, Error> {
    let (stream, subject) = (bucket_stream(CLUSTER), key_subject(CLUSTER, KEY)?);
    let begun = Instant::now();
    jetstream.store(&subject, None, HeaderMap::new(), Bytes::from_static(b"probe")).await?;
    let took = begun.elapsed();
    let stored = jetstream.last(StreamFilter { stream: &stream, subject: &subject }).await?;
    let stored_at = stored.as_ref().and_then(|raw| last_header(&raw.headers, STORED_AT));
    let server_unix_ms = stored_at.and_then(time::unix_of_utc);
    let without = || ports::Error::Internal("a stored message without its time".to_owned());
    Ok(Probe { took, server_unix_ms: server_unix_ms.ok_or_else(without)? })
}
