//! `kill -9` in the middle of writing: what was acknowledged is there, once and in order.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::{log, open_with};
use bytes::Bytes;
use manyhands_embedded::Fsync;
use ports::{Expect, Ports};
use types::Seq;

const FOLDER: &str = "TEST_CRASH_FOLDER";
const RELAXED: &str = "TEST_CRASH_RELAXED";
const LOGS: usize = 6;
const ROUNDS: usize = 20;

#[test]
fn every_acknowledged_record_survives_a_kill() {
    survive(false);
}

#[test]
fn every_acknowledged_record_survives_a_kill_without_syncing() {
    survive(true);
}

fn survive(relaxed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut writer = start_writer(folder.path().to_owned(), relaxed);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut note = |line: std::io::Result<String>| {
            if let Some((name, position)) =
                line.unwrap().strip_prefix("ack ").and_then(|ack| ack.split_once(' '))
            {
                acknowledged.insert(name.to_owned(), position.parse::<u64>().unwrap());
            }
        };
        // A different moment each round: sometimes before the first answer, sometimes amid many.
        lines.by_ref().take(round * 13 % 170).for_each(&mut note);
        writer.kill().unwrap();
        writer.wait().unwrap();
        lines.for_each(&mut note);
        block_on(check(folder.path().to_owned(), &acknowledged, relaxed));
    }
    assert_eq!(acknowledged.len(), LOGS + 1, "every log and the key were written to");
}

async fn check(folder: PathBuf, acknowledged: &BTreeMap<String, u64>, relaxed: bool) {
    let (ports, guard) = open_with(&folder, fsync(relaxed)).await;
    for number in 0..LOGS {
        let name = name(number);
        let entries = ports.log.read_all(&log(&name), Seq::ZERO).await.unwrap();
        let expected: Vec<Bytes> = (0..entries.len()).map(record).collect();
        let found: Vec<Bytes> = entries.iter().map(|entry| entry.payload.clone()).collect();
        assert_eq!(found, expected, "each record once and in order");
        let last = acknowledged.get(&name).copied().unwrap_or_default();
        let stored = entries.iter().filter(|entry| entry.seq.0 <= last).count();
        assert!(last == 0 || entries[stored - 1].seq == Seq(last), "{name} was acknowledged up to {last}");
    }
    let key = ports.kv.get("SETTINGS", "key").await.unwrap();
    let acknowledged = acknowledged.get("key").copied().unwrap_or_default();
    assert!(key.map_or(0, |entry| entry.revision) >= acknowledged);
    // Every other time the next writer starts from a journal that is not empty.
    if acknowledged % 2 == 0 {
        guard.close().await;
    } else {
        crate::common::abandon(&folder, ports, guard).await;
    }
}

fn start_writer(folder: PathBuf, relaxed: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "crash::writer"]).stdout(Stdio::piped());
    command.env(FOLDER, folder).env(RELAXED, relaxed.to_string()).spawn().unwrap()
}

#[test]
#[ignore = "run by the other tests, in a process that they kill"]
fn writer() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("started by another test"));
    let relaxed = std::env::var(RELAXED).unwrap() == "true";
    block_on(async {
        let (ports, _guard) = open_with(&folder, fsync(relaxed)).await;
        let mut tasks: Vec<_> =
            (0..LOGS).map(|number| tokio::spawn(write_log(ports.clone(), number))).collect();
        tasks.push(tokio::spawn(write_key(ports)));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn write_log(ports: Ports, number: usize) {
    let log = log(&name(number));
    let entries = ports.log.read_all(&log, Seq::ZERO).await.unwrap();
    let (mut next, mut tail) = (entries.len(), entries.last().map_or(Seq::ZERO, |entry| entry.seq));
    loop {
        let batch = (0..=number % 3).map(|more| record(next + more)).collect();
        tail = ports.log.append(&log, tail, batch).await.unwrap().tail();
        next += number % 3 + 1;
        acknowledge(&log.name(), tail.0);
    }
}

async fn write_key(ports: Ports) {
    loop {
        let revision = ports.kv.put("SETTINGS", "key", record(1), Expect::Anything).await.unwrap();
        acknowledge("key", revision);
    }
}

/// One write, so that lines of two tasks do not mix.
fn acknowledge(name: &str, position: u64) {
    std::io::stdout().lock().write_all(format!("ack {name} {position}\n").as_bytes()).unwrap();
}

fn name(number: usize) -> String {
    format!("{number:032x}")
}

fn record(number: usize) -> Bytes {
    format!("{number} {}", "x".repeat(number * 37 % 900)).into()
}

fn fsync(relaxed: bool) -> Fsync {
    if relaxed { Fsync::Interval } else { Fsync::Always }
}

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
