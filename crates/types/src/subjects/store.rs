//! Of what is stored: the streams, the subjects they keep, and the calls of their API.
//!
//! Names of what exists must never change: data is found by them.

use std::fmt::Display;

use crate::{LogId, SandboxId};

/// The stream of the bodies of large records, in pieces.
pub const BODY_STREAM: &str = "BLOBS";

#[must_use]
pub fn event_stream(partition: impl Display) -> String {
    format!("EVENTS_{partition}")
}

/// What the names of buckets' streams begin with.
pub const BUCKET_STREAMS: &str = "KV_";

#[must_use]
pub fn bucket_stream(bucket: &str) -> String {
    format!("{BUCKET_STREAMS}{bucket}")
}

/// The records of a log.
#[must_use]
pub fn events(partition: impl Display, log: &LogId) -> String {
    format!("mh.evt.{partition}.{log}")
}

/// The records of all logs that a sandbox has in a partition.
#[must_use]
pub fn events_of(partition: impl Display, sandbox: &SandboxId) -> String {
    format!("mh.evt.{partition}.{sandbox}.>")
}

/// All records of a partition.
#[must_use]
pub fn events_in(partition: impl Display) -> String {
    format!("mh.evt.{partition}.>")
}

/// All records.
pub const ALL_EVENTS: &str = "mh.evt.>";

/// The bodies of the records of a log.
#[must_use]
pub fn bodies(log: &LogId) -> String {
    format!("mh.body.{log}.>")
}

/// One piece of one of them.
#[must_use]
pub fn piece(log: &LogId, digest: impl Display, index: u64) -> String {
    format!("mh.body.{log}.{digest}.{index}")
}

/// The whole of one of them.
#[must_use]
pub fn pieces(log: &LogId, digest: impl Display) -> String {
    format!("mh.body.{log}.{digest}.>")
}

/// The bodies of the records of all logs of a sandbox.
#[must_use]
pub fn bodies_of(sandbox: &SandboxId) -> String {
    format!("mh.body.{sandbox}.>")
}

/// All bodies.
pub const ALL_BODIES: &str = "mh.body.>";

/// One key of a bucket.
#[must_use]
pub fn key(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// All keys of a bucket.
#[must_use]
pub fn keys(bucket: &str) -> String {
    key(bucket, ">")
}

/// The key of one of the [`keys`] of `bucket`.
#[must_use]
pub fn key_of<'a>(bucket: &str, subject: &'a str) -> Option<&'a str> {
    subject.strip_prefix("$KV.")?.strip_prefix(bucket)?.strip_prefix('.')
}

/// All keys of all buckets.
pub const ALL_KEYS: &str = "$KV.>";

/// The values of a bucket as they are stored.
#[must_use]
pub fn changes(bucket: &str) -> String {
    format!("mh.pub.kv.{bucket}.>")
}

/// The bucket whose [`changes`] these are.
#[must_use]
pub fn bucket_of_changes(pattern: &str) -> Option<&str> {
    pattern.strip_prefix("mh.pub.kv.")?.strip_suffix(".>").filter(|bucket| !bucket.is_empty())
}

/// The key of one of the [`changes`] of `bucket`.
#[must_use]
pub fn changed_key<'a>(bucket: &str, subject: &'a str) -> Option<&'a str> {
    subject.strip_prefix("mh.pub.kv.")?.strip_prefix(bucket)?.strip_prefix('.')
}

/// The [`changes`] of all buckets.
pub const ALL_CHANGES: &str = "mh.pub.kv.>";

/// That a stream has another leader.
pub const ALL_ELECTIONS: &str = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.*";

/// A call of the API of streams.
#[must_use]
pub fn api(call: &str) -> String {
    format!("$JS.API.{call}")
}

/// Whether there are streams at all.
pub const API_INFO: &str = "INFO";

/// What a stream is.
#[must_use]
pub fn stream_info(stream: &str) -> String {
    format!("STREAM.INFO.{stream}")
}

/// Messages of a stream, read without a consumer from any of its servers.
#[must_use]
pub fn direct_get(stream: &str) -> String {
    format!("DIRECT.GET.{stream}")
}

/// A message of a stream, as its leader knows it.
#[must_use]
pub fn message_get(stream: &str) -> String {
    format!("STREAM.MSG.GET.{stream}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_from_both_their_subjects() {
        assert_eq!(key_of("LEASES", &key("LEASES", "a.b")), Some("a.b"));
        assert_eq!(key_of("LEASE", &key("LEASES", "a")), None);
        let change = changes("LEASES").replace('>', "a");
        assert_eq!(changed_key("LEASES", &change), Some("a"));
        assert_eq!(changed_key("LEASE", &change), None);
        assert_eq!(bucket_of_changes(&changes("LEASES")), Some("LEASES"));
        assert_eq!(bucket_of_changes(ALL_CHANGES), None);
    }
}
