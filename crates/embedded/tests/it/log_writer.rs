//! The one writer of a log, on a real store whose answers are lost, late or wrong.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use manyhands_embedded::{Fsync, Guard, Options};
use ports::doubles::LogDouble;
use ports::log::{Batch, LogWriter, Loss, Trouble};
use ports::{Appended, Error, EventLog, Ports, Record, Result};
use tempfile::TempDir;
use types::log::{Control, LogRecord};
use types::{BashScope, Epoch, LogId, SandboxId, Seq};

const SEEDS: u64 = 400;

/// A log between which and its callers things go wrong.
struct Lossy {
    inner: Arc<dyn EventLog>,
    rng: Mutex<Rng>,
    late: Mutex<Vec<(LogId, Seq, Vec<Bytes>)>>,
}

impl Lossy {
    fn dice(&self, sides: u32) -> u32 {
        self.rng.lock().unwrap().u32(..sides)
    }

    /// Lets writes arrive whose callers were told long ago that they are lost.
    async fn let_late_ones_arrive(&self) {
        if self.dice(3) == 0 {
            let late = std::mem::take(&mut *self.late.lock().unwrap());
            for (log, after, records) in late {
                let _ = self.inner.append(&log, after, records).await;
            }
        }
    }
}

fn away() -> Error {
    Error::Unavailable("no answer".to_owned())
}

#[async_trait]
impl LogDouble for Lossy {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        self.let_late_ones_arrive().await;
        match self.dice(8) {
            // It never arrives.
            0 => Err(away()),
            // It arrives later.
            1 | 2 => {
                self.late.lock().unwrap().push((log.clone(), after, records));
                Err(away())
            }
            // The answer is lost.
            3 => self.inner.append(log, after, records).await.and_then(|_| Err(away())),
            // It was sent twice, and the second answer is the one that comes.
            4 => {
                let _ = self.inner.append(log, after, records.clone()).await;
                self.inner.append(log, after, records).await
            }
            _ => self.inner.append(log, after, records).await,
        }
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.let_late_ones_arrive().await;
        if self.dice(12) == 0 { Err(away()) } else { self.inner.read(log, after, limit.min(3)).await }
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        if self.dice(12) == 0 { Err(away()) } else { self.inner.tail(log).await }
    }
}

/// What a writer and those before and after it did, and what they were told.
struct World {
    log: Arc<Lossy>,
    id: LogId,
    writers: Vec<LogWriter>,
    issued: u32,
    acknowledged: BTreeMap<Seq, Bytes>,
}

impl World {
    fn dice(&self, sides: u32) -> u32 {
        self.log.dice(sides)
    }

    /// A new incarnation, which knows nothing but the log.
    async fn start(&mut self) {
        let epoch = Epoch(self.writers.len() as u64 + 1);
        let writer = loop {
            let log: Arc<dyn EventLog> = self.log.clone();
            match LogWriter::open(log, self.id.clone(), epoch, |_| {}).await {
                Ok(writer) => break writer,
                Err(Trouble::NotNow(_)) => {}
                Err(Trouble::Lost(loss)) => panic!("the newest incarnation has lost: {loss:?}"),
            }
        };
        self.writers.push(writer);
    }

    /// Has a writer store a batch, until it is stored or lost or its process is killed.
    async fn write(&mut self, who: usize) {
        let records: Vec<Bytes> = (0..1 + self.dice(3))
            .map(|_| {
                self.issued += 1;
                Bytes::from(format!(r#"{{"by":{},"n":{}}}"#, who + 1, self.issued))
            })
            .collect();
        let patience = self.dice(12);
        let writer = &mut self.writers[who];
        let mut batch = writer.batch(records.clone()).unwrap();
        for _ in 0..patience {
            match writer.store(&batch).await {
                Ok(appended) => {
                    assert_eq!(appended.seqs.len(), records.len());
                    self.acknowledged.extend(appended.seqs.into_iter().zip(records));
                    return;
                }
                Err(Trouble::NotNow(_)) => {}
                Err(Trouble::Lost(Loss::Fenced)) => return,
                Err(Trouble::Lost(Loss::Changed)) => match writer.catch_up().await {
                    Ok(()) => batch = writer.batch(records.clone()).unwrap(),
                    // The batch is not stored; it is tried again as it is, and lost again.
                    Err(Trouble::NotNow(_)) => {}
                    Err(Trouble::Lost(loss)) => return assert_eq!(loss, Loss::Fenced),
                },
                Err(Trouble::Lost(Loss::Refused(error))) => panic!("refused: {error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_doubled_lost_or_written_after_a_newer_fence() {
    let dir = tempfile::tempdir().unwrap();
    let (ports, _guard) =
        manyhands_embedded::open(Options::within(dir.path(), Fsync::Interval)).await.unwrap();
    let first = std::env::var("MANYHANDS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        println!("MANYHANDS_SEED={seed}");
        let log =
            Lossy { inner: ports.log.clone(), rng: Mutex::new(Rng::with_seed(seed)), late: Mutex::default() };
        let id = LogId::of_name(&SandboxId::shared(), &format!("_bash-{seed:032x}")).unwrap();
        let mut world =
            World { log: Arc::new(log), id, writers: Vec::new(), issued: 0, acknowledged: BTreeMap::new() };
        world.start().await;
        for _ in 0..20 {
            match world.dice(8) {
                0 => world.start().await,
                // One that should be gone.
                1 | 2 => {
                    let who = world.dice(world.writers.len() as u32) as usize;
                    world.write(who).await;
                }
                _ => world.write(world.writers.len() - 1).await,
            }
        }
        let entries = ports.log.read_all(&world.id, Seq::ZERO).await.unwrap();
        check(&entries, &world.acknowledged);
    }
}

fn check(entries: &[Record], acknowledged: &BTreeMap<Seq, Bytes>) {
    let (mut seen, mut fence, mut last) = (HashSet::new(), Epoch(0), BTreeMap::new());
    for entry in entries {
        if let Ok(LogRecord::Control(Control::Fence { epoch })) = LogRecord::decode(&entry.payload) {
            assert!(epoch > fence, "{epoch:?} is not newer than {fence:?}");
            fence = epoch;
            continue;
        }
        assert!(seen.insert(entry.payload.clone()), "{:?} is there twice", entry.payload);
        let record: serde_json::Value = serde_json::from_slice(&entry.payload).unwrap();
        let (by, n) = (record["by"].as_u64().unwrap(), record["n"].as_u64().unwrap());
        assert_eq!(by, fence.0, "{record} is behind the fence of another incarnation");
        assert!(last.insert(by, n).is_none_or(|before| before < n), "{record} is out of order");
    }
    let stored: BTreeMap<Seq, Bytes> =
        entries.iter().map(|entry| (entry.seq, entry.payload.clone())).collect();
    for (seq, record) in acknowledged {
        assert_eq!(stored.get(seq), Some(record), "an acknowledged record is not where it was said to be");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_will_never_take_is_told_from_what_it_cannot_take_now() {
    let dir = tempfile::tempdir().unwrap();
    let (ports, _guard) =
        manyhands_embedded::open(Options::within(dir.path(), Fsync::Interval)).await.unwrap();
    let id = LogId::bash(&SandboxId::shared(), types::BashScope::Sandbox);
    let mut writer = LogWriter::open(ports.log.clone(), id.clone(), Epoch(1), |_| {}).await.unwrap();
    let too_large = writer.batch(vec![Bytes::from(vec![b'x'; 65 << 20])]).unwrap();
    let refused = writer.store(&too_large).await.unwrap_err();
    assert!(matches!(refused, Trouble::Lost(Loss::Refused(Error::Internal(_)))), "{refused:?}");

    let small = writer.batch(vec![Bytes::from_static(b"{}")]).unwrap();
    writer.store(&small).await.unwrap();
    assert_eq!(ports.log.read_all(&id, Seq::ZERO).await.unwrap().len(), 2, "the fence and the record");
}

/// A log whose appends are stored without an answer, and whose reads fail.
struct Unreadable {
    inner: Arc<dyn EventLog>,
    error: Mutex<Option<Error>>,
    /// So many fronts are not dropped.
    stays: AtomicUsize,
}

impl Unreadable {
    fn new(inner: Arc<dyn EventLog>) -> Arc<Self> {
        Arc::new(Self { inner, error: Mutex::default(), stays: AtomicUsize::new(0) })
    }

    fn fails(&self, error: &Error) {
        *self.error.lock().unwrap() = Some(error.clone());
    }

    fn failure<T>(&self) -> Option<Result<T>> {
        self.error.lock().unwrap().clone().map(Err)
    }
}

#[async_trait]
impl LogDouble for Unreadable {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        let stored = self.inner.append(log, after, records).await;
        if self.failure::<()>().is_some() { Err(away()) } else { stored }
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        match self.failure() {
            Some(failure) => failure,
            None => self.inner.read(log, after, limit).await,
        }
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        match self.failure() {
            Some(failure) => failure,
            None => self.inner.tail(log).await,
        }
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        let one_less = |stays: usize| stays.checked_sub(1);
        match self.stays.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(away()),
            Err(_) => self.inner.truncate_before(log, first_kept).await,
        }
    }
}

async fn store() -> (Ports, (Guard, TempDir)) {
    let dir = tempfile::tempdir().unwrap();
    let (ports, guard) =
        manyhands_embedded::open(Options::within(dir.path(), Fsync::Interval)).await.unwrap();
    (ports, (guard, dir))
}

/// A log that can be made unreadable, its writer, and what that may store.
async fn unreadable(ports: &Ports) -> (LogId, Arc<Unreadable>, LogWriter, Batch) {
    let id = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    let log = Unreadable::new(ports.log.clone());
    let writer = LogWriter::open(log.clone(), id.clone(), Epoch(1), |_| {}).await.unwrap();
    let batch = writer.batch(vec![Bytes::from_static(b"{}")]).unwrap();
    (id, log, writer, batch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_can_never_be_read_is_told_from_one_that_cannot_be_read_now() {
    let (ports, _store) = store().await;
    let (id, log, mut writer, batch) = unreadable(&ports).await;
    let damaged = Error::Internal("damaged".to_owned());
    let cases = [(away(), Trouble::NotNow(away())), (damaged.clone(), Trouble::Lost(Loss::Refused(damaged)))];
    for (error, expected) in cases {
        log.fails(&error);
        let opened = LogWriter::open(log.clone(), id.clone(), Epoch(1), |_| {}).await;
        assert_eq!(opened.err().as_ref(), Some(&expected), "opening");
        assert_eq!(writer.store(&batch).await.as_ref(), Err(&expected), "an append without an answer");
        assert_eq!(writer.catch_up().await.as_ref(), Err(&expected), "catching up");
    }
    *log.error.lock().unwrap() = None;
    writer.store(&batch).await.unwrap();
    assert_eq!(
        ports.log.read_all(&id, Seq::ZERO).await.unwrap().len(),
        2,
        "stored once: the fence and the record"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_that_is_hard_to_drop_costs_one_fence_however_often_it_is_tried() {
    let (ports, _store) = store().await;
    let (id, log, mut writer, batch) = unreadable(&ports).await;
    writer.store(&batch).await.unwrap();
    log.stays.store(3, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(writer.drop_front(None).await, Err(Trouble::NotNow(away())));
    }
    assert_eq!(ports.log.read_all(&id, Seq::ZERO).await.unwrap().len(), 3, "fence, record, fence");
    writer.drop_front(None).await.unwrap();
    let left = ports.log.read_all(&id, Seq::ZERO).await.unwrap();
    assert_eq!(left.iter().map(|record| record.seq).collect::<Vec<_>>(), [writer.tail()], "a fence");

    log.stays.store(1, Ordering::SeqCst);
    assert_eq!(writer.drop_front(None).await, Err(Trouble::NotNow(away())));
    let mut newer = LogWriter::open(ports.log.clone(), id.clone(), Epoch(2), |_| {}).await.unwrap();
    let batch = newer.batch(vec![Bytes::from_static(b"{}")]).unwrap();
    newer.store(&batch).await.unwrap();
    assert_eq!(writer.drop_front(None).await, Err(Trouble::Lost(Loss::Fenced)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_made_anew_is_not_taken_for_the_one_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let (ports, _guard) =
        manyhands_embedded::open(Options::within(dir.path(), Fsync::Interval)).await.unwrap();
    let id = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    // Shorter than the known one, as long as it, and longer with and without a record that ends where it did.
    let fence = LogRecord::Control(Control::Fence { epoch: Epoch(1) }).encode().unwrap();
    let (length, word) = (fence.len(), |length: usize| Bytes::from(vec![b'x'; length]));
    let others = [
        vec![word(1)],
        vec![word(length), word(4)],
        vec![word(length), word(4), word(9)],
        vec![word(length + 3), word(9)],
    ];
    for (round, other) in others.into_iter().enumerate() {
        ports.log.delete(&id).await.unwrap();
        let mut writer = LogWriter::open(ports.log.clone(), id.clone(), Epoch(1), |_| {}).await.unwrap();
        let known = writer.batch(vec![Bytes::from_static(b"old!")]).unwrap();
        writer.store(&known).await.unwrap();
        ports.log.delete(&id).await.unwrap();
        ports.log.append(&id, Seq::ZERO, other.clone()).await.unwrap();

        let batch = writer.batch(vec![Bytes::from_static(b"new")]).unwrap();
        if round != 1 {
            assert_eq!(writer.store(&batch).await, Err(Trouble::Lost(Loss::Changed)), "{round}");
        }
        writer.catch_up().await.unwrap();
        assert_eq!(writer.newest_fence(), None, "{round}: the other log has no fence");
        let batch = writer.batch(vec![Bytes::from_static(b"new")]).unwrap();
        writer.store(&batch).await.unwrap();
        let stored = ports.log.read_all(&id, Seq::ZERO).await.unwrap();
        let stored: Vec<Bytes> = stored.into_iter().map(|record| record.payload).collect();
        let expected = [other, vec![fence.clone().into(), Bytes::from_static(b"new")]].concat();
        assert_eq!(stored, expected, "{round}");
    }
}
