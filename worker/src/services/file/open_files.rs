//! Files that are being downloaded, kept open between the pieces.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use types::calls::{FileStamp, Scope};

const MOST: usize = 64;
const IDLE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct OpenFiles {
    /// The last used at the end.
    entries: Mutex<Vec<OpenFile>>,
}

struct OpenFile {
    key: Key,
    held: Held,
    used: Instant,
}

#[derive(Clone, PartialEq)]
pub(super) struct Key {
    pub(super) scope: Scope,
    pub(super) path: String,
    pub(super) stamp: FileStamp,
}

#[derive(Clone)]
pub(super) struct Held {
    pub(super) file: Arc<File>,
    /// False where the size and the times of a file say nothing, as below `/proc`.
    pub(super) sized: bool,
}

impl OpenFiles {
    pub(super) fn get(&self, key: &Key) -> Option<Held> {
        let mut entries = self.entries.lock();
        let index = entries.iter().rposition(|entry| entry.key == *key)?;
        let mut entry = entries.remove(index);
        entry.used = Instant::now();
        let held = entry.held.clone();
        entries.push(entry);
        Some(held)
    }

    pub(super) fn put(&self, key: Key, held: Held) {
        let mut entries = self.entries.lock();
        if entries.len() >= MOST {
            entries.remove(0);
        }
        entries.push(OpenFile { key, held, used: Instant::now() });
    }

    pub(super) fn close_idle(&self) {
        self.entries.lock().retain(|entry| entry.used.elapsed() < IDLE);
    }
}
