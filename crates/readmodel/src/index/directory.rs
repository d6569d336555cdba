//! All conversations, each tenant's in their orders of listing, with the counts kept as they change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use types::conversation::Status;
use types::{ConversationId, SandboxId, TenantId};

use super::changes::Followers;
use super::conversation::ConversationState;
use super::cursor::Cursor;

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
    shelves: HashMap<TenantId, Shelf>,
    /// In the order in which they were made.
    children: HashMap<ConversationId, BTreeSet<Key>>,
    sandboxes: HashMap<SandboxId, HashSet<ConversationId>>,
    /// Being deleted: not let in again before that is done.
    hidden: HashSet<ConversationId>,
    pub(super) followers: Followers,
}

/// A tenant's conversations.
#[derive(Default)]
struct Shelf {
    created: BTreeSet<Key>,
    updated: BTreeSet<Key>,
    by_status: HashMap<Status, usize>,
}

struct Slot {
    entry: Arc<ConversationState>,
    /// What the orders know of it.
    created: Arc<str>,
    updated: Arc<str>,
    status: Status,
}

impl Directory {
    pub(super) fn get(&self, id: ConversationId) -> Option<&Arc<ConversationState>> {
        self.slots.get(&id).map(|slot| &slot.entry)
    }

    pub(super) fn all(&self) -> Vec<Arc<ConversationState>> {
        self.slots.values().map(|slot| slot.entry.clone()).collect()
    }

    pub(super) fn in_sandbox(&self, sandbox: &SandboxId) -> Vec<Arc<ConversationState>> {
        let ids = self.sandboxes.get(sandbox).into_iter().flatten();
        ids.filter_map(|id| self.get(*id).cloned()).collect()
    }

    /// Those of its tenant: another may have made children of an earlier conversation with this id.
    pub(super) fn children_of(&self, id: ConversationId) -> Vec<ConversationId> {
        let Some(parent) = self.get(id) else { return Vec::new() };
        let children = self.children.get(&id).into_iter().flatten().map(|(_, child)| *child);
        children.filter(|child| self.get(*child).is_some_and(|child| child.tenant == parent.tenant)).collect()
    }

    pub(super) fn count(&self, tenant: &TenantId, status: Option<Status>) -> usize {
        let Some(shelf) = self.shelves.get(tenant) else { return 0 };
        match status {
            None => shelf.created.len(),
            Some(status) => shelf.by_status.get(&status).copied().unwrap_or_default(),
        }
    }

    /// Takes a conversation out that is to be deleted, and none that has its id by now.
    pub(super) fn hide(&mut self, entry: &ConversationState) -> Option<Arc<ConversationState>> {
        self.get(entry.id).filter(|present| present.is_of(&entry.record()))?;
        let present = self.remove(entry.id)?;
        self.hidden.insert(entry.id);
        Some(present)
    }

    pub(super) fn unhide(&mut self, id: ConversationId) {
        self.hidden.remove(&id);
    }

    pub(super) fn is_hidden(&self, id: ConversationId) -> bool {
        self.hidden.contains(&id)
    }

    /// Puts `entry` in unless its id is taken; answers the one that is in.
    pub(super) fn insert(&mut self, entry: Arc<ConversationState>) -> Arc<ConversationState> {
        if let Some(present) = self.get(entry.id) {
            return present.clone();
        }
        if self.is_hidden(entry.id) {
            return entry;
        }
        let sort_key = entry.sort_key();
        let slot = Slot {
            entry: entry.clone(),
            created: entry.created_at.clone(),
            updated: sort_key.updated.into(),
            status: sort_key.status,
        };
        let shelf = self.shelves.entry(entry.tenant.clone()).or_default();
        shelf.created.insert((slot.created.clone(), entry.id));
        shelf.updated.insert((slot.updated.clone(), entry.id));
        *shelf.by_status.entry(slot.status).or_default() += 1;
        if let Some(parent) = entry.record().parent_conversation_id {
            self.children.entry(parent).or_default().insert((slot.created.clone(), entry.id));
        }
        self.sandboxes.entry(entry.log.sandbox().clone()).or_default().insert(entry.id);
        self.slots.insert(entry.id, slot);
        self.followers.note(entry.id);
        entry
    }

    pub(super) fn remove(&mut self, id: ConversationId) -> Option<Arc<ConversationState>> {
        let slot = self.slots.remove(&id)?;
        self.followers.note(id);
        if let Some(parent) = slot.entry.record().parent_conversation_id
            && let Some(siblings) = self.children.get_mut(&parent)
        {
            siblings.remove(&(slot.created.clone(), id));
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
        if let Some(shelf) = self.shelves.get_mut(&slot.entry.tenant) {
            shelf.created.remove(&(slot.created, id));
            shelf.updated.remove(&(slot.updated, id));
            shelf.drop_status(slot.status);
            if shelf.created.is_empty() {
                self.shelves.remove(&slot.entry.tenant);
            }
        }
        let sandbox = slot.entry.log.sandbox();
        if let Some(others) = self.sandboxes.get_mut(sandbox) {
            others.remove(&id);
            if others.is_empty() {
                self.sandboxes.remove(sandbox);
            }
        }
        Some(slot.entry)
    }

    /// Brings the orders in line with what `entry` says now.
    pub(super) fn reorder(&mut self, entry: &Arc<ConversationState>) {
        let Some(slot) = self.slots.get_mut(&entry.id) else { return };
        let Some(shelf) = self.shelves.get_mut(&entry.tenant) else { return };
        if !Arc::ptr_eq(&slot.entry, entry) {
            return;
        }
        self.followers.note(entry.id);
        let sort_key = entry.sort_key();
        if *slot.updated != *sort_key.updated {
            let key: Arc<str> = sort_key.updated.into();
            let old = std::mem::replace(&mut slot.updated, key.clone());
            shelf.updated.remove(&(old, entry.id));
            shelf.updated.insert((key, entry.id));
        }
        if slot.status != sort_key.status {
            let old = std::mem::replace(&mut slot.status, sort_key.status);
            shelf.drop_status(old);
            *shelf.by_status.entry(sort_key.status).or_default() += 1;
        }
    }

    /// Up to `limit` of a tenant's conversations from `from` on (from the start, if that names nothing), and where those
    /// after them begin.
    pub(super) fn page(
        &self,
        tenant: &TenantId,
        sort: Sort,
        from: Option<Cursor>,
        status: Option<Status>,
        limit: usize,
    ) -> (Vec<Arc<ConversationState>>, Option<Cursor>) {
        let Some(shelf) = self.shelves.get(tenant) else { return (Vec::new(), None) };
        let (order, descending) = match sort {
            Sort::Created => (&shelf.created, false),
            Sort::CreatedDesc => (&shelf.created, true),
            Sort::Updated => (&shelf.updated, false),
            Sort::UpdatedDesc => (&shelf.updated, true),
        };
        let start = from.and_then(|cursor| match cursor.at {
            Some(at) => Some((at, cursor.id)),
            None => self.place_of(tenant, sort, cursor.id),
        });
        let bound = start.map_or(Bound::Unbounded, Bound::Included);
        if descending {
            self.take(order.range((Bound::Unbounded, bound)).rev(), status, limit)
        } else {
            self.take(order.range((bound, Bound::Unbounded)), status, limit)
        }
    }

    fn place_of(&self, tenant: &TenantId, sort: Sort, id: ConversationId) -> Option<Key> {
        let slot = self.slots.get(&id).filter(|slot| slot.entry.tenant == *tenant)?;
        let at = match sort {
            Sort::Created | Sort::CreatedDesc => &slot.created,
            Sort::Updated | Sort::UpdatedDesc => &slot.updated,
        };
        Some((at.clone(), id))
    }

    fn take<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        status: Option<Status>,
        limit: usize,
    ) -> (Vec<Arc<ConversationState>>, Option<Cursor>) {
        let mut matching = keys
            .filter_map(|key| Some((key, self.slots.get(&key.1)?)))
            .filter(|(_, slot)| status.is_none_or(|status| slot.status == status));
        let items = matching.by_ref().take(limit).map(|(_, slot)| slot.entry.clone()).collect();
        (items, matching.next().map(|((at, id), _)| Cursor { id: *id, at: Some(at.clone()) }))
    }
}

impl Shelf {
    fn drop_status(&mut self, status: Status) {
        if let Some(count) = self.by_status.get_mut(&status) {
            *count = count.saturating_sub(1);
        }
    }
}
