//! What is counted is told once, whatever the store does meanwhile, and kept for no longer than it is needed.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use embedded::{Fsync, Options};
use ports::Expect;
use ports::doubles::KvDouble;
use tokio::sync::{Notify, Semaphore};

use super::*;

#[tokio::test]
async fn who_stores_nothing_any_more_has_no_account_and_what_it_has_stored_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let (quota, _refused) = Quota::new(ports.kv, 1_000);
    let [idle, busy] = ["idle", "busy"].map(|name| SandboxId::parse(name).unwrap());
    for bytes in [400, 100] {
        quota.charge(&idle, bytes, || false).await.unwrap();
    }
    quota.forget_idle(Duration::from_secs(3_600)).await;
    assert_eq!(quota.accounts.lock().len(), 1, "it may store more");
    quota.forget_idle(Duration::ZERO).await;
    assert!(quota.accounts.lock().is_empty());
    quota.charge(&busy, 100, || false).await.unwrap();
    assert_eq!(quota.sums().get(&idle).await, Ok(Some(500)));
    assert!(matches!(quota.charge(&idle, 501, || false).await, Err(Error::Full(_))));
    quota.charge(&idle, 500, || false).await.unwrap();
}

/// What has counted 400 bytes of a sandbox in the bucket, and 100 more that the others do not know of.
async fn with_a_part_untold(store: Arc<dyn Kv>) -> (Arc<Quota>, SandboxId) {
    let (quota, _) = Quota::new(store, 1_000);
    let sandbox = SandboxId::parse("a").unwrap();
    for bytes in [400, 100] {
        quota.charge(&sandbox, bytes, || false).await.unwrap();
    }
    (quota, sandbox)
}

/// A store that takes what is written, and answers only once it is told to.
struct Late {
    inner: Arc<dyn Kv>,
    is_late: AtomicBool,
    written: Notify,
    answers: Semaphore,
}

impl Late {
    fn new(inner: Arc<dyn Kv>) -> Arc<Self> {
        let (is_late, written, answers) = (AtomicBool::new(false), Notify::new(), Semaphore::new(0));
        Arc::new(Self { inner, is_late, written, answers })
    }
}

#[async_trait]
impl KvDouble for Late {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        let put = self.inner.put(bucket, key, value, expect).await;
        if self.is_late.load(Ordering::SeqCst) {
            self.written.notify_one();
            self.answers.acquire().await.unwrap().forget();
        }
        put
    }
}

#[tokio::test]
async fn what_was_written_when_it_was_given_up_is_not_counted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let store = Late::new(ports.kv);
    let (quota, sandbox) = with_a_part_untold(store.clone()).await;
    store.is_late.store(true, Ordering::SeqCst);
    tokio::select! {
        () = quota.save_all() => unreachable!("it is not answered"),
        () = store.written.notified() => {}
    }
    store.answers.add_permits(10);
    quota.save_all().await;
    assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(500)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_keeps_the_end_waiting_once_however_many_accounts_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let store = Late::new(ports.kv);
    let (quota, _) = Quota::new(store.clone(), 1_000);
    for number in 0..3 * AT_ONCE {
        let sandbox = SandboxId::parse(&number.to_string()).unwrap();
        quota.charge(&sandbox, 400, || false).await.unwrap();
        quota.charge(&sandbox, 100, || false).await.unwrap();
    }
    store.is_late.store(true, Ordering::SeqCst);
    timeout(2 * SAVING, quota.save_all()).await.expect("it ends");
}

#[tokio::test]
async fn what_cannot_be_told_while_its_account_is_forgotten_is_told_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let (quota, sandbox) = with_a_part_untold(ports.kv).await;
    let failing = quota.take(&sandbox, 1).unwrap();
    quota.forget_idle(Duration::ZERO).await;
    drop(failing);
    quota.save_all().await;
    assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(500)));
}

/// A store that panics once.
struct Defective(Arc<dyn Kv>, AtomicBool);

#[async_trait]
impl KvDouble for Defective {
    fn inner(&self) -> Result<&dyn Kv> {
        assert!(!self.1.swap(false, Ordering::SeqCst), "a defect");
        Ok(self.0.as_ref())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_account_keeps_none_from_being_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let store = Arc::new(Defective(ports.kv, AtomicBool::new(false)));
    let (quota, _) = with_a_part_untold(store.clone()).await;
    store.1.store(true, Ordering::SeqCst);
    // Hours pass, while the store needs its time.
    let until_forgotten = async {
        let began = std::time::Instant::now();
        while !quota.accounts.lock().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "it is kept");
            tokio::time::advance(Duration::from_secs(600)).await;
        }
    };
    tokio::select! {
        _ = super::super::keep_few_accounts(&quota) => {}
        () = until_forgotten => {}
    }
}

#[tokio::test]
async fn what_is_weighed_takes_the_place_of_what_was_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let (quota, mut refused) = Quota::new(ports.kv, 1_000);
    let sandbox = SandboxId::parse("a").unwrap();
    quota.charge(&sandbox, 900, || false).await.unwrap();
    quota.charge(&sandbox, 101, || false).await.unwrap_err();
    assert_eq!(refused.try_recv().as_ref(), Ok(&sandbox));
    assert_eq!(quota.put_right(&sandbox, async { Ok(300) }).await, Ok(true));
    quota.charge(&sandbox, 700, || false).await.unwrap();
    quota.charge(&sandbox, 1, || false).await.unwrap_err();
    let away = async { Err(Error::Unavailable("away".to_owned())) };
    quota.put_right(&sandbox, away).await.unwrap_err();
    quota.save_all().await;
    assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(1_000)));
}

#[tokio::test]
async fn what_is_counted_while_it_is_weighed_is_not_taken_for_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
    let (quota, _refused) = Quota::new(ports.kv, 1_000);
    let sandbox = SandboxId::parse("a").unwrap();
    quota.charge(&sandbox, 1_000, || false).await.unwrap();
    let removed_meanwhile = async {
        quota.sums().add(&sandbox, -400).await.unwrap();
        Ok(600)
    };
    assert_eq!(quota.put_right(&sandbox, removed_meanwhile).await, Ok(false));
    let put_right_elsewhere = async {
        assert_eq!(quota.put_right(&sandbox, async { Ok(600) }).await, Ok(true));
        Ok(600)
    };
    assert_eq!(quota.put_right(&sandbox, put_right_elsewhere).await, Ok(false));
    assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(600)));
}
