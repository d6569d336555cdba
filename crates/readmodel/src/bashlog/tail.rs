//! The bash logs that this gateway follows: one subscription each, however many search them, wait in them for a
//! command's end, or have a socket on them.
//!
//! A log is followed from the first use on, by one task that owns the subscription, and for as long as somebody holds
//! its [`Tail`] or used it a short while ago. The task alone drives the [`FollowedLog`]; the others look at it, and nudge
//! the task where they know of a record before it does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use ports::retry::Backoff;
use ports::{Delivery, Error, EventLog, Ports, Result, Subscription};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{LogId, Seq, subjects};
use uuid::Uuid;

use super::query::{Page, Query};
use super::summary::{EventSummary, Kind};
use super::window::Window;
use crate::followed::{Fold, FollowedLog, Mark, Taken};

/// Entries of a log kept in memory: about 12 MB.
const KEPT: usize = 100_000;

/// Records a step of reading asks for; each may have a mebibyte.
pub(super) const STEP: usize = 16;

/// After this long without use a log is no longer followed.
const IDLE: Duration = Duration::from_secs(600);

/// How long a live message may be late before the log is read.
const LATE: Duration = Duration::from_millis(20);

const DEADLINE: Duration = Duration::from_secs(30);

/// Before a log that cannot be followed is tried again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// All logs that are followed. Cheap to clone.
#[derive(Clone)]
pub struct Tails(Arc<Inner>);

struct Inner {
    ports: Ports,
    tasks: TaskTracker,
    drain: CancellationToken,
    followed: Mutex<HashMap<LogId, Arc<Tail>>>,
}

impl Tails {
    /// Logs are followed in `tasks`, until `drain` is cancelled.
    #[must_use]
    pub fn new(ports: &Ports, tasks: &TaskTracker, drain: &CancellationToken) -> Self {
        let (ports, tasks, drain) = (ports.clone(), tasks.clone(), drain.clone());
        Self(Arc::new(Inner { ports, tasks, drain, followed: Mutex::default() }))
    }

    /// The log, followed from now on if it was not.
    #[must_use]
    pub fn of(&self, log: LogId) -> Arc<Tail> {
        let mut followed = self.lock();
        if let Some(tail) = followed.get(&log) {
            tail.touch();
            return tail.clone();
        }
        let tail = Arc::new(Tail::new(log.clone(), self.0.ports.clone(), KEPT));
        followed.insert(log, tail.clone());
        self.0.tasks.spawn(follow(self.clone(), tail.clone()));
        tail
    }

    /// Forgets a log that nobody uses, nor has for long unless `now`; false if somebody does.
    fn retire(&self, tail: &Arc<Tail>, now: bool) -> bool {
        let mut followed = self.lock();
        // One is the map's, one that of the task which asks.
        let unused = Arc::strong_count(tail) <= 2 && (now || tail.unused_for() >= IDLE);
        if unused {
            followed.remove(&tail.log);
        }
        unused
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LogId, Arc<Tail>>> {
        self.0.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One bash log, followed: what is in it, and news of what comes.
pub struct Tail {
    pub log: LogId,
    ports: Ports,
    pub(super) followed: FollowedLog<Window>,
    /// Asks the following task to read the log now.
    nudge: Notify,
    started: Instant,
    /// Milliseconds after `started`.
    used: AtomicU64,
}

impl Tail {
    fn new(log: LogId, ports: Ports, kept: usize) -> Self {
        let followed = FollowedLog::new(log.clone(), Window::new(kept));
        Self { log, ports, followed, nudge: Notify::new(), started: Instant::now(), used: AtomicU64::new(0) }
    }

    /// The events a query is for, as the log holds them now.
    pub async fn search(&self, query: &Query) -> Result<Page> {
        self.catch_up_with_log().await?;
        let begin = {
            let window = self.followed.fold();
            if !query.needs_older(window.entries().iter(), window.begin()) {
                return Ok(query.page(window.entries().iter()));
            }
            window.begin()
        };
        let older = self.older_than(begin).await?;
        let window = self.followed.fold();
        let newer = window.entries().iter().filter(|entry| entry.seq > begin);
        Ok(query.page(older.iter().chain(newer)))
    }

    /// Waits until the command whose event is at `after` has ended; its outputs, in order.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn ended(&self, command: Uuid, after: Seq) -> Result<Vec<EventSummary>> {
        let mut reached = self.followed.watch();
        while !self.has_ended(command, after) {
            reached.changed().await.map_err(|error| Error::Internal(error.to_string()))?;
        }
        let query = Query { command: Some(command), kind: Some(Kind::BashOutput), ..all() };
        Ok(self.search(&query).await?.entries)
    }

    fn has_ended(&self, command: Uuid, after: Seq) -> bool {
        let window = self.followed.fold();
        // A log that was cleared meanwhile counts from the beginning again.
        let after = if window.at() < after { Seq::ZERO } else { after };
        let mut newest = window.entries().iter().rev().take_while(|entry| entry.seq > after);
        newest.any(|entry| entry.command == Some(command) && entry.last)
    }

    /// The stored record of an event.
    pub async fn find(&self, id: Uuid) -> Result<Option<Bytes>> {
        let page = self.search(&Query { cursor: Some(id), limit: 1, ..all() }).await?;
        let Some(entry) = page.entries.first().filter(|entry| entry.id == id) else { return Ok(None) };
        let read = self.ports.log.read(&self.log, entry.prev, 1).await?;
        Ok(read.into_iter().next().filter(|read| read.seq == entry.seq).map(|read| read.payload))
    }

    /// The log was removed: what comes is a new one.
    pub fn restart(&self) {
        self.followed.restart();
        self.nudge.notify_one();
    }

    pub fn event_log(&self) -> Arc<dyn EventLog> {
        self.ports.log.clone()
    }

    async fn catch_up_with_log(&self) -> Result<()> {
        let end = self.followed.tail(self.store()).await?;
        if let Some(first) = self.store().read(&self.log, Seq::ZERO, 1).await?.first() {
            self.followed.fold().forget_before(first.seq);
        }
        let Mark { generation, .. } = self.followed.mark();
        let there = move |mark: &Mark| mark.generation != generation || mark.at >= end;
        let mut reached = self.followed.watch();
        if timeout(LATE, reached.wait_for(there)).await.is_ok() {
            return Ok(());
        }
        self.nudge.notify_one();
        match timeout(DEADLINE, reached.wait_for(there)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Unavailable("the log could not be read in time".to_owned())),
        }
    }

    async fn older_than(&self, begin: Seq) -> Result<Vec<EventSummary>> {
        let (mut older, mut at) = (Vec::new(), Seq::ZERO);
        loop {
            let records = self.ports.log.read(&self.log, at, STEP).await?;
            if records.is_empty() {
                return Ok(older);
            }
            for record in records {
                if record.seq > begin {
                    return Ok(older);
                }
                older.extend(EventSummary::of(at, record.seq, &record.payload));
                at = record.seq;
            }
        }
    }

    pub(super) fn store(&self) -> &dyn EventLog {
        self.ports.log.as_ref()
    }

    fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.fetch_max(now, Ordering::Relaxed);
    }

    fn unused_for(&self) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(used)
    }
}

fn all() -> Query {
    Query { limit: usize::MAX, ..Query::default() }
}

/// Keeps `tail` current until nobody needs it any more: when the server stops, or after a long time.
async fn follow(tails: Tails, tail: Arc<Tail>) {
    let mut pauses = PAUSES;
    loop {
        let Err(error) = follow_once(&tails, &tail, &mut pauses).await else { return };
        tracing::warn!(log = %tail.log, %error, "a bash log cannot be followed, trying again");
        if tails.0.drain.is_cancelled() {
            return;
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

/// Returns when `tail` has been retired.
async fn follow_once(tails: &Tails, tail: &Arc<Tail>, pauses: &mut Backoff) -> Result<()> {
    let mut news: Subscription = tails.0.ports.bus.subscribe(&subjects::stored(&tail.log), None).await?;
    tail.followed.catch_up_or_begin_anew(tail.store()).await?;
    pauses.reset();
    loop {
        tokio::select! {
            delivery = news.next() => match delivery {
                Some(Delivery::Message(message)) => {
                    match tail.followed.take_message(&message) {
                        Taken::New(()) | Taken::Known => {}
                        Taken::First | Taken::Gap => {
                            tail.followed.catch_up_or_begin_anew(tail.store()).await?;
                        }
                    }
                }
                Some(Delivery::Lagged) => tail.followed.catch_up_or_begin_anew(tail.store()).await?,
                None => return Err(Error::Unavailable("the subscription ended".to_owned())),
            },
            () = tail.nudge.notified() => tail.followed.catch_up_or_begin_anew(tail.store()).await?,
            () = pause(tails) => {
                if tails.retire(tail, tails.0.drain.is_cancelled()) {
                    return Ok(());
                }
            }
        }
    }
}

/// How long to wait before asking whether the log is still needed.
async fn pause(tails: &Tails) {
    const STOPPING: Duration = Duration::from_millis(20);
    // Requests in flight may still wait for a command's end.
    let stopping = async {
        tails.0.drain.cancelled().await;
        tokio::time::sleep(STOPPING).await;
    };
    let _ = timeout(IDLE, stopping).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(i: u64) -> Bytes {
        let id = |i: u64| Uuid::from_u128(i.into()).simple().to_string();
        let (kind, command) =
            if i.is_multiple_of(3) { ("BashCommand", None) } else { ("BashOutput", Some(id(i / 3 * 3))) };
        let exit_code = (i % 3 == 2).then_some(0);
        let stamp = format!("2026-11-23T00:00:{i:02}.000000Z");
        json!({"kind": kind, "id": id(i), "timestamp": stamp, "command_id": command, "order": i % 3,
            "exit_code": exit_code})
        .to_string()
        .into()
    }

    /// A log of 12 events of which 4 are kept in memory.
    async fn tail(folder: &std::path::Path) -> (Tail, embedded::Guard) {
        let options = embedded::Options::within(folder, embedded::Fsync::Interval);
        let (ports, store) = embedded::open(options).await.unwrap();
        let log = LogId::bash(&types::SandboxId::shared(), types::BashScope::Sandbox);
        ports.log.append(&log, Seq::ZERO, (0..12).map(event).collect()).await.unwrap();
        let tail = Tail::new(log, ports, 4);
        tail.followed.catch_up(tail.store()).await.unwrap();
        (tail, store)
    }

    #[tokio::test]
    async fn what_is_no_longer_in_memory_is_found_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let (tail, _store) = tail(folder.path()).await;
        for newest_first in [false, true] {
            let mut query = Query { newest_first, limit: 5, ..Query::default() };
            let mut seen = Vec::new();
            while seen.is_empty() || query.cursor.is_some() {
                let page = tail.search(&query).await.unwrap();
                seen.extend(page.entries.iter().map(|entry| entry.id.as_u128()));
                query.cursor = page.next;
            }
            let mut all: Vec<u128> = (0..12).collect();
            if newest_first {
                all.reverse();
            }
            assert_eq!(seen, all);
        }
        for i in [0, 7, 8, 11] {
            assert_eq!(tail.find(Uuid::from_u128(i.into())).await.unwrap(), Some(event(i)), "{i}");
        }
        assert_eq!(tail.find(Uuid::from_u128(99)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_the_log_has_forgotten_is_not_found_in_memory_either() {
        let folder = tempfile::tempdir().unwrap();
        let (tail, _store) = tail(folder.path()).await;
        let kept = tail.followed.fold().entries().iter().map(|entry| entry.seq).nth(2).unwrap();
        tail.ports.log.truncate_before(&tail.log, kept).await.unwrap();
        let page = tail.search(&all()).await.unwrap();
        assert_eq!(page.entries.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), [10, 11]);
        assert_eq!(tail.find(Uuid::from_u128(8)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn records_that_a_writer_notes_for_itself_are_no_events() {
        let folder = tempfile::tempdir().unwrap();
        let (tail, _store) = tail(folder.path()).await;
        let fence = Bytes::from_static(br#"{"control":{"type":"fence","epoch":2}}"#);
        let end = tail.followed.mark().at;
        tail.ports.log.append(&tail.log, end, vec![fence, event(12)]).await.unwrap();
        tail.followed.catch_up(tail.store()).await.unwrap();
        let page = tail.search(&all()).await.unwrap();
        let ids: Vec<u128> = page.entries.iter().map(|entry| entry.id.as_u128()).collect();
        assert_eq!(ids, (0..13).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_ended_command_gives_its_outputs_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (tail, _store) = tail(folder.path()).await;
        let outputs = tail.ended(Uuid::from_u128(9), Seq::ZERO).await.unwrap();
        assert_eq!(outputs.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), [10, 11]);
        let running = tail.ended(Uuid::from_u128(12), Seq::ZERO);
        assert!(timeout(Duration::from_millis(50), running).await.is_err());
    }
}
