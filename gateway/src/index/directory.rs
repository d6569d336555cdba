//! All conversations in their orders of listing, with the counts kept as they change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use types::ConversationId;
use types::conversation::Status;

use super::entry::Entry;

/// How a list is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    Created,
    #[default]
    CreatedDesc,
    Updated,
    UpdatedDesc,
}

type Key = (Arc<str>, ConversationId);

#[derive(Default)]
pub(super) struct Directory {
    slots: HashMap<ConversationId, Slot>,
    created: BTreeSet<Key>,
    updated: BTreeSet<Key>,
    by_status: HashMap<Status, usize>,
    children: HashMap<ConversationId, Vec<ConversationId>>,
    /// Being deleted: not let in again before that is done.
    hidden: HashSet<ConversationId>,
}

struct Slot {
    entry: Arc<Entry>,
    /// What the orders know of it.
    created: Arc<str>,
    updated: Arc<str>,
    status: Status,
}

impl Directory {
    pub(super) fn get(&self, id: ConversationId) -> Option<&Arc<Entry>> {
        self.slots.get(&id).map(|slot| &slot.entry)
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.slots.values().map(|slot| slot.entry.clone()).collect()
    }

    pub(super) fn children_of(&self, id: ConversationId) -> Vec<ConversationId> {
        self.children.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn count(&self, status: Option<Status>) -> usize {
        match status {
            None => self.slots.len(),
            Some(status) => self.by_status.get(&status).copied().unwrap_or_default(),
        }
    }

    /// Takes a conversation out that is to be deleted.
    pub(super) fn hide(&mut self, id: ConversationId) -> Option<Arc<Entry>> {
        let entry = self.remove(id)?;
        self.hidden.insert(id);
        Some(entry)
    }

    pub(super) fn unhide(&mut self, id: ConversationId) {
        self.hidden.remove(&id);
    }

    pub(super) fn is_hidden(&self, id: ConversationId) -> bool {
        self.hidden.contains(&id)
    }

    /// Puts `entry` in unless its id is taken; answers the one that is in.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Arc<Entry> {
        if let Some(present) = self.get(entry.id) {
            return present.clone();
        }
        if self.is_hidden(entry.id) {
            return entry;
        }
        let standing = entry.standing();
        let slot = Slot {
            entry: entry.clone(),
            created: entry.created_at.clone(),
            updated: standing.updated.into(),
            status: standing.status,
        };
        self.created.insert((slot.created.clone(), entry.id));
        self.updated.insert((slot.updated.clone(), entry.id));
        *self.by_status.entry(slot.status).or_default() += 1;
        if let Some(parent) = entry.record().parent_conversation_id {
            self.children.entry(parent).or_default().push(entry.id);
        }
        self.slots.insert(entry.id, slot);
        entry
    }

    pub(super) fn remove(&mut self, id: ConversationId) -> Option<Arc<Entry>> {
        let slot = self.slots.remove(&id)?;
        self.created.remove(&(slot.created, id));
        self.updated.remove(&(slot.updated, id));
        self.drop_status(slot.status);
        let parent = slot.entry.record().parent_conversation_id;
        if let Some(siblings) = parent.and_then(|parent| self.children.get_mut(&parent)) {
            siblings.retain(|sibling| *sibling != id);
        }
        Some(slot.entry)
    }

    /// Brings the orders in line with what `entry` says now.
    pub(super) fn reorder(&mut self, entry: &Arc<Entry>) {
        let Some(slot) = self.slots.get_mut(&entry.id) else { return };
        if !Arc::ptr_eq(&slot.entry, entry) {
            return;
        }
        let standing = entry.standing();
        if *slot.updated != *standing.updated {
            let key: Arc<str> = standing.updated.into();
            let old = std::mem::replace(&mut slot.updated, key.clone());
            self.updated.remove(&(old, entry.id));
            self.updated.insert((key, entry.id));
        }
        if slot.status != standing.status {
            let old = std::mem::replace(&mut slot.status, standing.status);
            self.drop_status(old);
            *self.by_status.entry(standing.status).or_default() += 1;
        }
    }

    fn drop_status(&mut self, status: Status) {
        if let Some(count) = self.by_status.get_mut(&status) {
            *count = count.saturating_sub(1);
        }
    }

    /// Up to `limit` conversations from `from` on (from the start, if that is not there), and the id of the
    /// one after them.
    pub(super) fn page(
        &self,
        sort: Sort,
        from: Option<ConversationId>,
        status: Option<Status>,
        limit: usize,
    ) -> (Vec<Arc<Entry>>, Option<ConversationId>) {
        let (order, descending) = match sort {
            Sort::Created => (&self.created, false),
            Sort::CreatedDesc => (&self.created, true),
            Sort::Updated => (&self.updated, false),
            Sort::UpdatedDesc => (&self.updated, true),
        };
        let start = from.and_then(|id| self.slots.get(&id)).map(|slot| {
            let at = match sort {
                Sort::Created | Sort::CreatedDesc => &slot.created,
                Sort::Updated | Sort::UpdatedDesc => &slot.updated,
            };
            (at.clone(), slot.entry.id)
        });
        let bound = start.map_or(Bound::Unbounded, Bound::Included);
        if descending {
            self.take(order.range((Bound::Unbounded, bound)).rev(), status, limit)
        } else {
            self.take(order.range((bound, Bound::Unbounded)), status, limit)
        }
    }

    fn take<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        status: Option<Status>,
        limit: usize,
    ) -> (Vec<Arc<Entry>>, Option<ConversationId>) {
        let mut matching = keys
            .filter_map(|(_, id)| self.slots.get(id))
            .filter(|slot| status.is_none_or(|status| slot.status == status));
        let items = matching.by_ref().take(limit).map(|slot| slot.entry.clone()).collect();
        (items, matching.next().map(|slot| slot.entry.id))
    }
}
