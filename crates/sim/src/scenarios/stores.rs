//! Who reads and writes keys and logs is told what was so at some time while he asked, whichever replica has answered.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use nats::Adapter;
use parking_lot::Mutex;
use ports::{Error, Expect, Extent, Ports, Record, Result};
use tokio::time::{sleep, timeout};
use types::buckets::SETTINGS;
use types::{ConversationId, LogId, SandboxId, Seq};

use crate::faults::{Kind, Mix};
use crate::world::{Here, Outcome, Simulation, World};

pub const MIX: Mix = Mix {
    when: Duration::from_millis(1)..Duration::from_secs(12),
    most: 8,
    kinds: &[
        (Kind::LosesRequests, 4),
        (Kind::LosesAnswers, 2),
        (Kind::IsLate, 2),
        (Kind::IsSlow, 4),
        (Kind::IsBehind, 10),
        (Kind::StoreIsAway, 1),
        (Kind::IsKilled, 3),
        (Kind::IsStopped, 2),
        (Kind::ClockJumps, 1),
    ],
};

const KEYS: [&str; 3] = ["one", "another", "third"];
/// What a message has at most without a body aside, in bytes.
const ASIDE: usize = 2_000;
/// By then all is at rest.
const PATIENCE: Duration = Duration::from_secs(900);
/// What was so before that is not known any more.
const MEMORY: Duration = Duration::from_secs(50);
/// Positions of a message.
const FAN: u64 = 4_096;

/// What was answered and was never so.
#[derive(Clone, Default)]
struct Broken(Arc<Mutex<Vec<String>>>);

/// Of each log, as those see to it who remove some in a cluster: nothing is on its way to it when it is looked how far it reaches.
#[derive(Clone, Default)]
struct Traffic(Arc<Mutex<[Doings; 2]>>);

#[derive(Default)]
struct Doings {
    /// What is appended, or was and may come late.
    appends: usize,
    looks: usize,
}

pub fn run(simulation: &mut Simulation, rng: &mut Rng, is_calm: bool) -> Vec<String> {
    let logs: [LogId; 2] =
        [(); 2].map(|()| LogId::conversation(&SandboxId::shared(), ConversationId::random()));
    let (broken, traffic) = (Broken::default(), Traffic::default());
    let nodes = rng.usize(1..=4);
    let at_work = Arc::new(Mutex::new(nodes));
    for number in 0..nodes {
        let (logs, broken, traffic, at_work) =
            (logs.clone(), broken.clone(), traffic.clone(), at_work.clone());
        let times = rng.u32(10..80);
        let work = move |here: Here| Reader::new(here, logs, broken, traffic, is_calm).work(times);
        simulation.world.start(format!("reader {number}"), work, move |_, _| *at_work.lock() -= 1);
    }
    let outcome = simulation.run(PATIENCE, |_| *at_work.lock() == 0);
    let mut broken = std::mem::take(&mut *broken.0.lock());
    if outcome != Outcome::Done {
        broken.push(format!("{} readers are still at work: {outcome:?}", at_work.lock()));
    }
    broken
}

struct Reader {
    world: World,
    ports: Ports,
    logs: [LogId; 2],
    broken: Broken,
    traffic: Traffic,
    is_calm: bool,
}

impl Reader {
    fn new(here: Here, logs: [LogId; 2], broken: Broken, traffic: Traffic, is_calm: bool) -> Self {
        let Here { world, adapter, .. } = here;
        let max_payload = (64 << 10) + ASIDE;
        let ports = Adapter { max_payload, ..adapter }.control();
        Self { world, ports, logs, broken, traffic, is_calm }
    }

    async fn work(self, times: u32) {
        for _ in 0..times {
            sleep(Duration::from_millis(fastrand::u64(..300))).await;
            match fastrand::u32(..14) {
                0..2 => self.get().await,
                2..4 => self.put().await,
                4 => self.delete().await,
                5 => self.list().await,
                6..8 => self.append().await,
                8..10 => self.read().await,
                10 => self.truncate().await,
                11..13 => self.remove().await,
                _ => self.tail().await,
            }
        }
    }

    async fn get(&self) {
        let (key, asked) = (any_key(), self.world.now());
        let got = self.ports.kv.get(SETTINGS, key).await;
        if let Some(got) = self.answered(asked, "get", got) {
            let revision = got.map(|entry| entry.revision);
            self.of_key(key, asked, &("get", revision), |had| had.contains(&revision));
        }
    }

    async fn put(&self) {
        let (key, asked) = (any_key(), self.world.now());
        let expect = match fastrand::u32(..4) {
            0 => Expect::Anything,
            1 => Expect::Absent,
            _ => match self.ports.kv.get(SETTINGS, key).await {
                Ok(Some(entry)) => Expect::Revision(entry.revision),
                _ => Expect::Absent,
            },
        };
        let put = self.ports.kv.put(SETTINGS, key, Bytes::from_static(b"v"), expect).await;
        self.written(key, asked, expect, put.map(Some));
    }

    async fn delete(&self) {
        let (key, asked) = (any_key(), self.world.now());
        let expect = if fastrand::bool() { Expect::Anything } else { Expect::Absent };
        let deleted = self.ports.kv.delete(SETTINGS, key, expect).await;
        self.written(key, asked, expect, deleted.map(|()| None));
    }

    fn written(&self, key: &str, asked: Duration, expect: Expect, written: Result<Option<u64>>) {
        let is_refused = matches!(written, Err(Error::Conflict { .. }));
        let Some(written) = self.answered(asked, "write", written).or(is_refused.then_some(None)) else {
            return;
        };
        self.of_key(key, asked, &(expect, is_refused, written), |had| match (is_refused, expect) {
            (false, _) => had.contains(&written),
            (true, Expect::Absent) => had.iter().any(Option::is_some),
            (true, Expect::Revision(revision)) => had.iter().any(|had| *had != Some(revision)),
            (true, Expect::Anything) => false,
        });
    }

    async fn list(&self) {
        let asked = self.world.now();
        let listed = self.ports.kv.list(SETTINGS).await;
        let Some(listed) = self.answered(asked, "list", listed) else { return };
        for key in KEYS {
            let revision = listed.iter().find(|(name, _)| name == key).map(|(_, entry)| entry.revision);
            self.of_key(key, asked, &("listed", revision), |had| had.contains(&revision));
        }
    }

    async fn append(&self) {
        let (number, asked) = (fastrand::usize(..2), self.world.now());
        let log = &self.logs[number];
        if !self.doings(number, |doings| {
            let begins = doings.looks == 0;
            doings.appends += usize::from(begins);
            begins
        }) {
            return;
        }
        let after = self.ports.log.tail(log).await.unwrap_or_default();
        let records = (0..fastrand::u32(1..4)).map(|_| text(fastrand::u32(..))).collect();
        let appended = self.ports.log.append(log, after, records).await;
        if matches!(appended, Ok(_) | Err(Error::Conflict { .. })) {
            self.doings(number, |doings| doings.appends -= 1);
        }
        match appended {
            Err(Error::Conflict { tail: Some(tail) }) => {
                self.of_log(log, asked, &("a conflict", tail), |had| {
                    had.iter().any(|numbers| end_of(numbers) == tail)
                })
            }
            appended => {
                let Some(appended) = self.answered(asked, "append", appended) else { return };
                self.of_log(log, asked, &("appended", &appended), |had| {
                    had.iter().any(|numbers| numbers.contains(&number_of(appended.tail())))
                });
            }
        }
    }

    async fn tail(&self) {
        let (log, asked) = (self.any_log(), self.world.now());
        let tail = self.ports.log.tail(log).await;
        let Some(tail) = self.answered(asked, "tail", tail) else { return };
        self.of_log(log, asked, &("tail", tail), |had| had.iter().any(|numbers| end_of(numbers) == tail));
    }

    /// From the beginning, or from some record on, to the end or to less.
    async fn read(&self) {
        let log = self.any_log();
        let mut after = match self.ports.log.tail(log).await {
            Ok(tail) if fastrand::bool() => Seq(tail.0.saturating_sub(fastrand::u64(..10 * FAN))),
            _ => Seq::ZERO,
        };
        for limit in [1_usize, 3, 1_000] {
            let asked = self.world.now();
            let page = self.ports.log.read(log, after, limit).await;
            let Some(page) = self.answered(asked, "read", page) else { return };
            if let Some(record) = page.iter().find(|record| !is_whole(&record.payload)) {
                self.complain(&format!("{record:?} is not what was written"));
            }
            let read = (after, page.iter().map(|record| record.seq).collect::<Vec<_>>());
            self.of_log(log, asked, &read, |had| is_page_of(&page, after, had));
            after = page.last().map_or(after, |record| record.seq);
        }
    }

    async fn truncate(&self) {
        let (log, asked) = (self.any_log(), self.world.now());
        let Ok(tail) = self.ports.log.tail(log).await else { return };
        let first = Seq(tail.0.saturating_sub(fastrand::u64(..4 * FAN)));
        let truncated = self.ports.log.truncate_before(log, first).await;
        if self.answered(asked, "truncate", truncated).is_some() {
            self.of_log(log, asked, &("before", first), |had| {
                let is_left = |number: &u64| *number < number_of(first);
                had.iter()
                    .any(|numbers| numbers.split_last().is_none_or(|(_, front)| !front.iter().any(is_left)))
            });
        }
    }

    async fn remove(&self) {
        let (number, asked) = (fastrand::usize(..2), self.world.now());
        let log = &self.logs[number];
        if !self.doings(number, |doings| {
            let begins = doings.appends == 0;
            doings.looks += usize::from(begins);
            begins
        }) {
            return;
        }
        let extent = self.ports.log.extent(log).await;
        self.doings(number, |doings| doings.looks -= 1);
        let Some(extent) = self.answered(asked, "extent", extent) else { return };
        self.of_log(log, asked, &extent, |had| {
            had.iter().any(|numbers| numbers.last().copied().unwrap_or_default() == extent.last)
        });
        let asked = self.world.now();
        // Some are over in the middle of it.
        let patience = if fastrand::bool() { fastrand::u64(1..4) } else { u64::MAX };
        let removing = self.ports.log.remove(log, extent);
        let Ok(removed) = timeout(Duration::from_millis(patience), removing).await else { return };
        if self.answered(asked, "remove", removed).is_some() {
            let Extent { last, .. } = extent;
            self.of_log(log, asked, &("removed", extent), |had| {
                had.last().is_none_or(|numbers| numbers.iter().all(|number| *number > last))
            });
        }
    }

    /// What is answered; it may be that there is no answer, but it may not be wrong.
    fn answered<T>(&self, asked: Duration, what: &str, answer: Result<T>) -> Option<T> {
        match answer {
            Ok(answer) => return Some(answer),
            Err(Error::Conflict { .. }) => {}
            Err(Error::Unavailable(_)) if !self.is_calm => {}
            Err(error) => self.complain(&format!("{what} of {asked:?} is answered with {error:?}")),
        }
        None
    }

    fn of_key(
        &self,
        key: &str,
        asked: Duration,
        told: &impl Debug,
        is_true: impl FnOnce(&[Option<u64>]) -> bool,
    ) {
        let had = self.world.stored(|store| store.history_of_key(SETTINGS, key, asked));
        self.judge(key, asked, told, had, is_true);
    }

    fn of_log(
        &self,
        log: &LogId,
        asked: Duration,
        told: &impl Debug,
        is_true: impl FnOnce(&[Vec<u64>]) -> bool,
    ) {
        let had = self.world.stored(|store| store.history_of_log(log, asked));
        self.judge(&log.to_string(), asked, told, had, is_true);
    }

    fn judge<T: Debug>(
        &self,
        what: &str,
        asked: Duration,
        told: &impl Debug,
        had: Vec<T>,
        is_true: impl FnOnce(&[T]) -> bool,
    ) {
        let is_known = self.world.now() < asked + MEMORY;
        if is_known && !is_true(&had) {
            self.complain(&format!("{what}, asked at {asked:?}: told {told:?}, and it was {had:?}"));
        }
    }

    fn complain(&self, text: &str) {
        self.broken.0.lock().push(format!("{text}, at {:?}", self.world.now()));
    }

    fn doings<T>(&self, log: usize, change: impl FnOnce(&mut Doings) -> T) -> T {
        change(&mut self.traffic.0.lock()[log])
    }

    fn any_log(&self) -> &LogId {
        &self.logs[usize::from(fastrand::bool())]
    }
}

/// Whether all is in a page that was there all the time between its beginning and its end, and nothing that never was.
fn is_page_of(page: &[Record], after: Seq, had: &[Vec<u64>]) -> bool {
    let numbers: BTreeSet<u64> = page.iter().map(|record| number_of(record.seq)).collect();
    let until = numbers.last().copied().unwrap_or(u64::MAX);
    let was_there = |number: &u64| had.iter().all(|numbers| numbers.contains(number));
    let is_meant = |number: &u64| *number > after.0 / FAN && *number <= until;
    let mut expected = had.iter().flatten().filter(|number| is_meant(number) && was_there(number));
    let mut told = numbers.iter();
    expected.all(|number| numbers.contains(number))
        && told.all(|number| had.iter().any(|numbers| numbers.contains(number)))
}

fn any_key() -> &'static str {
    KEYS[fastrand::usize(..KEYS.len())]
}

/// A record that tells how it goes on.
fn text(number: u32) -> Bytes {
    let length =
        if number.is_multiple_of(3) { ASIDE + number as usize % ASIDE } else { number as usize % 50 };
    format!("{number} {}", "x".repeat(length)).into()
}

fn is_whole(payload: &Bytes) -> bool {
    let number = payload.split(|byte| *byte == b' ').next().and_then(|number| str::from_utf8(number).ok());
    number.and_then(|number| number.parse().ok()).is_some_and(|number| text(number) == *payload)
}

/// Of the message that has the record at `seq`.
fn number_of(seq: Seq) -> u64 {
    seq.0.div_ceil(FAN)
}

fn end_of(numbers: &[u64]) -> Seq {
    Seq(numbers.last().copied().unwrap_or_default() * FAN)
}
