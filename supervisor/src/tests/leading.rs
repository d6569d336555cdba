//! Of several supervisors one schedules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::KvDouble;
use ports::leader::{Candidate, Timing};
use ports::{Error, Expect, Kv, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use types::buckets::{LEASES, SUPERVISOR_KEY};

use super::{World, world};

const TIMING: Timing = Timing { lifetime: Duration::from_millis(600), renewal: Duration::from_millis(100) };
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
enum News {
    Begins(&'static str),
    Ends(&'static str),
}

struct Supervisor {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn candidate(&self, name: &'static str, news: &mpsc::Sender<News>) -> Supervisor {
        let shutdown = CancellationToken::new();
        let (kv, stop, news) = (Arc::clone(&self.ports.kv), shutdown.clone(), news.clone());
        let task = tokio::spawn(async move {
            let work = |stop: CancellationToken| {
                let news = news.clone();
                async move {
                    let _ = news.send(News::Begins(name)).await;
                    stop.cancelled().await;
                    let _ = news.send(News::Ends(name)).await;
                }
            };
            Candidate::new(&kv, (LEASES, SUPERVISOR_KEY), "testing", TIMING).lead(&stop, work).await;
        });
        Supervisor { shutdown, task }
    }
}

async fn next(news: &mut mpsc::Receiver<News>) -> News {
    timeout(PATIENCE, news.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn another_takes_over_when_the_leader_is_shut_down() {
    let world = world().await;
    let (sender, mut news) = mpsc::channel(16);
    let first = world.candidate("first", &sender);
    assert_eq!(next(&mut news).await, News::Begins("first"));
    let _second = world.candidate("second", &sender);
    assert!(timeout(TIMING.lifetime * 2, news.recv()).await.is_err(), "two led at once");
    first.shutdown.cancel();
    first.task.await.unwrap();
    assert_eq!(next(&mut news).await, News::Ends("first"));
    assert_eq!(next(&mut news).await, News::Begins("second"));
}

#[tokio::test]
async fn another_takes_over_when_the_leader_dies() {
    let world = world().await;
    let (sender, mut news) = mpsc::channel(16);
    let first = world.candidate("first", &sender);
    assert_eq!(next(&mut news).await, News::Begins("first"));
    let _second = world.candidate("second", &sender);
    first.task.abort();
    assert_eq!(next(&mut news).await, News::Begins("second"));
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_does_not_cost_the_turn() {
    let mut world = world().await;
    let store = Arc::new(Store { inner: world.ports.kv.clone(), loses_answers: AtomicBool::new(false) });
    world.ports.kv = store.clone();
    let (sender, mut news) = mpsc::channel(16);
    let _first = world.candidate("first", &sender);
    assert_eq!(next(&mut news).await, News::Begins("first"));
    let revision = async || world.ports.kv.get(LEASES, "_supervisor").await.unwrap().unwrap().revision;
    let before = revision().await;
    store.loses_answers.store(true, Ordering::Relaxed);
    let written = async {
        while revision().await == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    store.loses_answers.store(false, Ordering::Relaxed);
    assert!(timeout(TIMING.lifetime * 2, news.recv()).await.is_err(), "it leads on");
}

/// Writes, and then says that it may not have.
struct Store {
    inner: Arc<dyn Kv>,
    loses_answers: AtomicBool,
}

#[async_trait]
impl KvDouble for Store {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        let written = self.inner.put(bucket, key, value, expect).await;
        match self.loses_answers.load(Ordering::Relaxed) {
            true => Err(Error::Unavailable("no answer".to_owned())),
            false => written,
        }
    }
}

#[tokio::test]
async fn a_leader_that_was_replaced_stops_and_waits_for_its_turn() {
    let world = world().await;
    let (sender, mut news) = mpsc::channel(16);
    let _first = world.candidate("first", &sender);
    assert_eq!(next(&mut news).await, News::Begins("first"));
    world.ports.kv.put(LEASES, "_supervisor", "usurper".into(), Expect::Anything).await.unwrap();
    assert_eq!(next(&mut news).await, News::Ends("first"));
    assert_eq!(next(&mut news).await, News::Begins("first"), "the usurper never renews");
}

#[tokio::test]
async fn what_is_done_once_is_done_by_one_at_a_time_and_dropped_when_the_turn_is_lost() {
    let world = world().await;
    let candidate = || Candidate::new(&world.ports.kv, (LEASES, SUPERVISOR_KEY), "testing", TIMING);
    let at_once = AtomicUsize::new(0);
    let work = async || {
        let others = at_once.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(TIMING.renewal).await;
        at_once.fetch_sub(1, Ordering::Relaxed);
        others
    };
    let (one, other) = (candidate(), candidate());
    assert_eq!(tokio::join!(one.once(work()), other.once(work())), (Some(0), Some(0)));
    let lost = one.once(async {
        let usurped = world.ports.kv.put(LEASES, SUPERVISOR_KEY, "usurper".into(), Expect::Anything);
        usurped.await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(timeout(PATIENCE, lost).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_takes_its_thread_for_longer_than_a_lifetime_keeps_its_turn() {
    let world = world().await;
    let candidate = || Candidate::new(&world.ports.kv, (LEASES, SUPERVISOR_KEY), "testing", TIMING);
    let (one, other, is_done) = (candidate(), candidate(), Arc::new(AtomicBool::new(false)));
    let (begun, begins) = tokio::sync::oneshot::channel();
    let seen = is_done.clone();
    let another = tokio::spawn(async move {
        begins.await.unwrap();
        other.once(async { seen.load(Ordering::SeqCst) }).await
    });
    let done = one.once(async {
        begun.send(()).unwrap();
        // As files on a disk that is slow.
        std::thread::sleep(TIMING.lifetime * 3);
        tokio::time::sleep(TIMING.renewal / 2).await;
        is_done.store(true, Ordering::SeqCst);
    });
    assert_eq!(done.await, Some(()));
    assert_eq!(timeout(PATIENCE, another).await.unwrap().unwrap(), Some(true), "it waited for the end");
}
