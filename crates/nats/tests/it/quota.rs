//! What a sandbox may store, whoever stores it for its worker.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{at_once, cluster, connection, options, serve_with};
use bytes::Bytes;
use control::storage::{Books, Limits};
use futures_util::future::join_all;
use manyhands_nats::{Connection, Options, connect};
use ports::{Error, Expect, Ports, Result};
use testing::nats::Nats;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::buckets::{CONVERSATIONS, SANDBOXES, STORED};
use types::{BashScope, Epoch, LogId, SandboxId, Seq, subjects};

const MIB: u64 = 1 << 20;
const QUOTA: u64 = 4 * MIB;
/// What one gateway may have counted without telling the others.
const PORTION: u64 = MIB;
const RECORD: usize = 100 << 10;

struct Gateway {
    control: Connection,
    books: Arc<Books>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Gateway {
    async fn start(server: &Nats) -> Self {
        Self::start_with(server, at_once()).await
    }

    async fn start_with(server: &Nats, limits: Limits) -> Self {
        let (control, stop) = (connection(server.url()).await, CancellationToken::new());
        let books = Books::new(control.control().await.unwrap().kv, Some(QUOTA), |_| ());
        let serving = tokio::spawn({
            let (control, books, stop) = (control.clone(), books.clone(), stop.clone());
            async move { serve_with(&control, limits, &books, &stop).await.unwrap() }
        });
        Self { control, books, stop, serving }
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

async fn start(gateways: usize) -> (Nats, Vec<Gateway>) {
    let (server, control) = cluster().await;
    let kv = control.control().await.unwrap().kv;
    for sandbox in ["a", "b"] {
        kv.put(SANDBOXES, sandbox, "{}".into(), Expect::Absent).await.unwrap();
    }
    let mut all = Vec::new();
    for _ in 0..gateways {
        all.push(Gateway::start(&server).await);
    }
    (server, all)
}

async fn worker(server: &Nats, sandbox: &SandboxId) -> Ports {
    let inbox = Some(subjects::inbox(sandbox, Epoch(1)));
    let worker = connect(Options { inbox, ..options(server.url()) }).await.unwrap();
    testing::eventually("the storage is served", async || worker.worker(sandbox, Epoch(1)).await.ok()).await
}

fn sandbox(name: &str) -> SandboxId {
    SandboxId::parse(name).unwrap()
}

fn log(name: &str) -> LogId {
    log_of(&sandbox("a"), name)
}

fn log_of(sandbox: &SandboxId, name: &str) -> LogId {
    LogId::of_name(sandbox, &crate::common::log(name).name()).unwrap()
}

/// Appends records of `size` bytes until one is refused, and answers how many bytes were taken and why no more.
async fn fill(ports: &Ports, log: &LogId, size: usize) -> (u64, Error) {
    let (mut tail, mut taken) = (ports.log.tail(log).await.unwrap(), 0);
    loop {
        let record = Bytes::from(format!("{taken:010}{}", "x".repeat(size - 10)));
        match ports.log.append(log, tail, vec![record]).await {
            Ok(appended) => (tail, taken) = (appended.tail(), taken + size as u64),
            Err(error) => return (taken, error),
        }
        assert!(taken <= 4 * QUOTA, "nothing is refused");
    }
}

async fn append(ports: &Ports, log: &LogId, text: &str) -> Result<Seq> {
    let tail = ports.log.tail(log).await?;
    ports.log.append(log, tail, vec![Bytes::from(text.to_owned())]).await.map(|appended| appended.tail())
}

#[tokio::test]
async fn beyond_its_quota_a_sandbox_stores_nothing_and_its_neighbours_go_on() {
    let (server, _gateways) = start(1).await;
    let (full, neighbour) = (worker(&server, &sandbox("a")).await, worker(&server, &sandbox("b")).await);
    let (taken, error) = fill(&full, &log("one"), RECORD).await;
    assert!((QUOTA - MIB..=QUOTA).contains(&taken), "{taken}");
    assert!(matches!(&error, Error::Full(why) if why.contains("4 MiB")), "{error:?}");
    let other = append(&full, &log("two"), &"x".repeat(RECORD)).await;
    assert!(matches!(other, Err(Error::Full(_))), "another log is no way out: {other:?}");
    append(&neighbour, &log_of(&sandbox("b"), "one"), &"x".repeat(RECORD)).await.unwrap();
}

#[tokio::test]
async fn that_something_has_ended_is_stored_also_without_room() {
    let (server, _gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    fill(&ports, &log("one"), RECORD).await;
    fill(&ports, &log("one"), 1_000).await;
    append(&ports, &log("one"), r#"{"control":{"type":"run_ended"}}"#).await.unwrap();
    let said = append(&ports, &log("one"), r#"{"n":0,"event":{"kind":"MessageEvent"}}"#).await;
    assert!(matches!(said, Err(Error::Full(_))), "{said:?}");
}

#[tokio::test]
async fn a_removed_log_gives_its_room_back() {
    let (server, gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    let control = gateways[0].control.control().await.unwrap();
    // The second size is stored in pieces beside the log.
    for size in [RECORD, MIB as usize] {
        let (taken, error) = fill(&ports, &log("one"), size).await;
        assert!(taken >= QUOTA - 2 * MIB, "{taken} of {size}: {error}");
        control.log.delete(&log("one")).await.unwrap();
    }
    let (taken, _) = fill(&ports, &log("one"), RECORD).await;
    assert!(taken >= QUOTA - 2 * MIB, "{taken}");
}

#[tokio::test]
async fn what_is_dropped_from_the_front_of_a_log_gives_its_room_back_once() {
    let (server, _gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    let log = log("_bash");
    // The second size is stored in pieces beside the log.
    for size in [RECORD, MIB as usize] {
        let (taken, error) = fill(&ports, &log, size).await;
        assert!(taken >= QUOTA - 2 * MIB, "{taken} of {size}: {error}");
        let last = ports.log.tail(&log).await.unwrap();
        for dropped in join_all((0..4).map(|_| ports.log.truncate_before(&log, last))).await {
            dropped.unwrap();
        }
        assert_eq!(ports.log.read_all(&log, Seq::ZERO).await.unwrap().len(), 1);
    }
    let (taken, _) = fill(&ports, &log, RECORD).await;
    assert!((QUOTA - 3 * MIB..=QUOTA).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_body_that_a_record_that_stays_has_too_is_not_dropped() {
    let (server, _gateways) = start(1).await;
    let (ports, log) = (worker(&server, &sandbox("a")).await, log("_bash"));
    let large = "same ".repeat(200_000);
    append(&ports, &log, &large).await.unwrap();
    append(&ports, &log, &"other ".repeat(200_000)).await.unwrap();
    let last = append(&ports, &log, &large).await.unwrap();
    ports.log.truncate_before(&log, last).await.unwrap();
    let kept = ports.log.read_all(&log, Seq::ZERO).await.unwrap();
    assert_eq!(kept, [ports::Record { seq: last, payload: large.into() }]);
}

#[tokio::test]
async fn a_sandbox_that_is_refused_is_weighed_and_has_the_room_back_that_was_lost_in_counting() {
    let (server, gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    let control = gateways[0].control.control().await.unwrap();
    let stored = [RECORD, MIB as usize].map(|size| Bytes::from("x".repeat(size)));
    for (name, record) in ["one", "two"].into_iter().zip(stored) {
        control.log.append(&log(name), Seq::ZERO, vec![record]).await.unwrap();
    }
    let wrong = (2 * QUOTA).to_string();
    control.kv.put(STORED, "a", wrong.into(), Expect::Absent).await.unwrap();
    let refused = append(&ports, &log("one"), "x").await;
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    testing::until(async || append(&ports, &log("one"), "x").await.is_ok()).await;
    let sum = control.kv.get(STORED, "a").await.unwrap().unwrap();
    let sum: u64 = serde_json::from_slice(&sum.value).unwrap();
    assert!((MIB + RECORD as u64..2 * MIB).contains(&sum), "{sum}");
}

#[tokio::test]
async fn gateways_together_go_beyond_a_quota_by_a_portion_each_at_most() {
    let (server, gateways) = start(3).await;
    let ports = worker(&server, &sandbox("a")).await;
    let mut taken = 0;
    for name in ["one", "two", "three", "four"] {
        taken += fill(&ports, &log(name), RECORD / 4).await.0;
    }
    let most = QUOTA + gateways.len() as u64 * PORTION;
    assert!((QUOTA - MIB..=most).contains(&taken), "{taken}");
}

#[tokio::test]
async fn what_is_stored_is_known_to_the_next_gateway() {
    let (server, mut gateways) = start(1).await;
    let log = LogId::bash(&sandbox("a"), BashScope::Sandbox);
    let ports = worker(&server, &sandbox("a")).await;
    let (taken, _) = fill(&ports, &log, RECORD).await;
    gateways.remove(0).end().await;
    gateways.push(Gateway::start(&server).await);
    let ports = worker(&server, &sandbox("a")).await;
    let (more, _) = fill(&ports, &log, RECORD).await;
    assert!(taken + more <= QUOTA, "{taken} and {more}");
}

#[tokio::test]
async fn counting_takes_no_message_an_append() {
    let (server, gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    let kv = gateways[0].control.control().await.unwrap().kv;
    let mut written = 0;
    let mut known = None;
    for _ in 0..2_500 {
        append(&ports, &log("one"), &"x".repeat(512)).await.unwrap();
        let revision = kv.get(STORED, "a").await.unwrap().map(|entry| entry.revision);
        written += usize::from(revision != known);
        known = revision;
    }
    assert_eq!(written, 3, "the first, and one a portion");
}

#[tokio::test]
async fn what_a_deleted_sandbox_has_left_is_removed_and_nothing_else() {
    let (server, mut gateways) = start(1).await;
    let control = gateways[0].control.control().await.unwrap();
    let record = r#"{"sandbox":"talks"}"#;
    control.kv.put(CONVERSATIONS, &"0".repeat(32), record.into(), Expect::Absent).await.unwrap();
    let names = ["a", "talks", "gone"].map(sandbox);
    for name in &names {
        let ports = worker(&server, name).await;
        append(&ports, &LogId::bash(name, BashScope::Sandbox), &"x".repeat(MIB as usize)).await.unwrap();
        append(&ports, &log_of(name, "of-its-own"), "x").await.unwrap();
    }
    gateways.remove(0).end().await;
    let limits = Limits { sweep_every: Duration::from_millis(100), ..at_once() };
    gateways.push(Gateway::start_with(&server, limits).await);
    testing::until(async || control.kv.get(STORED, "gone").await.unwrap().is_none()).await;
    for name in &names {
        let is_empty = async |log: LogId| control.log.tail(&log).await.unwrap() == Seq::ZERO;
        let commands = LogId::bash(name, BashScope::Sandbox);
        assert_eq!(is_empty(commands).await, name.as_str() == "gone", "{name}");
        // No conversation knows it.
        testing::until(async || is_empty(log_of(name, "of-its-own")).await).await;
        assert_eq!(control.kv.get(STORED, name.as_str()).await.unwrap().is_none(), name.as_str() == "gone");
    }
}

/// What is counted of the sandbox, all that gateways know told.
async fn counted(server: &Nats, gateway: Gateway) -> i64 {
    gateway.end().await;
    let kv = connection(server.url()).await.control().await.unwrap().kv;
    serde_json::from_slice(&kv.get(STORED, "a").await.unwrap().unwrap().value).unwrap()
}

/// As the control plane copies conversations.
async fn copy(ports: &Ports, log: &LogId, appends: usize) -> Result<Seq> {
    let mut tail = Seq::ZERO;
    for _ in 0..appends {
        let records = vec![Bytes::from_static(b"a short record"); 40];
        tail = ports.log.append(log, tail, records).await?.tail();
    }
    Ok(tail)
}

#[tokio::test]
async fn what_the_control_plane_stores_costs_what_comes_back_when_it_is_removed() {
    let (server, mut gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    for _ in 0..20 {
        append(&ports, &log("one"), &"x".repeat(RECORD)).await.unwrap();
    }
    let before = counted(&server, gateways.remove(0)).await;
    let gateway = Gateway::start(&server).await;
    let control = gateway.control.control_at_cost(gateway.books.clone()).await.unwrap();
    for _ in 0..5 {
        copy(&control, &log("two"), 20).await.unwrap();
        // A large one lies aside.
        let tail = control.log.tail(&log("two")).await.unwrap();
        control.log.append(&log("two"), tail, vec!["x".repeat(MIB as usize).into()]).await.unwrap();
        control.log.delete(&log("two")).await.unwrap();
    }
    assert_eq!(counted(&server, gateway).await, before);
}

#[tokio::test]
async fn a_sandbox_that_has_no_room_for_what_the_control_plane_stores_is_weighed() {
    let (_server, gateways) = start(1).await;
    let gateway = &gateways[0];
    let control = gateway.control.control_at_cost(gateway.books.clone()).await.unwrap();
    let wrong = (2 * QUOTA).to_string();
    control.kv.put(STORED, "a", wrong.into(), Expect::Absent).await.unwrap();
    let refused = copy(&control, &log("two"), 1).await;
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    testing::until(async || copy(&control, &log("two"), 1).await.is_ok()).await;
}

#[tokio::test]
async fn a_log_of_which_a_part_is_removed_counts_as_what_is_left_of_it() {
    let (_server, gateways) = start(1).await;
    let gateway = &gateways[0];
    let ports = gateway.control.control_at_cost(gateway.books.clone()).await.unwrap();
    append(&ports, &log("one"), "first").await.unwrap();
    for _ in 0..3 {
        let extent = ports.log.extent(&log("one")).await.unwrap();
        append(&ports, &log("one"), "next").await.unwrap();
        ports.log.remove(&log("one"), extent).await.unwrap();
    }
    let weight = gateway.control.storage().await.unwrap().weigh(&sandbox("a")).await.unwrap();
    gateway.books.tell_all().await;
    let counted = ports.kv.get(STORED, "a").await.unwrap().unwrap().value;
    assert_eq!(serde_json::from_slice::<u64>(&counted).unwrap(), weight);
}

/// Has the server take nothing more of what workers store, as with a full disk.
async fn be_full(server: &Nats) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let asked = async |call: &str, body: String| -> serde_json::Value {
        let answer = client.request(format!("$JS.API.STREAM.{call}"), body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    };
    for stream in ["EVENTS_0", "EVENTS_1", "EVENTS_2", "EVENTS_3", "BLOBS"] {
        let mut config = asked(&format!("INFO.{stream}"), String::new()).await["config"].take();
        config["max_bytes"] = 4_096.into();
        let changed = asked(&format!("UPDATE.{stream}"), config.to_string()).await;
        assert!(changed.get("error").is_none(), "{changed}");
    }
}

#[tokio::test]
async fn what_the_store_refuses_counts_as_nothing_however_often_it_is_tried() {
    let (server, mut gateways) = start(1).await;
    let ports = worker(&server, &sandbox("a")).await;
    append(&ports, &log("one"), "x").await.unwrap();
    be_full(&server).await;
    // The second size is stored in pieces beside the log.
    for size in [RECORD, MIB as usize] {
        for _ in 0..2 * QUOTA as usize / size {
            let refused = append(&ports, &log("one"), &"x".repeat(size)).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        }
    }
    let weight = gateways[0].control.storage().await.unwrap().weigh(&sandbox("a")).await.unwrap();
    assert_eq!(counted(&server, gateways.remove(0)).await, weight as i64);
}
