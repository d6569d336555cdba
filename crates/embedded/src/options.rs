//! Where things are kept, and how durable an acknowledgement is.

use std::path::{Path, PathBuf};

/// Where things are kept, and how durable an acknowledgement is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store's own folder: journal, key-value buckets and the lock.
    pub root: PathBuf,
    /// Conversation logs, one folder each: `<32 hex>/events.jsonl`.
    pub conversations: PathBuf,
    /// Logs whose name begins with `_`, one file each.
    pub bash_events: PathBuf,
    pub fsync: Fsync,
}

impl Options {
    /// With everything in one folder.
    #[must_use]
    pub fn within(folder: &Path, fsync: Fsync) -> Self {
        let [root, conversations, bash_events] =
            ["store", "conversations", "bash_events"].map(|name| folder.join(name));
        Self { root, conversations, bash_events, fsync }
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Once it is on the disk: it survives a crash of the machine.
    #[default]
    Always,
    /// Once the operating system has it: it survives a crash of the process, and 50 ms later one of the machine.
    Interval,
}
