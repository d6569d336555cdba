//! Keeps the index up with the bus and the bucket.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use ports::{Change, Changes, Delivery, KvEntry, Message, Ports, Subscription, subjects};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{ConversationId, LogId};

use super::conversation::ConversationState;
use super::records::Sighting;
use super::{CONVERSATIONS, Index};
use crate::followed::Taken;

/// Log reads at a time when many conversations are behind.
pub(super) const PARALLEL_READS: usize = 16;

pub(super) struct Feeds {
    stored: Subscription,
    records: Changes,
}

/// From here on nothing is missed.
pub(super) async fn subscribe(ports: &Ports) -> ports::Result<Feeds> {
    let stored = ports.bus.subscribe(subjects::ALL_STORED, None).await?;
    let records = ports.kv.watch(CONVERSATIONS).await?;
    Ok(Feeds { stored, records })
}

pub(super) fn spawn(index: &Index, feeds: Feeds, tasks: &TaskTracker, drain: &CancellationToken) {
    let until = drain.clone().cancelled_owned();
    let follower = index.clone();
    let mut stored = Box::pin(feeds.stored.take_until(until));
    tasks.spawn(async move {
        while let Some(delivery) = stored.next().await {
            match delivery {
                Delivery::Message(message) => follower.take_stored(message).await,
                Delivery::Lagged => follower.catch_up_all().await,
            }
        }
    });
    let until = drain.clone().cancelled_owned();
    let follower = index.clone();
    let mut records = Box::pin(feeds.records.take_until(until));
    tasks.spawn(async move {
        while let Some(change) = records.next().await {
            follower.take_change(change).await;
        }
    });
}

impl Index {
    async fn take_stored(&self, message: Message) {
        let Some(log) = subjects::log_of(&message.subject) else { return };
        let LogId::Conversation { id, .. } = log else { return };
        // A worker may name a log of its own sandbox by the id of anybody's conversation.
        let Some(entry) = self.any(id).filter(|entry| entry.log == log) else { return };
        match entry.followed.take_message(&message) {
            Taken::New(true) => self.directory_mut().reorder(&entry),
            Taken::New(false) | Taken::Known | Taken::First => {}
            Taken::Gap => self.catch_up_or_log(&entry).await,
        }
    }

    async fn take_change(&self, change: Change) {
        match change {
            Change::Put { key, entry } => {
                let Ok(id) = ConversationId::from_str(&key) else { return };
                let Some(known) = self.any(id) else { return self.refresh(id).await };
                if known.state().revision >= entry.revision {
                    return;
                }
                match Sighting::read(&entry) {
                    Ok(seen) if known.is_of(&seen.record) => known.replace_record(seen),
                    Ok(_) => self.refresh(id).await,
                    Err(error) => tracing::warn!(conversation.id = %id, %error, "a record cannot be read"),
                }
            }
            Change::Deleted { key } => {
                let Ok(id) = ConversationId::from_str(&key) else { return };
                self.refresh(id).await;
            }
            Change::Lagged => {
                if let Err(error) = self.refresh_all().await {
                    tracing::warn!(%error, "the list of conversations cannot be read again");
                }
            }
        }
    }

    /// Brings one conversation in line with the bucket.
    async fn refresh(&self, id: ConversationId) {
        let before = self.any(id);
        let outcome = match self.0.ports.kv.get(CONVERSATIONS, &id.hex()).await {
            Ok(Some(stored)) => self.take_in(&stored).await,
            Ok(None) => {
                self.drop_if_same(before.as_ref());
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(conversation.id = %id, %error, "a record cannot be read");
        }
    }

    async fn take_in(&self, stored: &KvEntry) -> ports::Result<()> {
        self.adopt(Sighting::read(stored)?).await.map(drop)
    }

    async fn refresh_all(&self) -> ports::Result<()> {
        let known = self.directory().all();
        let mut found = BTreeSet::new();
        let mut scan = self.0.ports.kv.scan(CONVERSATIONS);
        while let Some(change) = scan.try_next().await? {
            match change {
                Change::Put { key, entry } => {
                    self.take_in(&entry).await?;
                    found.insert(key);
                }
                Change::Deleted { key } => {
                    found.remove(&key);
                }
                Change::Lagged => {}
            }
        }
        for entry in known.iter().filter(|entry| !found.contains(&entry.id.hex())) {
            self.drop_if_same(Some(entry));
        }
        Ok(())
    }

    /// Removes `entry` unless another conversation has its id by now.
    pub(super) fn drop_if_same(&self, entry: Option<&Arc<ConversationState>>) {
        let Some(entry) = entry else { return };
        let mut directory = self.directory_mut();
        if directory.get(entry.id).is_some_and(|present| Arc::ptr_eq(present, entry)) {
            directory.remove(entry.id);
        }
    }

    /// Folds in what every log has.
    pub(super) async fn catch_up_all(&self) {
        let entries = self.directory().all();
        stream::iter(entries)
            .for_each_concurrent(PARALLEL_READS, async |entry| {
                let behind = match self.0.ports.log.tail(&entry.log).await {
                    Ok(tail) => tail > entry.seq(),
                    Err(_) => true,
                };
                if behind {
                    self.catch_up_or_log(&entry).await;
                }
            })
            .await;
    }

    pub(super) async fn catch_up_or_log(&self, entry: &Arc<ConversationState>) {
        if let Err(error) = self.catch_up(entry).await {
            tracing::warn!(conversation.id = %entry.id, %error, "a log cannot be followed");
        }
    }
}
