//! Old answers to calls with an Idempotency-Key are removed without reading all of them into the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use ports::doubles::KvDouble;
use ports::{Expect, Kv, Ports, Result, Scan};
use tokio_util::sync::CancellationToken;
use types::buckets::IDEMPOTENCY;

/// Notes how many values were held at once: taken from a scan, and not removed yet.
struct Noted {
    kv: Arc<dyn Kv>,
    held: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl KvDouble for Noted {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.kv.as_ref())
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        self.held.fetch_sub(1, Ordering::SeqCst);
        self.kv.delete(bucket, key, expect).await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        let note = |_: &_| {
            let held = self.held.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(held, Ordering::SeqCst);
        };
        Box::pin(self.kv.scan(bucket).inspect(note))
    }
}

#[tokio::test]
async fn each_old_answer_is_removed_before_the_next_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = crate::harness::config::open(folder.path()).await;
    for key in ["a", "b", "c"] {
        ports.kv.put(IDEMPOTENCY, key, "no answer of this time".into(), Expect::Absent).await.unwrap();
    }
    let noted =
        Arc::new(Noted { kv: ports.kv.clone(), held: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let stop = CancellationToken::new();
    stop.cancel();
    manyhands_gateway::idempotency::sweep(Ports { kv: noted.clone(), ..ports.clone() }, stop).await;
    assert_eq!(ports.kv.list(IDEMPOTENCY).await, Ok(Vec::new()));
    assert_eq!(noted.most.load(Ordering::SeqCst), 1);
}
