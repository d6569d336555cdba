//! Whatever is done in whatever order, with restarts between: the store agrees with a model of maps.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::common::{abandon, log, log_path, open_with};
use bytes::Bytes;
use manyhands_embedded::{Fsync, Guard};
use ports::{Error, Expect, KvEntry, Ports, Record};
use proptest::prelude::*;
use types::Seq;

const LOGS: usize = 3;
const KEYS: usize = 3;
const BUCKET: &str = "SETTINGS";

#[derive(Clone, Debug)]
enum Step {
    Append {
        log: usize,
        stale: bool,
        sizes: Vec<usize>,
    },
    DeleteLog(usize),
    /// Up to the record at this part of a hundred, and a byte more or less.
    Truncate {
        log: usize,
        part: usize,
        off: i64,
    },
    Put {
        key: usize,
        expect: Guess,
        size: usize,
    },
    DeleteKey {
        key: usize,
        expect: Guess,
    },
    Close,
    Crash,
    /// Closed, and the last line of a log torn before the next start.
    Tear(usize),
}

#[derive(Clone, Copy, Debug)]
enum Guess {
    Anything,
    Absent,
    Right,
    Wrong,
}

#[derive(Default)]
struct Model {
    logs: [Vec<Record>; LOGS],
    keys: BTreeMap<usize, KvEntry>,
    highest: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let guess =
        || prop_oneof![Just(Guess::Anything), Just(Guess::Absent), Just(Guess::Right), Just(Guess::Wrong)];
    prop_oneof![
        8 => (0..LOGS, prop::bool::weighted(0.2), prop::collection::vec(0..3_000_usize, 0..4))
            .prop_map(|(log, stale, sizes)| Step::Append { log, stale, sizes }),
        1 => (0..LOGS).prop_map(Step::DeleteLog),
        2 => (0..LOGS, 0..=100_usize, -1..=1_i64)
            .prop_map(|(log, part, off)| Step::Truncate { log, part, off }),
        4 => (0..KEYS, guess(), 0..5_000_usize).prop_map(|(key, expect, size)| Step::Put { key, expect, size }),
        2 => (0..KEYS, guess()).prop_map(|(key, expect)| Step::DeleteKey { key, expect }),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        1 => (0..LOGS).prop_map(Step::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_a_model(
        steps in prop::collection::vec(step(), 1..40),
        relaxed in any::<bool>(),
    ) {
        let fsync = if relaxed { Fsync::Interval } else { Fsync::Always };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps, fsync));
    }
}

async fn run(steps: Vec<Step>, fsync: Fsync) {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let (mut ports, mut guard) = open_with(folder.path(), fsync).await;
    for step in steps {
        (ports, guard) = match step {
            Step::Close | Step::Crash | Step::Tear(_) => {
                restart(folder.path(), &step, ports, guard, fsync).await
            }
            step => {
                take(&mut model, &ports, &step).await;
                (ports, guard)
            }
        };
        compare(&model, &ports).await;
    }
    guard.close().await;
}

async fn restart(folder: &Path, step: &Step, ports: Ports, guard: Guard, fsync: Fsync) -> (Ports, Guard) {
    match step {
        Step::Crash => abandon(folder, ports, guard).await,
        _ => guard.close().await,
    }
    if let Step::Tear(number) = step
        && let Ok(mut file) = OpenOptions::new().append(true).open(log_path(folder, &name(*number)))
    {
        file.write_all(b"{\"torn\":").unwrap();
    }
    open_with(folder, fsync).await
}

async fn take(model: &mut Model, ports: &Ports, step: &Step) {
    match step {
        Step::Append { log, stale, sizes } => append(model, ports, *log, *stale, sizes).await,
        Step::DeleteLog(number) => {
            assert_eq!(ports.log.delete(&log(&name(*number))).await, Ok(()));
            model.logs[*number].clear();
        }
        Step::Truncate { log: number, part, off } => {
            let entries = &mut model.logs[*number];
            let seqs: Vec<Seq> = entries.iter().map(|entry| entry.seq).collect();
            let wanted = seqs.get(seqs.len() * part / 100).copied().unwrap_or(Seq(u64::MAX / 2));
            let first_kept = Seq(wanted.0.saturating_add_signed(*off));
            assert_eq!(ports.log.truncate_before(&log(&name(*number)), first_kept).await, Ok(()));
            let kept = seqs.iter().position(|seq| *seq >= first_kept).unwrap_or(seqs.len().saturating_sub(1));
            entries.drain(..kept);
        }
        Step::Put { key, expect, size } => {
            let (expect, holds) = model.expect(*key, *expect);
            let value = Bytes::from(vec![b'\n'; *size]);
            let outcome = ports.kv.put(BUCKET, &name(*key), value.clone(), expect).await;
            if !holds {
                assert_eq!(outcome, Err(Error::Conflict { tail: None }));
                return;
            }
            let revision = outcome.unwrap();
            assert!(revision > model.highest, "revisions never go back");
            model.highest = revision;
            model.keys.insert(*key, KvEntry { revision, value });
        }
        Step::DeleteKey { key, expect } => {
            let (expect, holds) = model.expect(*key, *expect);
            let outcome = ports.kv.delete(BUCKET, &name(*key), expect).await;
            assert_eq!(outcome, if holds { Ok(()) } else { Err(Error::Conflict { tail: None }) });
            if holds {
                model.keys.remove(key);
            }
        }
        Step::Close | Step::Crash | Step::Tear(_) => unreachable!("these are restarts"),
    }
}

async fn append(model: &mut Model, ports: &Ports, number: usize, stale: bool, sizes: &[usize]) {
    let tail = model.tail(number);
    let records: Vec<Bytes> =
        sizes.iter().map(|size| Bytes::from(vec![b'a' + (*size % 26) as u8; *size])).collect();
    let after = if stale { Seq(tail.0 + 1) } else { tail };
    let outcome = ports.log.append(&log(&name(number)), after, records.clone()).await;
    if stale {
        assert_eq!(outcome, Err(Error::Conflict { tail: Some(tail) }));
        return;
    }
    let entries = outcome.unwrap().seqs.into_iter().zip(records);
    model.logs[number].extend(entries.map(|(seq, payload)| Record { seq, payload }));
}

async fn compare(model: &Model, ports: &Ports) {
    for (number, expected) in model.logs.iter().enumerate() {
        let log = log(&name(number));
        assert_eq!(ports.log.read_all(&log, Seq::ZERO).await.as_ref(), Ok(expected));
        assert_eq!(ports.log.tail(&log).await, Ok(model.tail(number)));
    }
    let expected: Vec<_> = model.keys.iter().map(|(key, entry)| (name(*key), entry.clone())).collect();
    assert_eq!(ports.kv.list(BUCKET).await, Ok(expected));
}

impl Model {
    fn tail(&self, log: usize) -> Seq {
        self.logs[log].last().map_or(Seq::ZERO, |entry| entry.seq)
    }

    /// What to ask for, and whether it holds.
    fn expect(&self, key: usize, guess: Guess) -> (Expect, bool) {
        let revision = self.keys.get(&key).map(|entry| entry.revision);
        match (guess, revision) {
            (Guess::Anything, _) => (Expect::Anything, true),
            (Guess::Absent, revision) => (Expect::Absent, revision.is_none()),
            (Guess::Right, Some(revision)) => (Expect::Revision(revision), true),
            (Guess::Right | Guess::Wrong, _) => (Expect::Revision(self.highest + 7), false),
        }
    }
}

fn name(number: usize) -> String {
    format!("{number:032x}")
}
