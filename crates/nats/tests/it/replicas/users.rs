//! Who writes and reads while servers fail, and looks whether all of it is true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use ports::{Error, Expect, KvEntry, Ports};
use types::Seq;
use types::buckets::CONVERSATIONS as BUCKET;

use crate::common::{log, texts};

/// Whoever finds no server looks again.
const AGAIN: Duration = Duration::from_millis(20);
const KEY: &str = "contended";
const LOG: &str = "a";

/// What all users of one store know together.
#[derive(Default)]
pub struct Known {
    stop: AtomicBool,
    /// Where the log ends at least: that was acknowledged to somebody, or read by somebody.
    tail: AtomicU64,
    /// How many records were acknowledged.
    pub stored: AtomicU64,
    /// The same of the value.
    revision: AtomicU64,
    /// What was expected and what was made of it, of each acknowledged change of the value.
    changes: Mutex<Vec<(u64, u64)>>,
    pub reads: AtomicU64,
    /// The longest that a write was not taken.
    waited: Mutex<Duration>,
}

impl Known {
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    pub fn waited(&self) -> Duration {
        *self.waited.lock()
    }

    fn took(&self, time: Duration) {
        let mut waited = self.waited.lock();
        *waited = time.max(*waited);
    }

    /// Appends numbers, each once, as whoever writes a log does.
    pub async fn write(self: Arc<Self>, ports: Ports) {
        let (log, mut tail) = (log(LOG), Seq::ZERO);
        while self.goes_on() {
            let (text, began) = (self.stored.load(Ordering::SeqCst).to_string(), Instant::now());
            tail = loop {
                match ports.log.append(&log, tail, vec![text.clone().into()]).await {
                    Ok(appended) => break appended.tail(),
                    // Perhaps stored: it looks.
                    Err(Error::Unavailable(_) | Error::Conflict { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
                tokio::time::sleep(AGAIN).await;
                let Ok(after) = ports.log.read(&log, tail, 2).await else { continue };
                let [own] = &after[..] else {
                    assert!(after.is_empty(), "nobody else writes here: {after:?}");
                    continue;
                };
                assert_eq!(own.payload, text);
                break own.seq;
            };
            self.took(began.elapsed());
            self.tail.fetch_max(tail.0, Ordering::SeqCst);
            self.stored.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Reads, and finds whatever anybody knew before.
    pub async fn read(self: Arc<Self>, ports: Ports) {
        let log = log(LOG);
        let (mut seen, mut count) = (Seq::ZERO, 0);
        while self.goes_on() {
            let known = self.tail.load(Ordering::SeqCst);
            if let Ok(tail) = ports.log.tail(&log).await {
                assert!(tail.0 >= known, "a log ended at {known} and now at {tail:?}");
                self.tail.fetch_max(tail.0, Ordering::SeqCst);
                self.reads.fetch_add(1, Ordering::SeqCst);
            }
            let known = self.tail.load(Ordering::SeqCst);
            match ports.log.read(&log, seen, 100).await {
                Ok(page) if page.is_empty() => assert!(seen.0 >= known, "{seen:?} was not the end: {known}"),
                Ok(page) => {
                    for record in &page {
                        assert_eq!(
                            record.payload,
                            count.to_string(),
                            "a page has a hole, or something twice"
                        );
                        count += 1;
                    }
                    seen = page.last().unwrap().seq;
                }
                Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
            }
            let known = self.revision.load(Ordering::SeqCst);
            if let Ok(found) = ports.kv.get(BUCKET, KEY).await {
                self.notes(known, found.map_or(0, |entry| entry.revision));
            }
            let known = self.revision.load(Ordering::SeqCst);
            if let Ok(all) = ports.kv.list(BUCKET).await {
                let is_it = |(key, _): &&(String, KvEntry)| key == KEY;
                self.notes(known, all.iter().find(is_it).map_or(0, |(_, entry)| entry.revision));
            }
            tokio::time::sleep(AGAIN / 4).await;
        }
    }

    fn notes(&self, known: u64, found: u64) {
        assert!(found >= known, "revision {known} was there, and now {found}");
        self.revision.fetch_max(found, Ordering::SeqCst);
        self.reads.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes the value if it is still what it was when it was read.
    pub async fn contend(self: Arc<Self>, ports: Ports, name: &str) {
        let mut number = 0;
        while self.goes_on() {
            let known = self.revision.load(Ordering::SeqCst);
            if let Ok(found) = ports.kv.get(BUCKET, KEY).await {
                let before = found.map_or(0, |entry| entry.revision);
                self.notes(known, before);
                let expect = if before == 0 { Expect::Absent } else { Expect::Revision(before) };
                number += 1;
                let value = Bytes::from(format!("{name} {number}"));
                if let Ok(after) = ports.kv.put(BUCKET, KEY, value, expect).await {
                    self.changes.lock().push((before, after));
                    self.revision.fetch_max(after, Ordering::SeqCst);
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// In the end each record is there once and in order, and of the changes that were acknowledged each follows
    /// the one before.
    pub async fn is_true(&self, ports: &Ports) {
        let expected: Vec<_> =
            (0..self.stored.load(Ordering::SeqCst)).map(|number| number.to_string()).collect();
        assert_eq!(texts(ports, LOG).await, expected);
        let mut changes = self.changes.lock().clone();
        changes.sort_unstable();
        assert!(!changes.is_empty());
        for pair in changes.windows(2) {
            assert!(pair[1].0 >= pair[0].1, "both took place: {pair:?}");
        }
    }
}
