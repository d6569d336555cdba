//! What is known of the buckets without reading them.

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use parking_lot::Mutex;
use ports::Change;
use ports::feed::{self, Feed, Listener};

use super::read;
use crate::disk::Disk;
use crate::place::{Place, bucket_folder};

/// What is known of the buckets. Revisions are numbered by bucket, so that they grow over deletions too.
#[derive(Default)]
pub struct Buckets {
    indexes: Mutex<HashMap<String, Index>>,
    watchers: Mutex<HashMap<String, Vec<Feed<Change>>>>,
}

struct Index {
    revisions: HashMap<String, u64>,
    highest: u64,
}

impl Buckets {
    /// The revision of `key`, and the highest in its bucket. Reads the bucket when it is first used.
    pub fn revisions(&self, disk: &Disk, bucket: &str, key: &str) -> io::Result<(Option<u64>, u64)> {
        let mut indexes = self.indexes.lock();
        let index = match indexes.get(bucket) {
            Some(index) => index,
            None => indexes.entry(bucket.to_owned()).or_insert(Index::load(disk, bucket)?),
        };
        Ok((index.revisions.get(key).copied(), index.highest))
    }

    /// Notes a change that is stored and tells those who watch.
    pub fn changed(&self, bucket: &str, revision: u64, change: Change) {
        if let Some(index) = self.indexes.lock().get_mut(bucket) {
            index.highest = index.highest.max(revision);
            match &change {
                Change::Put { key, .. } => drop(index.revisions.insert(key.clone(), revision)),
                Change::Deleted { key } => drop(index.revisions.remove(key)),
                Change::Lagged => {}
            }
        }
        let mut watchers = self.watchers.lock();
        let Some(feeds) = watchers.get_mut(bucket) else { return };
        feeds.retain(|feed| !feed.is_abandoned());
        for feed in feeds.iter() {
            // One without room is told so by the feed.
            let _ = feed.push(change.clone());
        }
    }

    pub fn watch(&self, bucket: &str) -> Listener<Change> {
        let (feed, listener) = feed::feed();
        let mut watchers = self.watchers.lock();
        let feeds = watchers.entry(bucket.to_owned()).or_default();
        feeds.retain(|feed| !feed.is_abandoned());
        feeds.push(feed);
        listener
    }
}

impl Index {
    fn load(disk: &Disk, bucket: &str) -> io::Result<Self> {
        let (Ok(folder), Ok(noted)) = (bucket_folder(bucket), Place::highest_revision(bucket)) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let revisions: HashMap<_, _> = read::revisions(&disk.in_root(&folder))?.into_iter().collect();
        let noted = match read::revision(&disk.path(&noted)) {
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            noted => noted?,
        };
        let highest = revisions.values().copied().fold(noted, u64::max);
        Ok(Self { revisions, highest })
    }
}
