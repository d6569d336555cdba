//! One server at a time is killed under whoever writes and reads; and two stand still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use ports::{Change, Error, Expect};
use testing::within;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use types::Seq;
use types::buckets::SANDBOXES;
use types::subjects::store;

use super::users::Known;
use super::{ELECTED, Three};
use crate::common::{append, log, next, texts};

/// Records that are stored after a server has failed: so many that it is not missed.
const WITHOUT_IT: u64 = 50;
const LOG: &str = "a";
/// Less than a leader that is alone takes to notice it.
const BRIEFLY: Duration = Duration::from_millis(500);
/// More than a message holds.
const LARGE: usize = 700 << 10;

/// Users of all kinds, on connections of their own to each of the servers.
struct Scene {
    three: Three,
    known: Arc<Known>,
    users: Vec<JoinHandle<()>>,
}

impl Scene {
    async fn set() -> Self {
        let (three, known, mut users) = (Three::start().await, Arc::<Known>::default(), Vec::new());
        let ports = async || {
            let connection = three.connection().await;
            within(ELECTED, "the ports", async || connection.control().await.ok()).await
        };
        users.push(tokio::spawn(known.clone().write(ports().await)));
        for name in ["one", "another"] {
            let (known, ports) = (known.clone(), ports().await);
            users.push(tokio::spawn(async move { known.contend(ports, name).await }));
        }
        for index in 0..three.servers.len() {
            let connection = three.connection_to(index).await;
            let ports = within(ELECTED, "the ports", async || connection.control().await.ok()).await;
            users.push(tokio::spawn(known.clone().read(ports)));
        }
        Self { three, known, users }
    }

    /// Waits until so many more records are stored; answers how long that took.
    async fn more(&self, count: u64) -> Duration {
        let (began, before) = (Instant::now(), self.known.stored.load(Ordering::SeqCst));
        let goes_on = async || {
            assert!(!self.users.iter().any(JoinHandle::is_finished), "somebody has failed");
            (self.known.stored.load(Ordering::SeqCst) >= before + count).then_some(())
        };
        within(ELECTED, "the records that follow", goes_on).await;
        began.elapsed()
    }

    async fn ends_well(self) {
        self.known.stop();
        join_all(self.users).await.into_iter().for_each(Result::unwrap);
        let connection = self.three.connection().await;
        self.known.is_true(&connection.control().await.unwrap()).await;
        let (stored, reads) = (&self.known.stored, &self.known.reads);
        println!("{stored:?} records, {reads:?} reads, the longest wait {:?}", self.known.waited());
    }
}

fn rounds() -> usize {
    std::env::var("MANYHANDS_REPLICAS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_servers_one_at_a_time_may_die_and_nothing_is_lost_doubled_or_read_late() {
    let mut scene = Scene::set().await;
    let watching = scene.three.connection().await;
    scene.more(WITHOUT_IT).await;
    for index in (0..3).cycle().take(3 * rounds()) {
        scene.three.servers[index].kill().await;
        let took = scene.more(WITHOUT_IT).await;
        scene.three.servers[index].restart().await;
        let began = Instant::now();
        scene.three.are_whole(&watching).await;
        println!("without {index}: goes on after {took:.1?}; whole again after {:.1?}", began.elapsed());
    }
    scene.ends_well().await;
}

/// A leader that is alone says of the same piece that it has it already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_record_is_stored_before_two_servers_have_its_body() {
    let three = Three::start().await;
    let first = three.connection().await;
    let leader = three.leader_of(&first, store::BODY_STREAM).await;
    let ports = three.connection_to(leader).await.control().await.unwrap();
    let listening = async_nats::connect(three.servers[leader].url()).await.unwrap();
    let mut records = listening.subscribe(store::ALL_EVENTS).await.unwrap();
    listening.flush().await.unwrap();
    let others = || three.servers.iter().enumerate().filter(|(index, _)| *index != leader);
    others().for_each(|(_, other)| other.stand_still());
    let large = "x".repeat(LARGE);
    // It has several pieces.
    for _ in 0..8 {
        let stored = timeout(BRIEFLY, append(&ports, LOG, Seq::ZERO, &[&large])).await;
        assert!(matches!(stored, Err(_) | Ok(Err(Error::Unavailable(_)))), "{stored:?}");
    }
    assert!(records.next().now_or_never().is_none(), "its body may be lost");
    others().for_each(|(_, other)| other.go_on());
    let stored = async || {
        // Perhaps it has been since the last try.
        let _ = append(&ports, LOG, Seq::ZERO, &[&large]).await;
        ports.log.tail(&log(LOG)).await.ok().filter(|tail| *tail > Seq::ZERO)
    };
    within(ELECTED, "the record", stored).await;
    assert_eq!(texts(&ports, LOG).await, [large]);
}

/// A leader that is alone refuses what comes after a change that it cannot make, and nobody has been quicker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_under_way_is_none_that_was_made() {
    let three = Three::start().await;
    let first = three.connection().await;
    let leader = three.leader_of(&first, &store::bucket_stream(SANDBOXES)).await;
    let kv = three.connection_to(leader).await.control().await.unwrap().kv;
    let revision = kv.put(SANDBOXES, "old", "value".into(), Expect::Absent).await.unwrap();
    let others = || three.servers.iter().enumerate().filter(|(index, _)| *index != leader);
    others().for_each(|(_, other)| other.stand_still());
    for (key, expect) in [("old", Expect::Revision(revision)), ("new", Expect::Absent)] {
        let put = async |value: &'static str| kv.put(SANDBOXES, key, value.into(), expect).await;
        assert!(timeout(BRIEFLY, put("one")).await.is_err());
        let another = put("another").await;
        assert!(matches!(another, Err(Error::Unavailable(_))), "{another:?}");
    }
    let deleted = kv.delete(SANDBOXES, "old", Expect::Revision(revision)).await;
    assert!(matches!(deleted, Err(Error::Unavailable(_))), "{deleted:?}");
    others().for_each(|(_, other)| other.go_on());
}

/// As where a connection between servers is cut for a moment. Here it is the stream that does not publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_stream_is_told_to_look_when_what_it_publishes_does_not_arrive() {
    let three = Three::start().await;
    let connection = three.connection().await;
    let ports = connection.control().await.unwrap();
    let mut changes = ports.kv.watch(SANDBOXES).await.unwrap();
    ports.kv.put(SANDBOXES, "a", "value".into(), Expect::Absent).await.unwrap();
    while !matches!(next(&mut changes).await, Change::Put { .. }) {}
    three.mute(&connection, &store::bucket_stream(SANDBOXES)).await;
    ports.kv.put(SANDBOXES, "b", "value".into(), Expect::Absent).await.unwrap();
    let told = async { while !matches!(next(&mut changes).await, Change::Lagged) {} };
    timeout(ELECTED, told).await.unwrap();
    // It was found, and is not missed any more.
    let quiet = timeout(ELECTED / 2, changes.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

/// What a leader has stored when it dies, it may have published to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_stream_is_told_to_look_when_it_gets_another_leader() {
    let mut three = Three::start().await;
    let first = three.connection().await;
    let leader = three.leader_of(&first, &store::bucket_stream(SANDBOXES)).await;
    // Its own connection is not lost.
    let other = three.connection_to((leader + 1) % 3).await;
    let ports = other.control().await.unwrap();
    let mut changes = ports.kv.watch(SANDBOXES).await.unwrap();
    three.servers[leader].kill().await;
    let told = async { while !matches!(next(&mut changes).await, Change::Lagged) {} };
    timeout(ELECTED, told).await.unwrap();
    assert!(other.is_connected());
}
