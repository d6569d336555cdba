//! Which conversations have changed since somebody looked, for those who follow all of a tenant, or all there are.
//!
//! A conversation that changes again before it is looked at is there once: who is slow finds less to look at, and misses
//! nothing, for what he finds is as it is then. So nothing here grows but with the conversations themselves.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use types::{ConversationId, TenantId};

use super::Index;

/// Conversations that may wait to be looked at, those that are gone with them.
const MOST: usize = 1 << 17;

/// Of one follower. Dropped, it is not told of anything any more.
pub struct News {
    index: Index,
    /// `None`: of all of them.
    tenant: Option<TenantId>,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    changed: Mutex<Changed>,
    told: Notify,
}

#[derive(Default)]
struct Changed {
    /// In the order in which they have changed first.
    order: VecDeque<ConversationId>,
    waiting: HashSet<ConversationId>,
    is_full: bool,
}

/// Who is told, by tenant; below `None` those who are told of all.
#[derive(Default)]
pub(super) struct Followers(HashMap<Option<TenantId>, Vec<Arc<Heard>>>);

impl Index {
    /// Tells of conversations of `tenant` that change, come or go from now on.
    #[must_use]
    pub fn news(&self, tenant: &TenantId) -> News {
        self.news_below(Some(tenant.clone()))
    }

    /// The same of conversations of all tenants.
    #[must_use]
    pub fn news_of_all(&self) -> News {
        self.news_below(None)
    }

    fn news_below(&self, tenant: Option<TenantId>) -> News {
        let heard = Arc::new(Heard::default());
        self.directory_mut().followers.0.entry(tenant.clone()).or_default().push(heard.clone());
        News { index: self.clone(), tenant, heard }
    }
}

impl News {
    /// The next conversation to look at; `None` when more have changed than can be waited for. Nothing is lost when this is
    /// cancelled.
    pub async fn next(&self) -> Option<ConversationId> {
        self.heard.next().await
    }

    /// Has it looked at in its turn, changed or not.
    pub fn add(&self, id: ConversationId) {
        self.heard.add(id);
    }
}

impl Drop for News {
    fn drop(&mut self) {
        let mut directory = self.index.directory_mut();
        let Entry::Occupied(mut followers) = directory.followers.0.entry(self.tenant.clone()) else { return };
        followers.get_mut().retain(|heard| !Arc::ptr_eq(heard, &self.heard));
        if followers.get().is_empty() {
            followers.remove();
        }
    }
}

impl Followers {
    pub(super) fn tell(&self, tenant: &TenantId, id: ConversationId) {
        if self.0.is_empty() {
            return;
        }
        let followers = [Some(tenant.clone()), None];
        followers.iter().filter_map(|below| self.0.get(below)).flatten().for_each(|heard| heard.add(id));
    }
}

impl Heard {
    async fn next(&self) -> Option<ConversationId> {
        loop {
            let told = self.told.notified();
            {
                let mut changed = self.changed.lock();
                if changed.is_full {
                    return None;
                }
                if let Some(id) = changed.order.pop_front() {
                    changed.waiting.remove(&id);
                    return Some(id);
                }
            }
            told.await;
        }
    }

    fn add(&self, id: ConversationId) {
        let mut changed = self.changed.lock();
        if changed.is_full || !changed.waiting.insert(id) {
            return;
        }
        if changed.order.len() < MOST {
            changed.order.push_back(id);
        } else {
            *changed = Changed { is_full: true, ..Changed::default() };
        }
        drop(changed);
        self.told.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_conversation_that_changes_often_is_looked_at_once_and_again_when_it_changes_later() {
        let news = Heard::default();
        let [one, other] = [(); 2].map(|()| ConversationId::random());
        [one, other, one, one].into_iter().for_each(|id| news.add(id));
        assert_eq!((news.next().await, news.next().await), (Some(one), Some(other)));
        assert_eq!(news.next().now_or_never(), None);
        news.add(one);
        assert_eq!(news.next().await, Some(one));
    }

    #[tokio::test]
    async fn who_does_not_look_is_told_that_it_is_too_much_and_takes_no_more_room() {
        let news = Heard::default();
        (0..=MOST).for_each(|_| news.add(ConversationId::random()));
        assert_eq!(news.next().await, None);
        assert_eq!(news.changed.lock().order.capacity(), 0);
    }
}
