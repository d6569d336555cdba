//! A world of real files in which a log can be stuck, a bucket can be away, and a bus can lose messages.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future::ready};
use manyhands_readmodel::index::{ConversationState, Created, Index};
use ports::doubles::{KvDouble, LogDouble};
use ports::{
    Bus, Change, Changes, Delivery, Error, EventLog, Expect, Kv, KvEntry, Parcel, Ports, Record, Result,
    Scan, Stored, Subscription,
};
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;
use types::log::LogRecord;
use types::{ConversationId, LogId, SandboxId, Seq, subjects};

/// Longer than any wait of the index that must not decide.
const IN_TIME: Duration = Duration::from_secs(10);

/// The same logs, of which some do not answer.
pub struct Logs {
    inner: Arc<dyn EventLog>,
    stuck: watch::Sender<HashSet<LogId>>,
    /// Those that tell where they end, and no more.
    shut: watch::Sender<HashSet<LogId>>,
    /// How often each was asked: pages, and tails.
    pub asked: watch::Sender<HashMap<LogId, (usize, usize)>>,
    /// What is stored in a log as soon as it was read to its end for the first time.
    late: Mutex<HashMap<LogId, Bytes>>,
    /// How many pages of a log are still read before it is stuck.
    sticking: Mutex<HashMap<LogId, usize>>,
    /// Whose next page is a panic.
    panicking: Mutex<HashSet<LogId>>,
    /// Which have one record more each time a page was read.
    growing: Mutex<HashSet<LogId>>,
    /// Whose part of the store is away.
    away: Mutex<HashSet<LogId>>,
}

impl Logs {
    pub fn stick(&self, log: &LogId) {
        self.stuck.send_if_modified(|stuck| stuck.insert(log.clone()));
    }

    pub fn release(&self, log: &LogId) {
        self.stuck.send_if_modified(|stuck| stuck.remove(log));
        self.shut.send_if_modified(|shut| shut.remove(log));
    }

    /// Gives no more pages once so many were read.
    pub fn stick_after(&self, log: &LogId, pages: usize) {
        self.sticking.lock().unwrap().insert(log.clone(), pages);
    }

    /// Panics when the next page is read, once.
    pub fn panic_once(&self, log: &LogId) {
        self.panicking.lock().unwrap().insert(log.clone());
    }

    /// Grows as fast as it is read.
    pub fn grow(&self, log: &LogId) {
        self.growing.lock().unwrap().insert(log.clone());
    }

    pub fn go_away(&self, log: &LogId) {
        self.away.lock().unwrap().insert(log.clone());
    }

    pub fn store_after_reading(&self, log: &LogId, record: Bytes) {
        self.late.lock().unwrap().insert(log.clone(), record);
    }

    pub fn asked(&self, log: &LogId) -> (usize, usize) {
        self.asked.borrow().get(log).copied().unwrap_or_default()
    }

    pub async fn until_asked(&self, log: &LogId, enough: impl Fn((usize, usize)) -> bool) {
        let mut asked = self.asked.subscribe();
        let is_enough = |asked: &HashMap<_, _>| enough(asked.get(log).copied().unwrap_or_default());
        timeout(IN_TIME, asked.wait_for(is_enough)).await.expect("it is asked").unwrap();
    }

    async fn ask(&self, log: &LogId, pages: usize, tails: usize) {
        self.asked.send_modify(|asked| {
            let count = asked.entry(log.clone()).or_default();
            *count = (count.0 + pages, count.1 + tails);
        });
        self.stuck.subscribe().wait_for(|stuck| !stuck.contains(log)).await.unwrap();
    }
}

#[async_trait]
impl LogDouble for Logs {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        if let Some(pages) = self.sticking.lock().unwrap().get_mut(log) {
            *pages = pages.wrapping_sub(1);
            if *pages == usize::MAX {
                self.shut.send_if_modified(|shut| shut.insert(log.clone()));
            }
        }
        self.ask(log, 1, 0).await;
        self.shut.subscribe().wait_for(|shut| !shut.contains(log)).await.unwrap();
        assert!(!self.panicking.lock().unwrap().remove(log), "a defect");
        let page = self.inner.read(log, after, limit).await?;
        let tail = self.inner.tail(log).await?;
        let is_end = page.last().is_none_or(|last| last.seq == tail);
        let late = if is_end { self.late.lock().unwrap().remove(log) } else { None };
        let more = self.growing.lock().unwrap().contains(log).then(message);
        let records: Vec<_> = late.into_iter().chain(more).collect();
        if !records.is_empty() {
            self.inner.append(log, tail, records).await?;
        }
        Ok(page)
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.ask(log, 0, 1).await;
        if self.away.lock().unwrap().contains(log) {
            return Err(Error::Unavailable("away".to_owned()));
        }
        self.inner.tail(log).await
    }
}

/// The same bus, which loses what some logs publish, and says that it has lost something when it is told to.
pub struct Wire {
    inner: Arc<dyn Bus>,
    lost: Arc<Mutex<HashSet<String>>>,
    lags: broadcast::Sender<()>,
    pub subscriptions: Mutex<Vec<String>>,
    /// Whose subscriptions end.
    ended: watch::Sender<bool>,
}

impl Wire {
    pub fn lose(&self, log: &LogId) {
        self.lost.lock().unwrap().insert(subjects::stored(log));
    }

    pub fn deliver(&self, log: &LogId) {
        self.lost.lock().unwrap().remove(&subjects::stored(log));
    }

    pub fn lag(&self) {
        self.lags.send(()).unwrap();
    }

    /// All subscriptions end.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }
}

#[async_trait]
impl Bus for Wire {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        self.inner.publish(subject, parcel).await
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        self.inner.request(subject, parcel, deadline).await
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        self.subscriptions.lock().unwrap().push(pattern.to_owned());
        let lost = self.lost.clone();
        let heard = self.inner.subscribe(pattern, group).await?.filter(move |delivery| {
            let is_lost = match delivery {
                Delivery::Message(message) => lost.lock().unwrap().contains(&message.subject),
                Delivery::Lagged => false,
            };
            ready(!is_lost)
        });
        let lags = futures_util::stream::unfold(self.lags.subscribe(), async |mut lags| {
            lags.recv().await.ok()?;
            Some((Delivery::Lagged, lags))
        });
        let mut ended = self.ended.subscribe();
        let end = async move { ended.wait_for(|ended| *ended).await.map(drop) };
        Ok(futures_util::stream::select(heard, lags).take_until(Box::pin(end)).boxed())
    }
}

/// The same buckets, which can be away and of whose changes nobody is told.
pub struct Buckets {
    inner: Arc<dyn Kv>,
    /// How often one that is away was asked.
    pub refused: watch::Sender<usize>,
    away: watch::Sender<bool>,
    silent: Arc<Mutex<bool>>,
    lags: broadcast::Sender<()>,
    /// A bucket whose deletions do not end.
    clinging: watch::Sender<Option<&'static str>>,
    /// What is read of the conversations before what there is.
    older: Mutex<Vec<Change>>,
}

impl Buckets {
    pub fn go_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    pub fn be_silent(&self, silent: bool) {
        *self.silent.lock().unwrap() = silent;
    }

    pub fn lag(&self) {
        self.lags.send(()).unwrap();
    }

    /// As a replica that lags behind, and has caught up before the end is read.
    pub fn first_give(&self, older: Vec<Change>) {
        *self.older.lock().unwrap() = older;
    }

    pub fn cling_to(&self, bucket: Option<&'static str>) {
        self.clinging.send_replace(bucket);
    }

    fn check(&self) -> Result<()> {
        if !*self.away.borrow() {
            return Ok(());
        }
        self.refused.send_modify(|refused| *refused += 1);
        Err(Error::Unavailable("away".to_owned()))
    }
}

#[async_trait]
impl KvDouble for Buckets {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        self.check()?;
        self.inner.get(bucket, key).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        self.check()?;
        self.clinging.subscribe().wait_for(|clinging| *clinging != Some(bucket)).await.unwrap();
        self.inner.delete(bucket, key, expect).await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        match self.check() {
            Ok(()) if bucket == CONVERSATIONS => {
                let older = self.older.lock().unwrap().clone();
                futures_util::stream::iter(older).map(Ok).chain(self.inner.scan(bucket)).boxed()
            }
            Ok(()) => self.inner.scan(bucket),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        let silent = self.silent.clone();
        let heard = self.inner.watch(bucket).await?.filter(move |_| ready(!*silent.lock().unwrap()));
        let lags = futures_util::stream::unfold(self.lags.subscribe(), async |mut lags| {
            lags.recv().await.ok()?;
            Some((Change::Lagged, lags))
        });
        Ok(futures_util::stream::select(heard, lags).boxed())
    }
}

pub struct World {
    /// With the doubles.
    pub ports: Ports,
    pub logs: Arc<Logs>,
    pub bus: Arc<Wire>,
    pub buckets: Arc<Buckets>,
    pub index: Index,
    pub tasks: TaskTracker,
    pub drain: CancellationToken,
    _store: (embedded::Guard, tempfile::TempDir),
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (real, guard) = embedded::open(options).await.unwrap();
        let logs = Arc::new(Logs {
            inner: real.log.clone(),
            stuck: watch::Sender::default(),
            shut: watch::Sender::default(),
            asked: watch::Sender::default(),
            late: Mutex::default(),
            sticking: Mutex::default(),
            panicking: Mutex::default(),
            growing: Mutex::default(),
            away: Mutex::default(),
        });
        let bus = Arc::new(Wire {
            inner: real.bus.clone(),
            lost: Arc::default(),
            lags: broadcast::channel(16).0,
            subscriptions: Mutex::default(),
            ended: watch::Sender::default(),
        });
        let buckets = Arc::new(Buckets {
            inner: real.kv.clone(),
            refused: watch::Sender::default(),
            away: watch::Sender::default(),
            silent: Arc::default(),
            lags: broadcast::channel(16).0,
            clinging: watch::Sender::default(),
            older: Mutex::default(),
        });
        let ports = Ports { log: logs.clone(), bus: bus.clone(), kv: buckets.clone() };
        let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
        let index = Index::start(&ports, &tasks, &drain).await.unwrap();
        Self { ports, logs, bus, buckets, index, tasks, drain, _store: (guard, folder) }
    }

    pub async fn conversation(&self) -> Arc<ConversationState> {
        match self.index.create(&record(&SandboxId::shared())).await.unwrap() {
            Created::New(entry) => entry,
            Created::Existing(_) => panic!("its id is new"),
        }
    }

    /// Stores one more event.
    pub async fn append(&self, log: &LogId) -> Seq {
        let tail = self.logs.inner.tail(log).await.unwrap();
        self.logs.inner.append(log, tail, vec![message()]).await.unwrap().tail()
    }

    /// Returns once the index has taken, or the bus lost, all that was published so far.
    pub async fn settle(&self) {
        let probe = self.conversation().await;
        let seq = self.append(&probe.log).await;
        until_folded(&probe, seq).await;
    }

    /// Publishes a record that is not in the log, after one that is not known.
    pub async fn publish_after_a_gap(&self, log: &LogId) {
        let json = serde_json::to_vec(&Stored { prev: Seq(1 << 40), seq: Seq(1 << 41) }).unwrap().into();
        let parcel = Parcel { json, blob: message() };
        self.ports.bus.publish(&subjects::stored(log), parcel).await.unwrap();
    }
}

pub async fn until_folded(entry: &ConversationState, seq: Seq) {
    let mut folded = entry.watch();
    timeout(IN_TIME, folded.wait_for(|mark| mark.at >= seq)).await.expect("it is folded in time").unwrap();
}

pub async fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(there) = there() {
                return there;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(IN_TIME, looking).await.unwrap_or_else(|_| panic!("{what} in time"))
}

pub fn record(sandbox: &SandboxId) -> ConversationRecord {
    serde_json::from_value(json!({"id": ConversationId::random(), "sandbox": sandbox,
        "created_at": "2026-11-23T00:00:00.000000Z", "title": null,
        "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
        "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null}))
    .unwrap()
}

pub fn message() -> Bytes {
    let event = json!({"id": "m", "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent"});
    LogRecord::event(0, &event).unwrap().encode().unwrap().into()
}
