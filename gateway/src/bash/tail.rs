use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use ports::{Delivery, EventLog, LogId, Message, Ports, Stored, Subscription, subjects};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use types::Seq;
use types::calls::bash_log;
use uuid::Uuid;

use super::entry::{Entry, Kind};
use super::query::{Page, Query};
use super::window::{Mark, Window};
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::scope::Place;

/// Entries of a log kept in memory: about 12 MB.
const KEPT: usize = 100_000;

/// Records a step of reading asks for; each may have a mebibyte.
const STEP: usize = 16;

/// After this long without use a log is no longer followed.
const IDLE: Duration = Duration::from_secs(600);

/// How long a live message may be late before the log is read.
const LATE: Duration = Duration::from_millis(20);

const DEADLINE: Duration = Duration::from_secs(30);

/// The bash logs this gateway follows: one subscription each, however many wait for it.
#[derive(Default)]
pub struct Tails {
    followed: Mutex<HashMap<LogId, Arc<Tail>>>,
}

impl Tails {
    /// The log of a place, followed from now on if it was not.
    pub(super) fn of(&self, app: &App, place: &Place) -> Arc<Tail> {
        let log = LogId::named(&place.sandbox, &bash_log(&place.scope));
        let mut followed = self.lock();
        if let Some(tail) = followed.get(&log) {
            tail.touch();
            return tail.clone();
        }
        let tail = Arc::new(Tail::new(log.clone(), app.ports.clone()));
        followed.insert(log, tail.clone());
        app.tasks.spawn(follow(app.clone(), tail.clone()));
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
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One bash log, followed: what is in it, and news of what comes.
pub(super) struct Tail {
    pub log: LogId,
    ports: Ports,
    window: Mutex<Window>,
    reached: watch::Sender<Mark>,
    /// Asks the following task to read the log now.
    nudge: Notify,
    started: Instant,
    /// Milliseconds after `started`.
    used: AtomicU64,
}

impl Tail {
    fn new(log: LogId, ports: Ports) -> Self {
        let window = Window::new(KEPT);
        let reached = watch::Sender::new(window.mark());
        let (started, used) = (Instant::now(), AtomicU64::new(0));
        Self { log, ports, window: Mutex::new(window), reached, nudge: Notify::new(), started, used }
    }

    /// The events a query is for, as the log holds them now.
    pub async fn search(&self, query: &Query) -> ApiResult<Page> {
        self.catch_up_with_log().await?;
        let begin = {
            let window = self.lock();
            if !query.needs_older(window.entries().iter(), window.begin()) {
                return Ok(query.page(window.entries().iter()));
            }
            window.begin()
        };
        let older = self.older_than(begin).await?;
        let window = self.lock();
        let newer = window.entries().iter().filter(|entry| entry.seq > begin);
        Ok(query.page(older.iter().chain(newer)))
    }

    /// Waits until the command whose event is at `after` has ended; its outputs, in order.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn ended(&self, command: Uuid, after: Seq) -> ApiResult<Vec<Entry>> {
        let mut reached = self.reached.subscribe();
        while !self.has_ended(command, after) {
            reached.changed().await.map_err(ApiError::internal)?;
        }
        let query = Query { command: Some(command), kind: Some(Kind::BashOutput), ..all() };
        Ok(self.search(&query).await?.entries)
    }

    fn has_ended(&self, command: Uuid, after: Seq) -> bool {
        let window = self.lock();
        // A log that was cleared meanwhile counts from the beginning again.
        let after = if window.mark().last < after { Seq::ZERO } else { after };
        let mut newest = window.entries().iter().rev().take_while(|entry| entry.seq > after);
        newest.any(|entry| entry.command == Some(command) && entry.last)
    }

    /// The stored record of an event.
    pub async fn find(&self, id: Uuid) -> ApiResult<Option<Bytes>> {
        let page = self.search(&Query { cursor: Some(id), limit: 1, ..all() }).await?;
        let Some(entry) = page.entries.first().filter(|entry| entry.id == id) else { return Ok(None) };
        let read = self.ports.log.read(&self.log, entry.prev, 1).await?;
        Ok(read.into_iter().next().filter(|read| read.seq == entry.seq).map(|read| read.payload))
    }

    /// The log was removed: what comes is a new one.
    pub fn restart(&self) {
        let mark = {
            let mut window = self.lock();
            window.restart();
            window.mark()
        };
        self.reached.send_replace(mark);
        self.nudge.notify_one();
    }

    pub fn event_log(&self) -> Arc<dyn EventLog> {
        self.ports.log.clone()
    }

    async fn catch_up_with_log(&self) -> ApiResult<()> {
        let end = self.ports.log.tail(&self.log).await?;
        if end < self.mark().last {
            self.restart();
        }
        let Mark { generation, .. } = self.mark();
        let there = move |mark: &Mark| mark.generation != generation || mark.last >= end;
        let mut reached = self.reached.subscribe();
        if timeout(LATE, reached.wait_for(there)).await.is_ok() {
            return Ok(());
        }
        self.nudge.notify_one();
        match timeout(DEADLINE, reached.wait_for(there)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ports::Error::Unavailable("the log could not be read in time".to_owned()).into()),
        }
    }

    async fn older_than(&self, begin: Seq) -> ApiResult<Vec<Entry>> {
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
                older.extend(Entry::of(at, record.seq, &record.payload));
                at = record.seq;
            }
        }
    }

    /// Takes a live message; false if the log must be read.
    fn take(&self, message: &Message) -> bool {
        let Ok(stored) = serde_json::from_slice::<Stored>(&message.parcel.json) else { return false };
        let (complete, mark) = {
            let mut window = self.lock();
            (window.push(stored.prev, stored.seq, &message.parcel.blob), window.mark())
        };
        self.reached.send_replace(mark);
        complete
    }

    /// Reads what is not known yet.
    async fn read_on(&self) -> ports::Result<()> {
        loop {
            let before = self.mark();
            let records = self.ports.log.read(&self.log, before.last, STEP).await?;
            if records.is_empty() {
                return Ok(());
            }
            let mark = {
                let mut window = self.lock();
                if window.mark().generation != before.generation {
                    continue;
                }
                let mut prev = before.last;
                for record in &records {
                    window.push(prev, record.seq, &record.payload);
                    prev = record.seq;
                }
                window.mark()
            };
            self.reached.send_replace(mark);
        }
    }

    fn mark(&self) -> Mark {
        self.lock().mark()
    }

    fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.fetch_max(now, Ordering::Relaxed);
    }

    fn unused_for(&self) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(used)
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all() -> Query {
    Query { limit: usize::MAX, ..Query::default() }
}

/// Keeps `tail` current until nobody needs it any more: when the server stops, or after a long time.
async fn follow(app: App, tail: Arc<Tail>) {
    const AGAIN: Duration = Duration::from_millis(500);
    loop {
        let Err(error) = follow_once(&app, &tail).await else { return };
        tracing::warn!(log = %tail.log, %error, "a bash log cannot be followed, trying again");
        if app.drain.is_cancelled() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Returns when `tail` has been retired.
async fn follow_once(app: &App, tail: &Arc<Tail>) -> ports::Result<()> {
    let mut news: Subscription = app.ports.bus.subscribe(&subjects::stored(&tail.log), None).await?;
    tail.read_on().await?;
    loop {
        tokio::select! {
            delivery = news.next() => match delivery {
                Some(Delivery::Message(message)) if tail.take(&message) => {}
                Some(_) => tail.read_on().await?,
                None => return Err(ports::Error::Unavailable("the subscription ended".to_owned())),
            },
            () = tail.nudge.notified() => tail.read_on().await?,
            () = pause(app) => {
                if app.bash.retire(tail, app.drain.is_cancelled()) {
                    return Ok(());
                }
            }
        }
    }
}

/// How long to wait before asking whether the log is still needed.
async fn pause(app: &App) {
    const STOPPING: Duration = Duration::from_millis(20);
    // Requests in flight may still wait for a command's end.
    let stopping = async {
        app.drain.cancelled().await;
        tokio::time::sleep(STOPPING).await;
    };
    let _ = timeout(IDLE, stopping).await;
}
