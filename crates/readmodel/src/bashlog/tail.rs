//! One bash log, followed: searching it, and waiting in it for a command's end.
//!
//! **Reading what is older** than the window may take seconds, in which the window moves on, and leaves to the log what it has
//! had. So a [scan](Tail::scan) goes from the log's beginning to where the window begins *then*. It keeps nothing itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ports::log::Pages;
use ports::{Error, EventLog, Ports, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use types::{LogId, Seq};
use uuid::Uuid;

use super::again::unless_cleared;
use super::body::cleared;
use super::query::{Gathering, Page, Query};
use super::summary::{EventSummary, Kind};
use super::window::{Sum, Window};
use crate::followed::{FollowedLog, Mark};

/// Records a step of reading asks for; each may have a mebibyte.
pub(super) const STEP: usize = 16;

/// The same, where they are only looked at.
const SCAN: usize = 256;

/// How long a live message may be late before the log is read.
const LATE: Duration = Duration::from_millis(20);

const DEADLINE: Duration = Duration::from_secs(30);

/// One bash log, followed: what is in it, and news of what comes.
pub struct Tail {
    pub log: LogId,
    ports: Ports,
    pub(super) followed: FollowedLog<Window>,
    /// Asks the following task to read the log now.
    pub(super) nudge: Notify,
    /// It is not followed any more.
    pub(super) retired: CancellationToken,
    started: Instant,
    /// Milliseconds after `started`.
    used: AtomicU64,
}

impl Tail {
    pub(super) fn new(log: LogId, ports: Ports, kept: usize, sum: Arc<Sum>) -> Self {
        Self {
            followed: FollowedLog::new(log.clone(), Window::new(kept, sum)),
            log,
            ports,
            nudge: Notify::new(),
            retired: CancellationToken::new(),
            started: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    /// The events a query is for, as the log holds them now.
    pub async fn search(&self, query: &Query) -> Result<Page> {
        unless_cleared(|| self.searched(query)).await
    }

    async fn searched(&self, query: &Query) -> Result<Page> {
        self.catch_up_with_log().await?;
        {
            let window = self.followed.fold();
            if !query.needs_older(window.entries().iter(), window.begin()) {
                return Ok(query.page(window.entries().iter()));
            }
        }
        let mut gathering = Gathering::new(query);
        self.scan(|entry| gathering.take(entry)).await?;
        Ok(gathering.page())
    }

    /// Waits until the command whose event is at `after` has ended; its outputs, in order. Of those that are all in memory
    /// the log may have dropped some meanwhile: [`Self::outputs`] tells.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn ended(&self, command: Uuid, after: Seq) -> Result<Vec<EventSummary>> {
        let is_end = |entry: &EventSummary| entry.command == Some(command) && entry.last;
        let mut reached = self.followed.watch();
        let mut looked = Mark { at: after, ..*reached.borrow() };
        loop {
            match self.look(&mut looked, is_end) {
                Look::Found => break,
                // What came while nobody looked is not in memory any more.
                Look::Missed if unless_cleared(|| self.scan(is_end)).await? => break,
                Look::Missed | Look::NotYet => {}
            }
            reached.changed().await.map_err(|error| Error::Internal(error.to_string()))?;
        }
        match self.outputs_in_memory(command, after) {
            Some(outputs) => Ok(outputs),
            None => self.outputs(command).await,
        }
    }

    /// The outputs of a command that the log still has, in order.
    pub async fn outputs(&self, command: Uuid) -> Result<Vec<EventSummary>> {
        let query = Query { command: Some(command), kind: Some(Kind::BashOutput), ..all() };
        Ok(self.search(&query).await?.entries)
    }

    /// The same without asking the log, where nothing that came after the command has left memory.
    fn outputs_in_memory(&self, command: Uuid, after: Seq) -> Option<Vec<EventSummary>> {
        let window = self.followed.fold();
        let is_output =
            |entry: &&EventSummary| entry.command == Some(command) && entry.kind == Kind::BashOutput;
        (window.begin() <= after).then(|| window.entries().iter().filter(is_output).copied().collect())
    }

    /// Looks at what has come since, and no second time.
    fn look(&self, looked: &mut Mark, is_it: impl Fn(&EventSummary) -> bool) -> Look {
        let window = self.followed.fold();
        let now = window.mark();
        // A log that was made anew counts from the beginning again.
        let after = if now.generation == looked.generation { looked.at } else { Seq::ZERO };
        let mut new = window.entries().iter().rev().take_while(|entry| entry.seq > after);
        let look = match (new.any(is_it), window.begin() > after) {
            (true, _) => Look::Found,
            (false, true) => Look::Missed,
            (false, false) => Look::NotYet,
        };
        *looked = Mark { at: after.max(now.at), ..now };
        look
    }

    /// The stored record of an event.
    pub async fn find(&self, id: Uuid) -> Result<Option<Bytes>> {
        let Some(entry) = self.find_all(&[id]).await?.remove(&id) else { return Ok(None) };
        let read = self.ports.log.read(&self.log, entry.prev, 1).await?;
        Ok(read.into_iter().next().filter(|read| read.seq == entry.seq).map(|read| read.payload))
    }

    /// Where those of the events are that there are; the log is looked through once at most.
    pub async fn find_all(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, EventSummary>> {
        unless_cleared(|| self.found(ids)).await
    }

    async fn found(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, EventSummary>> {
        self.catch_up_with_log().await?;
        let (mut missing, mut found): (HashSet<Uuid>, _) = (ids.iter().copied().collect(), HashMap::new());
        let mut take = |entry: &EventSummary| {
            if missing.remove(&entry.id) {
                found.insert(entry.id, *entry);
            }
            missing.is_empty()
        };
        let is_all = {
            let window = self.followed.fold();
            window.entries().iter().any(&mut take) || window.begin() == Seq::ZERO
        };
        if !is_all {
            self.scan(take).await?;
        }
        Ok(found)
    }

    pub fn event_log(&self) -> Arc<dyn EventLog> {
        self.ports.log.clone()
    }

    async fn catch_up_with_log(&self) -> Result<()> {
        let Mark { generation, at: end } = self.followed.end(self.store()).await?;
        if let Some(first) = self.store().read(&self.log, Seq::ZERO, 1).await?.first() {
            self.followed.fold().forget_before(first.seq);
        }
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

    /// Shows `visit` all events in their order, those that are in the log alone and those in memory, until it says that it
    /// has seen enough. Whether it has said so.
    async fn scan(&self, mut visit: impl FnMut(&EventSummary) -> bool) -> Result<bool> {
        let (life, mut at) = (self.followed.mark().generation, Seq::ZERO);
        let mut pages = Pages::new(self.store(), &self.log, at, SCAN);
        loop {
            {
                let window = self.followed.fold();
                if window.mark().generation != life {
                    return Err(cleared());
                }
                if window.begin() <= at {
                    return Ok(window.entries().iter().filter(|entry| entry.seq > at).any(visit));
                }
            }
            let Some(records) = pages.next().await? else { return Ok(false) };
            for record in records {
                if EventSummary::of(at, record.seq, &record.payload).is_some_and(|entry| visit(&entry)) {
                    return Ok(true);
                }
                at = record.seq;
            }
        }
    }

    pub(super) fn store(&self) -> &dyn EventLog {
        self.ports.log.as_ref()
    }

    pub(super) fn touch(&self) {
        let now = types::time::millis(self.started.elapsed());
        self.used.fetch_max(now, Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> Instant {
        self.started + Duration::from_millis(self.used.load(Ordering::Relaxed))
    }

    pub(super) fn unused_for(&self) -> Duration {
        self.used().elapsed()
    }
}

/// What came of a look at what is new.
enum Look {
    Found,
    NotYet,
    /// Some of it cannot be seen.
    Missed,
}

fn all() -> Query {
    Query { limit: usize::MAX, ..Query::default() }
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
        let tail = Tail::new(log, ports, 4, Arc::default());
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
    async fn what_the_log_has_dropped_of_an_ended_command_is_left_out_by_who_asks_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let (tail, _store) = tail(folder.path()).await;
        let seqs: Vec<Seq> = tail.followed.fold().entries().iter().map(|entry| entry.seq).collect();
        let [_, of_command, _, of_end] = seqs[..] else { panic!("{seqs:?}") };
        tail.ports.log.truncate_before(&tail.log, of_end).await.unwrap();
        let command = Uuid::from_u128(9);
        let ids =
            |outputs: Vec<EventSummary>| outputs.iter().map(|output| output.id.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids(tail.ended(command, of_command).await.unwrap()), [10, 11]);
        assert_eq!(ids(tail.outputs(command).await.unwrap()), [11]);
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
    async fn an_end_that_left_memory_before_anybody_looked_is_found_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let (tail, _store) = tail(folder.path()).await;
        let ended = timeout(Duration::from_secs(10), tail.ended(Uuid::from_u128(0), Seq::ZERO));
        let outputs = ended.await.expect("it is found").unwrap();
        assert_eq!(outputs.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), [1, 2]);
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
