//! What a courier finds when it begins: what was left to tell when there was nobody to tell it, and what nobody needs.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use ports::{Change, Result};
use readmodel::index::ConversationState;
use tokio::time::Instant;
use types::ConversationId;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};

use super::courier::{Courier, Desk};
use super::cursor::{Cursor, conversation_of, key};
use super::ending::{Ending, is_left};

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

    /// All that is kept of ends, without the pieces that a try has left which was cut off.
    pub(super) async fn find_ends(&self) -> Result<Vec<Kept>> {
        let (mut found, mut named, mut left) = (Vec::new(), HashSet::new(), Vec::new());
        let mut scan = self.kv.scan(WEBHOOK_ENDS);
        while let Some(change) = scan.try_next().await? {
            let Change::Put { key, entry } = change else { continue };
            if self.endings.conversation(&key).is_some() {
                let ending = serde_json::from_slice::<Ending>(&entry.value);
                named.extend(ending.iter().flat_map(Ending::pieces).map(|name| format!("{key}.{name}")));
            } else if let Some((_, name)) = self.endings.record_of_piece(&key) {
                left.extend(is_left(name).then(|| key.clone()));
            } else {
                continue;
            }
            found.push((key, entry.value.len()));
        }
        drop(scan);
        for piece in left.iter().filter(|piece| !named.contains(*piece)) {
            if let Err(error) = self.remove_left(piece).await {
                tracing::warn!(hook = self.number, %error, "events that nobody is told any more stay");
            }
        }
        Ok(found)
    }

    pub(super) fn note_ends(&self, desk: &mut Desk, ends: Vec<Kept>) {
        for (key, bytes) in ends {
            self.note_end(desk, &key, bytes);
        }
    }

    /// Unless it was named meanwhile.
    async fn remove_left(&self, piece: &str) -> Result<()> {
        let Some((record, name)) = self.endings.record_of_piece(piece) else { return Ok(()) };
        let ending = self.endings.get(record).await?;
        if ending.is_some_and(|ending| ending.value.pieces().any(|named| named == name)) {
            return Ok(());
        }
        self.endings.remove_piece(record, name).await
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
