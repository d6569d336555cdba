//! Opening a long conversation after a start: from a snapshot where there is one that fits, and right in any case.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::counted::Counts;
use crate::support::{World, finish, secret, terminal, until};
use bytes::Bytes;
use manyhands_worker::Config;
use serde_json::{Value, json};
use types::log::LogRecord;
use types::{ConversationId, Epoch, LogId, Seq};

const SAID: usize = 30;

fn often(config: &mut Config) {
    config.snapshot_every = 20;
}

/// A world that keeps snapshots often.
async fn world() -> (World, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (World::with(often, |ports| counts.count(ports)).await, counts)
}

/// A conversation in it that was said something until a snapshot was kept.
async fn talked(world: &World) -> ConversationId {
    let id = world.create();
    for at in 0..SAID {
        world.say(id, &format!("message {at:02}"), false).await.unwrap();
    }
    until(async || known(world, id).await >= 40).await;
    id
}

fn snapshots(world: &World, id: ConversationId) -> LogId {
    LogId::snapshots(&world.config.sandbox, id)
}

async fn kept(world: &World, id: ConversationId) -> Vec<Bytes> {
    let all = world.ports.log.read_all(&snapshots(world, id), Seq::ZERO).await.unwrap();
    all.into_iter().map(|record| record.payload).collect()
}

/// How many events the newest snapshot knows.
async fn known(world: &World, id: ConversationId) -> u64 {
    let newest = kept(world, id).await.pop().map(|newest| json_of(&newest));
    newest.map_or(0, |newest| newest["projection"]["events"].as_u64().unwrap())
}

fn json_of(record: &Bytes) -> Value {
    serde_json::from_slice(record).unwrap()
}

/// Puts a record behind the snapshots.
async fn put(world: &World, id: ConversationId, record: impl Into<Bytes>) {
    let log = snapshots(world, id);
    let tail = world.ports.log.tail(&log).await.unwrap();
    world.ports.log.append(&log, tail, vec![record.into()]).await.unwrap();
}

async fn restart(world: &mut World) {
    world.stop_worker().await;
    world.start_worker().await;
}

/// Writes the log anew, as `change` makes it of what was there.
async fn rewrite(world: &World, id: ConversationId, change: impl FnOnce(Vec<String>) -> Vec<String>) {
    let log = world.log(id);
    let records = world.ports.log.read_all(&log, Seq::ZERO).await.unwrap();
    let texts = records.iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap());
    let changed = change(texts.collect()).into_iter().map(Bytes::from).collect();
    world.ports.log.delete(&log).await.unwrap();
    world.ports.log.append(&log, Seq::ZERO, changed).await.unwrap();
}

async fn reads_only_what_came_after(mut world: World, counts: &Counts) {
    let id = talked(&world).await;
    world.stop_worker().await;
    world.start_worker().await;
    counts.records();
    world.say(id, "after the start", false).await.unwrap();
    let read = counts.records();
    assert!(read < 40, "{read} records of more than 60 and a snapshot");
    let request = world.asked_now(id).await;
    for said in ["message 00", "message 29", "after the start"] {
        assert!(request.contains(said), "{said} is not in {request}");
    }
    let indexes = world.log_records(id).await.into_iter().filter_map(|record| match record {
        LogRecord::Event { n, .. } => Some(n),
        LogRecord::Control(_) => None,
    });
    let indexes: Vec<u64> = indexes.collect();
    assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>());
    until(async || kept(&world, id).await.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_starts_anew_reads_only_what_came_after_the_snapshot() {
    let (world, counts) = world().await;
    reads_only_what_came_after(world, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_a_cluster_that_starts_anew_reads_only_what_came_after_the_snapshot() {
    let counts = Arc::new(Counts::default());
    let world = World::on_nats(often, |ports| counts.count(ports)).await;
    reads_only_what_came_after(world, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_does_not_fit_is_passed_over() {
    let (mut world, _) = world().await;
    let id = talked(&world).await;
    let good = json_of(&kept(&world, id).await.pop().unwrap());
    let changed = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        // Whoever believed it would not know what was said.
        changed["past"]["view"]["items"] = json!([]);
        changed.to_string()
    };
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wrong = [
        "nonsense".to_owned(),
        nested,
        changed("/version", json!(0)),
        changed("/newest_fence", json!(9)),
        changed("/projection/seq", json!(1_u64 << 40)),
        changed("/anchor/seq", json!(1_u64 << 40)),
        changed("/anchor/after", json!(1_u64 << 40)),
        changed("/anchor/hash", json!(1)),
        changed("/past/view", json!({"items": []})).replace("\"trail\"", "\"renamed\""),
    ];
    for wrong in wrong {
        world.stop_worker().await;
        put(&world, id, wrong.clone()).await;
        world.start_worker().await;
        let request = world.asked_now(id).await;
        assert!(request.contains("message 00"), "believed {}", &wrong[..wrong.len().min(1_000)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_snapshots_the_last_one_counts() {
    let (mut world, counts) = world().await;
    let id = talked(&world).await;
    world.stop_worker().await;
    let good = kept(&world, id).await.pop().unwrap();
    for older in ["left by a crash", "and another one"] {
        put(&world, id, older).await;
    }
    put(&world, id, good).await;
    world.start_worker().await;
    counts.records();
    world.say(id, "after the start", false).await.unwrap();
    let read = counts.records();
    assert!(read < 40, "{read} records of more than 60 and some snapshots");
}

/// With the same number of events at the same positions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_another_log_of_that_id_is_passed_over() {
    let (mut world, _) = world().await;
    let id = talked(&world).await;
    world.stop_worker().await;
    let at_another_time = |text: &String| {
        text.replace("message ", "massage ").replace("\"timestamp\":\"2", "\"timestamp\":\"1")
    };
    rewrite(&world, id, |records| records.iter().map(at_another_time).collect()).await;
    world.start_worker().await;
    let request = world.asked_now(id).await;
    assert!(request.contains("massage 00") && !request.contains("message 00"), "{request}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_before_its_snapshot_is_read_as_it_is() {
    let (mut world, _) = world().await;
    let id = talked(&world).await;
    world.stop_worker().await;
    rewrite(&world, id, |mut records| {
        records.truncate(records.len() / 3);
        records
    })
    .await;
    world.start_worker().await;
    let request = world.asked_now(id).await;
    assert!(request.contains("message 00") && !request.contains("message 29"), "{request}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_superseded_worker_keeps_late_costs_only_reading() {
    let (mut world, _) = world().await;
    let id = talked(&world).await;
    world.stop_worker().await;
    let old = kept(&world, id).await.pop().unwrap();
    world.config.epoch = Epoch(2);
    world.start_worker().await;
    for at in 0..SAID {
        world.say(id, &format!("later {at:02}"), false).await.unwrap();
    }
    world.stop_worker().await;
    put(&world, id, old).await;
    world.config.epoch = Epoch(3);
    world.start_worker().await;
    let request = world.asked_now(id).await;
    for said in ["message 00", "message 29", "later 00", "later 29"] {
        assert_eq!(request.matches(said).count(), 1, "{said} in {request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_no_snapshots_costs_only_reading() {
    let (mut world, counts) = world().await;
    counts.without_snapshots.store(true, Ordering::SeqCst);
    let id = world.create();
    for at in 0..SAID {
        world.say(id, &format!("message {at:02}"), false).await.unwrap();
    }
    restart(&mut world).await;
    let request = world.asked_now(id).await;
    assert!(request.contains("message 00") && request.contains("message 29"), "{request}");
    counts.without_snapshots.store(false, Ordering::SeqCst);
    assert_eq!(kept(&world, id).await, Vec::<Bytes>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_hides_what_the_log_hides() {
    let (world, _) = world().await;
    let value = "s3cr3t-of-the-test";
    let id = world.create_with(|copy| {
        copy.secrets.insert("TOKEN".to_owned(), secret(value));
    });
    world.model.will([terminal("echo $TOKEN-is-printed"), finish()]);
    world.say(id, "print it", true).await.unwrap();
    world.wait_status(id, "finished").await;
    for _ in 0..SAID {
        world.say(id, "more", false).await.unwrap();
    }
    until(async || known(&world, id).await >= 40).await;
    let snapshot = kept(&world, id).await.pop().unwrap();
    let snapshot = String::from_utf8(snapshot.to_vec()).unwrap();
    assert!(snapshot.contains("-is-printed") && !snapshot.contains(value), "{snapshot}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_a_conversation_once_it_is_forgotten() {
    let (world, counts) = world().await;
    let closed = counts.gate.write().await;
    let id = world.create();
    for _ in 0..SAID {
        world.say(id, "a message", false).await.unwrap();
    }
    until(async || counts.snapshots.load(Ordering::SeqCst) > 0).await;
    let mut forgetting = Box::pin(world.forget(id));
    // It waits. A worker that did not wait would have answered long before.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut forgetting).await;
    if early.is_ok() {
        world.ports.log.delete(&snapshots(&world, id)).await.unwrap();
    }
    drop(closed);
    if early.is_err() {
        forgetting.await.unwrap();
        world.ports.log.delete(&snapshots(&world, id)).await.unwrap();
    }
    // Lets whatever waited at the gate go on.
    drop(counts.gate.write().await);
    let other = talked(&world).await;
    assert_ne!(kept(&world, other).await, Vec::<Bytes>::new());
    assert_eq!(kept(&world, id).await, Vec::<Bytes>::new());
}
