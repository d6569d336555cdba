//! The names of everything that is stored.

use ports::{Error, Result};
use types::subjects::store;
use types::{LogId, SandboxId};

/// Of this layout; a newer one is never touched.
pub const VERSION: u64 = 1;
/// Keys of the bucket `CLUSTER`, of what is fixed once.
pub const PARTITIONS: &str = "partitions";
pub const LAYOUT_VERSION: &str = "layout";
pub const MARK: &str = "mark";

/// How logs are spread over streams. Fixed for the life of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub partitions: u64,
}

impl Layout {
    pub fn stream(&self, log: &LogId) -> String {
        store::event_stream(self.partition(log))
    }

    /// Where the records of `log` are published.
    pub fn subject(&self, log: &LogId) -> String {
        store::events(self.partition(log), log)
    }

    /// The streams and subjects that all logs of a sandbox are in.
    pub fn logs_of(&self, sandbox: &SandboxId) -> impl Iterator<Item = (String, String)> {
        (0..self.partitions)
            .map(move |partition| (store::event_stream(partition), store::events_of(partition, sandbox)))
    }

    fn partition(&self, log: &LogId) -> u64 {
        fnv1a(log.to_string().as_bytes()) % self.partitions.max(1)
    }
}

pub fn key_subject(bucket: &str, key: &str) -> Result<String> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(is_name);
    match key.len() <= 200 && key.split('.').all(plain) {
        true => Ok(store::key(bucket, key)),
        false => Err(Error::Internal(format!("not a key: {key:?}"))),
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
    fn no_key_leads_out_of_its_subject() {
        for key in ["", ".", "a..b", "a.", "*", "a.>", "a b", &"x".repeat(201)] {
            assert!(key_subject("B", key).is_err(), "{key:?}");
        }
        assert_eq!(key_subject("B", "a.B_1-").unwrap(), "$KV.B.a.B_1-");
    }
}
