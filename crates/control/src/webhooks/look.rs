//! What a courier finds when it begins: what was left to tell when there was nobody to tell it, and what nobody needs.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use ports::{Change, Error, Result};
use readmodel::index::ConversationState;
use tokio::time::Instant;
use types::ConversationId;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};

use super::courier::{Courier, Desk};
use super::cursor::{Cursor, conversation_of, key};
use super::ending::is_left;

/// A key of an end, and how much is under it.
pub(super) type Kept = (String, usize);

impl Courier {
    /// What was left to tell when there was nobody to tell it.
    pub(super) async fn look_through(&self, desk: &mut Desk) -> Result<()> {
        let mut without = HashMap::new();
        for entry in self.index.all() {
            without.insert(key(&self.endings.hook, &entry), entry);
        }
        let mut orphans = Vec::new();
        let mut scan = self.kv.scan(WEBHOOKS);
        while let Some(change) = scan.try_next().await? {
            let Change::Put { key, entry: stored } = change else { continue };
            let Some(id) = conversation_of(&self.endings.hook, &key) else { continue };
            match (without.remove(&key), serde_json::from_slice::<Cursor>(&stored.value)) {
                (Some(entry), Ok(cursor)) => self.note_left(desk, &entry, Some(&cursor)),
                (Some(entry), Err(_)) => self.note_left(desk, &entry, None),
                (None, _) => orphans.push((id, key)),
            }
        }
        drop(scan);
        for entry in without.values().filter(|entry| self.cursors.may_be_new(entry)) {
            self.note_left(desk, entry, None);
        }
        let ends = self.find_ends().await?;
        self.note_ends(desk, ends);
        for (id, key) in orphans {
            if let Err(error) = self.remove_orphan(id, &key).await {
                tracing::warn!(hook = self.number, %error, "how far a webhook was told of a conversation that is gone stays");
            }
        }
        Ok(())
    }

    /// It has waited long enough.
    fn note_left(&self, desk: &mut Desk, entry: &ConversationState, cursor: Option<&Cursor>) {
        let now = Instant::now();
        if cursor.is_none_or(|cursor| cursor.is_behind(entry)) {
            desk.events.touch(&entry.id, now, now);
        }
        if cursor.is_none_or(|cursor| cursor.is_untold(entry)) {
            desk.infos.touch(&entry.id, now, now);
        }
    }

    /// All that is kept of ends.
    pub(super) async fn find_ends(&self) -> Result<Vec<Kept>> {
        let mut found = Vec::new();
        let mut scan = self.kv.scan(WEBHOOK_ENDS);
        while let Some(change) = scan.try_next().await? {
            let Change::Put { key, entry } = change else { continue };
            if self.endings.conversation(self.record_of(&key)).is_some() {
                found.push((key, entry.value.len()));
            }
        }
        Ok(found)
    }

    /// Removes what tries have left that were cut off: pieces that are old and that no record names. The keys that have gone.
    pub(super) async fn remove_left(&self, keys: Vec<String>) -> Vec<String> {
        let mut left: HashMap<&str, Vec<&str>> = HashMap::new();
        let pieces = keys.iter().filter_map(|key| self.endings.record_of_piece(key));
        for (record, name) in pieces.filter(|(_, name)| is_left(name)) {
            left.entry(record).or_default().push(name);
        }
        let mut gone = Vec::new();
        for (record, names) in left {
            let removing = async {
                let ending = self.endings.get(record).await?;
                let named: HashSet<String> = ending.iter().flat_map(|ending| ending.value.pieces()).collect();
                for name in names.into_iter().filter(|name| !named.contains(*name)) {
                    self.endings.remove_piece(record, name).await?;
                    gone.push(format!("{record}.{name}"));
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = removing.await {
                tracing::warn!(hook = self.number, %error, "events that nobody is told any more stay");
            }
        }
        gone
    }

    pub(super) fn note_ends(&self, desk: &mut Desk, ends: Vec<Kept>) {
        for (key, bytes) in ends {
            self.note_end(desk, &key, bytes);
        }
    }

    /// A cursor of a conversation that is not there, unless its end is still to be told, or it is only not known here yet.
    async fn remove_orphan(&self, id: ConversationId, key: &str) -> Result<()> {
        let is_there = self.index.read(id).await?.is_some() || self.endings.get(key).await?.is_some();
        match is_there {
            true => Ok(()),
            false => self.kv.delete(WEBHOOKS, key, ports::Expect::Anything).await,
        }
    }
}
