//! The names of everything that is stored.

use ports::{Error, LogId, Result};
use types::SandboxId;

/// Of this layout; a newer one is never touched.
pub const VERSION: u64 = 1;
/// The bucket of what is fixed once: see [`PARTITIONS`], [`LAYOUT_VERSION`].
pub const CLUSTER: &str = "CLUSTER";
pub const PARTITIONS: &str = "partitions";
pub const LAYOUT_VERSION: &str = "layout";
/// The stream of blobs and of records' bodies, in pieces.
pub const BLOBS: &str = "BLOBS";

/// How logs are spread over streams. Fixed for the life of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub partitions: u64,
}

impl Layout {
    pub fn stream(&self, log: &LogId) -> String {
        event_stream(self.partition(log))
    }

    /// Where the records of `log` are published.
    pub fn subject(&self, log: &LogId) -> String {
        format!("mh.evt.{}.{log}", self.partition(log))
    }

    /// The streams and subjects that all logs of a sandbox are in.
    pub fn logs_of(&self, sandbox: &SandboxId) -> impl Iterator<Item = (String, String)> {
        (0..self.partitions)
            .map(move |partition| (event_stream(partition), format!("mh.evt.{partition}.{sandbox}.>")))
    }

    fn partition(&self, log: &LogId) -> u64 {
        fnv1a(log.to_string().as_bytes()) % self.partitions.max(1)
    }
}

pub fn event_stream(partition: u64) -> String {
    format!("EVENTS_{partition}")
}

pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

pub fn key_subject(bucket: &str, key: &str) -> Result<String> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(is_name);
    match key.len() <= 200 && key.split('.').all(plain) {
        true => Ok(format!("$KV.{bucket}.{key}")),
        false => Err(Error::Internal(format!("not a key: {key:?}"))),
    }
}

/// Where the stored values of `bucket` are republished, up to the key.
pub fn watched(bucket: &str) -> String {
    format!("mh.pub.kv.{bucket}.")
}

pub fn blob_subject(name: &str) -> Result<String> {
    check_name(name)?;
    Ok(format!("mh.blob.{name}"))
}

/// Below it are the bodies of the records of `log`, each under its digest.
pub fn bodies_subject(log: &LogId) -> String {
    format!("mh.body.{log}")
}

/// The bodies of the records of all logs of a sandbox.
pub fn bodies_of(sandbox: &SandboxId) -> String {
    format!("mh.body.{sandbox}.>")
}

fn check_name(name: &str) -> Result<()> {
    match (1..=100).contains(&name.len()) && name.bytes().all(is_name) {
        true => Ok(()),
        false => Err(Error::Internal(format!("not a name: {name:?}"))),
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// FNV-1a with 64 bits: must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::BashScope;

    #[test]
    fn a_log_stays_where_it_was() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        let layout = Layout { partitions: 4 };
        assert_eq!(layout.subject(&log), "mh.evt.3.default._bash");
        assert_eq!(layout.stream(&log), "EVENTS_3");
    }

    #[test]
    fn no_name_leads_out_of_its_subject() {
        for name in ["", "*", ">", "a.b", "a b", "a\r\n", &"x".repeat(101)] {
            assert!(blob_subject(name).is_err(), "{name:?}");
        }
        for key in ["", ".", "a..b", "a.", "*", "a.>", "a b", &"x".repeat(201)] {
            assert!(key_subject("B", key).is_err(), "{key:?}");
        }
        assert_eq!(key_subject("B", "a.B_1-").unwrap(), "$KV.B.a.B_1-");
    }
}
