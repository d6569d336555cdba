//! What a conversation leaves goes with it, and nothing of one that is made anew under its id.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::LogDouble;
use ports::{Error, EventLog, Extent, Ports, Result};
use readmodel::index::{Created, Index};
use serde_json::json;
use testing::eventually;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::conversation::ConversationRecord;
use types::{ConversationId, LogId, Seq, TenantId};

const MIB: usize = 1 << 20;

/// The same logs, none of which is removed before it is allowed.
struct Late {
    inner: Arc<dyn EventLog>,
    waiting: watch::Sender<usize>,
    may_go: watch::Sender<bool>,
}

#[async_trait]
impl LogDouble for Late {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.may_go.subscribe().wait_for(|may_go| *may_go).await.unwrap();
        self.inner.remove(log, extent).await
    }
}

fn record(id: ConversationId, created_at: &str) -> ConversationRecord {
    serde_json::from_value(json!({"id": id, "sandbox": "default", "created_at": created_at, "title": null,
        "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
        "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null}))
    .unwrap()
}

async fn index(ports: &Ports) -> Index {
    Index::start(ports, &TaskTracker::new(), &CancellationToken::new()).await.unwrap()
}

async fn delete(index: Index, id: ConversationId) -> Result<bool> {
    index.delete(&TenantId::default(), id, async |_: &_| Ok::<_, Error>(())).await
}

async fn texts(ports: &Ports, log: &LogId) -> Vec<Bytes> {
    let records = ports.log.read_all(log, Seq::ZERO).await.unwrap();
    records.into_iter().map(|record| record.payload).collect()
}

#[tokio::test]
async fn a_deletion_that_waits_for_its_turn_removes_nothing_of_a_conversation_made_anew() {
    let (_server, connection) = crate::common::cluster().await;
    let ports = connection.control().await.unwrap();
    let late = Arc::new(Late {
        inner: ports.log.clone(),
        waiting: watch::Sender::default(),
        may_go: watch::Sender::default(),
    });
    let slow = index(&Ports { log: late.clone(), ..ports.clone() }).await;
    let other = index(&ports).await;
    let id = ConversationId::random();
    let [earlier, anew] =
        ["2026-11-23T00:00:00.000000Z", "2026-11-24T00:00:00.000000Z"].map(|at| record(id, at));
    let log = LogId::conversation(&earlier.sandbox, id);
    slow.create(&earlier).await.unwrap();
    ports.log.append(&log, Seq::ZERO, vec!["of the earlier one".into()]).await.unwrap();
    eventually("the other gateway knows it", async || other.any(id)).await;

    let deleting = tokio::spawn(delete(slow, id));
    late.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
    assert_eq!(delete(other.clone(), id).await, Ok(true));
    assert!(matches!(other.create(&anew).await.unwrap(), Created::New(_)));
    // The second one lies aside.
    let said = [Bytes::from("of the one made anew"), Bytes::from(vec![b'x'; MIB])];
    for text in &said {
        let tail = ports.log.tail(&log).await.unwrap();
        ports.log.append(&log, tail, vec![text.clone()]).await.unwrap();
    }
    late.may_go.send_replace(true);
    assert_eq!(deleting.await.unwrap(), Ok(true));
    assert_eq!(texts(&ports, &log).await, said);
    assert_eq!(other.read(id).await.unwrap(), Some(anew));
}

#[tokio::test]
async fn what_comes_late_goes_and_a_copy_that_another_gateway_makes_to_the_id_stays() {
    let (_server, connection) = crate::common::cluster().await;
    let ports = connection.control().await.unwrap();
    let (index, id) = (index(&ports).await, ConversationId::random());
    let deleted = record(id, "2026-11-23T00:00:00.000000Z");
    let Created::New(entry) = index.create(&deleted).await.unwrap() else { panic!("it is new") };
    assert_eq!(delete(index.clone(), id).await, Ok(true));
    let late = r#"{"control":{"type":"fence","epoch":1}}"#;
    let copied = r#"{"control":{"type":"forked","at":1}}"#;
    for (first, stays) in [(late, false), (copied, true)] {
        ports.log.append(&entry.log, Seq::ZERO, vec![first.into()]).await.unwrap();
        index.remove_late(&entry).await.unwrap();
        assert_eq!(!texts(&ports, &entry.log).await.is_empty(), stays, "{first}");
    }
}
