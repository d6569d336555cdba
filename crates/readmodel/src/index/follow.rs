//! Folds what the bus and the bucket tell, and waits for nothing on the way.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use ports::retry::Backoff;
use ports::{Change, Changes, Delivery, Error, Message, Ports, Subscription};
use tokio::sync::{Notify, mpsc};
use types::{ConversationId, LogId, subjects};

use super::behind::Wish;
use super::conversation::ConversationState;
use super::records::Sighting;
use super::{CONVERSATIONS, Index};
use crate::followed::Taken;
use crate::vital::{contained, contained_now};

/// Log reads at a time when many conversations are behind.
pub(super) const PARALLEL_READS: usize = 16;

/// Tasks that fold records.
const PARTITIONS: usize = 4;

/// Records that a partition may have waiting; each may have a mebibyte. What is more waits in the subscription, which
/// is bounded and says so.
const WAITING: usize = 16;

/// Between two looks for what was missed: who makes records get lost all the time has nobody asked all the time.
const REST: Duration = Duration::from_secs(1);

/// Before what could not be looked for is looked for again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

pub(super) struct Feeds {
    stored: Subscription,
    records: Changes,
}

/// What a partition is given, in the order in which it was published.
enum Dealt {
    Stored(LogId, Message),
    /// Records before this were dropped: those of any log.
    Lagged,
}

/// From here on nothing is missed.
pub(super) async fn subscribe(ports: &Ports) -> ports::Result<Feeds> {
    let stored = ports.bus.subscribe(subjects::ALL_STORED, None).await?;
    let records = ports.kv.watch(CONVERSATIONS).await?;
    Ok(Feeds { stored, records })
}

pub(super) fn spawn(index: &Index, feeds: Feeds) {
    let partitions = (0..PARTITIONS).map(|partition| spawn_partition(index, partition)).collect();
    index.spawn_vital("dealing out records", deal(feeds.stored, partitions));
    let listing = Arc::new(Notify::new());
    index.spawn_vital("listing conversations", list_when_told(index.clone(), listing.clone()));
    index.spawn_vital(
        "following the list of conversations",
        take_changes(index.clone(), feeds.records, listing),
    );
}

async fn take_changes(index: Index, records: Changes, listing: Arc<Notify>) {
    let take = |change| contained_now("taking in a conversation", || index.take_change(change, &listing));
    let mut taken = records.map(take);
    while taken.next().await.is_some() {}
}

fn spawn_partition(index: &Index, partition: usize) -> mpsc::Sender<Dealt> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let looking = Arc::new(Notify::new());
    index.spawn_vital("folding records", fold(index.clone(), receiver, looking.clone()));
    index.spawn_vital("looking for missed records", look_when_told(index.clone(), partition, looking));
    sender
}

fn partition_of(log: &LogId) -> usize {
    let mut hasher = DefaultHasher::new();
    log.hash(&mut hasher);
    usize::try_from(hasher.finish() % PARTITIONS as u64).unwrap_or_default()
}

/// Hands each record to the partition of its log.
async fn deal(mut stored: Subscription, partitions: Vec<mpsc::Sender<Dealt>>) {
    while let Some(delivery) = stored.next().await {
        match delivery {
            Delivery::Message(message) => {
                let Some(log @ LogId::Conversation { .. }) = subjects::log_of(&message.subject) else {
                    continue;
                };
                let Some(partition) = partitions.get(partition_of(&log)) else { continue };
                if partition.send(Dealt::Stored(log, message)).await.is_err() {
                    return;
                }
            }
            Delivery::Lagged => {
                for partition in &partitions {
                    if partition.send(Dealt::Lagged).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn fold(index: Index, mut dealt: mpsc::Receiver<Dealt>, looking: Arc<Notify>) {
    while let Some(dealt) = dealt.recv().await {
        match dealt {
            Dealt::Stored(log, message) => {
                contained_now("folding a record", || index.take_stored(&log, &message));
            }
            Dealt::Lagged => looking.notify_one(),
        }
    }
}

/// Looks for what a partition has missed, each time it is told that it may have missed something.
async fn look_when_told(index: Index, partition: usize, looking: Arc<Notify>) {
    loop {
        looking.notified().await;
        until_done("looking for missed records", || index.look_for_missed(partition)).await;
        tokio::time::sleep(REST).await;
    }
}

async fn list_when_told(index: Index, listing: Arc<Notify>) {
    loop {
        listing.notified().await;
        until_done("listing the conversations again", || index.refresh_all()).await;
        tokio::time::sleep(REST).await;
    }
}

/// Does it until it succeeds: nobody tells a second time that something was missed.
async fn until_done<A>(what: &'static str, attempt: impl Fn() -> A)
where
    A: Future<Output = ports::Result<()>>,
{
    let mut pauses = PAUSES;
    loop {
        match contained(what, attempt()).await {
            Some(Ok(())) => return,
            Some(Err(error)) => tracing::warn!(what, %error, "the store does not answer, trying again"),
            None => {}
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

impl Index {
    fn take_stored(&self, log: &LogId, message: &Message) {
        let LogId::Conversation { id, .. } = log else { return };
        // A worker may name a log of its own sandbox by the id of anybody's conversation.
        let Some(entry) = self.any(*id).filter(|entry| entry.log == *log) else { return };
        match entry.followed.take_message(message) {
            Taken::New(true) => self.directory_mut().reorder(&entry),
            Taken::New(false) => self.directory().tell(&entry),
            Taken::Known | Taken::First => {}
            Taken::Gap => self.bring_in_line(*id, Wish::LOG),
        }
    }

    fn take_change(&self, change: Change, listing: &Notify) {
        match change {
            Change::Put { key, entry } => {
                let Ok(id) = ConversationId::from_str(&key) else { return };
                let Some(known) = self.any(id) else { return self.bring_in_line(id, Wish::RECORD) };
                if known.state().revision >= entry.revision {
                    return;
                }
                match Sighting::read(&entry) {
                    Ok(seen) if known.is_of(&seen.record) => {
                        known.replace_record(seen);
                        self.directory_mut().reorder(&known);
                    }
                    Ok(_) => self.bring_in_line(id, Wish::RECORD),
                    Err(error) => tracing::warn!(conversation.id = %id, %error, "a record cannot be read"),
                }
            }
            Change::Deleted { key } => {
                let Ok(id) = ConversationId::from_str(&key) else { return };
                self.bring_in_line(id, Wish::RECORD);
            }
            Change::Lagged => listing.notify_one(),
        }
    }

    /// Brings every conversation in line whose record is not the one that is known.
    async fn refresh_all(&self) -> ports::Result<()> {
        let known = self.directory().all();
        let mut found = BTreeSet::new();
        let mut scan = self.0.ports.kv.scan(CONVERSATIONS);
        while let Some(change) = scan.try_next().await? {
            match change {
                Change::Put { key, entry } => {
                    let Ok(id) = ConversationId::from_str(&key) else { continue };
                    found.insert(id);
                    if self.any(id).is_none_or(|known| known.state().revision < entry.revision) {
                        self.bring_in_line(id, Wish::RECORD);
                    }
                }
                // What came of it before was older.
                Change::Deleted { key } => {
                    let Ok(id) = ConversationId::from_str(&key) else { continue };
                    found.remove(&id);
                }
                Change::Lagged => {}
            }
        }
        for entry in known.iter().filter(|entry| !found.contains(&entry.id)) {
            self.bring_in_line(entry.id, Wish::RECORD);
        }
        Ok(())
    }

    /// Has those conversations of a partition read their logs that end behind what is known of them. One whose next
    /// record was folded since has missed nothing: that record named the one before it.
    async fn look_for_missed(&self, partition: usize) -> ports::Result<()> {
        let since = Instant::now();
        let mut entries = self.directory().all();
        entries.retain(|entry| partition_of(&entry.log) == partition);
        // All are looked at again, rather than that each waits for the store by itself; but first all others are, for one
        // part of the store may be away alone.
        let away = Mutex::new(None);
        stream::iter(entries)
            .for_each_concurrent(None, async |entry| {
                let turn = self.0.behind.turn_to_look().await;
                if entry.state().folded_at > since {
                    return;
                }
                match turn.briefly(self.0.ports.log.tail(&entry.log)).await {
                    Ok(tail) if tail <= entry.seq() => {}
                    Err(error @ Error::Unavailable(_)) => {
                        *away.lock() = Some(error);
                    }
                    Ok(_) | Err(_) => self.bring_in_line(entry.id, Wish::LOG),
                }
            })
            .await;
        away.into_inner().map_or(Ok(()), Err)
    }

    /// Removes `entry` unless another conversation has its id by now.
    pub(super) fn drop_if_same(&self, entry: Option<&Arc<ConversationState>>) {
        let Some(entry) = entry else { return };
        let mut directory = self.directory_mut();
        if directory.get(entry.id).is_some_and(|present| Arc::ptr_eq(present, entry)) {
            directory.remove(entry.id);
        }
    }
}
