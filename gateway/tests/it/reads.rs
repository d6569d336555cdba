//! What of a store is read for a page: what is on it, and not all there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::LogDouble;
use ports::{EventLog, Expect, Ports, Record, Result};
use serde_json::{Value, json};
use types::buckets::CONVERSATIONS;
use types::{BashScope, ConversationId, LogId, SandboxId, Seq};

use crate::harness::events::{agent_message, update};
use crate::harness::{Gateway, Server, config, start, until};

const STORED: usize = 3_000;
const PAGES: usize = 20;

/// Counts the records that are read.
struct Counting {
    log: Arc<dyn EventLog>,
    read: AtomicUsize,
}

#[async_trait]
impl LogDouble for Counting {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.log.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let records = self.log.read(log, after, limit).await?;
        self.read.fetch_add(records.len(), Ordering::SeqCst);
        Ok(records)
    }
}

async fn counted(server: &Server) -> (Arc<Counting>, Gateway) {
    let counting = Arc::new(Counting { log: server.ports.log.clone(), read: AtomicUsize::new(0) });
    let ports = Ports { log: counting.clone(), ..server.ports.clone() };
    (counting, Gateway::start(ports, config()).await)
}

/// How many records are read for [`PAGES`] pages of ten, once there has been one.
async fn read_for_pages(counting: &Counting, gateway: &Gateway, path: &str) -> usize {
    until(async || {
        gateway.get(&format!("{path}limit=10")).await.1["items"]
            .as_array()
            .is_some_and(|items| items.len() == 10)
    })
    .await;
    let before = counting.read.load(Ordering::SeqCst);
    let (mut seen, mut cursor) = (0, String::new());
    for _ in 0..PAGES {
        let (status, page) = gateway.get(&format!("{path}limit=10{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        seen += page["items"].as_array().unwrap().len();
        cursor = format!("&page_id={}", page["next_page_id"].as_str().unwrap());
    }
    assert_eq!(seen, 10 * PAGES);
    counting.read.load(Ordering::SeqCst) - before
}

/// Defect C6 of the peer, which opens every file there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_page_of_outputs_of_commands_not_all_of_them_are_read() {
    let server = start().await;
    let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    let event = |number: usize| {
        let event = json!({"kind": "BashOutput", "id": uuid_of(number), "command_id": uuid_of(0), "order": number,
            "timestamp": "2026-11-23T00:00:00.000000Z", "exit_code": null, "stdout": "x", "stderr": null});
        Bytes::from(serde_json::to_vec(&event).unwrap())
    };
    server.ports.log.append(&log, Seq::ZERO, (0..STORED).map(event).collect()).await.unwrap();
    let (counting, gateway) = counted(&server).await;
    let read = read_for_pages(&counting, &gateway, "/api/bash/bash_events/search?").await;
    assert!(read <= STORED, "{read} records were read for {PAGES} pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_page_of_events_of_one_kind_not_all_events_are_read() {
    let server = start().await;
    let id = server.create().await;
    let conversation: ConversationId = id.parse().unwrap();
    let event = |number: usize| match number % 3 {
        0 => agent_message(&number.to_string()),
        _ => update("key", Value::from(number)),
    };
    server.worker.append_events(conversation, (0..STORED).map(event).collect(), 500).await;
    let (counting, gateway) = counted(&server).await;
    let count = format!("/api/conversations/{id}/events/count?kind=MessageEvent");
    until(async || gateway.get(&count).await.1 == STORED / 3).await;
    let path = format!("/api/conversations/{id}/events/search?kind=MessageEvent&");
    let read = read_for_pages(&counting, &gateway, &path).await;
    assert!(read <= STORED, "{read} records were read for {PAGES} pages");
    let before = counting.read.load(Ordering::SeqCst);
    assert_eq!(gateway.get(&count).await.1, STORED / 3);
    assert_eq!(counting.read.load(Ordering::SeqCst), before, "what was counted is known");
}

fn uuid_of(number: usize) -> String {
    uuid::Uuid::from_u128(number as u128).simple().to_string()
}

/// Clients come back to a conversation in this way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_a_conversation_that_was_brought_once_more_has_its_history_not_read() {
    let server = start().await;
    let source = server.create().await;
    let id = "00000000-0000-4000-8000-000000000002";
    let key = |id: &str| id.parse::<ConversationId>().unwrap().hex();
    let record = server.ports.kv.get(CONVERSATIONS, &key(&source)).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&record.value).unwrap();
    record["id"] = id.into();
    let log = LogId::conversation(&SandboxId::shared(), id.parse().unwrap());
    let event = |n: usize| json!({"n": n, "event": agent_message("brought")}).to_string();
    let begun = r#"{"control":{"type":"fence","epoch":0}}"#.to_owned();
    let whole = r#"{"control":{"type":"brought"}}"#.to_owned();
    let records = [begun].into_iter().chain((0..STORED).map(event)).chain([whole]).map(Bytes::from);
    server.ports.log.append(&log, Seq::ZERO, records.collect()).await.unwrap();
    server.ports.kv.put(CONVERSATIONS, &key(id), record.to_string().into(), Expect::Absent).await.unwrap();
    let (counting, gateway) = counted(&server).await;
    until(async || gateway.get(&format!("/api/conversations/{id}/events/count")).await.1 == STORED).await;
    let before = counting.read.load(Ordering::SeqCst);
    let mut body = crate::harness::create_body();
    body["conversation_id"] = id.into();
    assert_eq!(gateway.post("/api/conversations", body).await.0, 200);
    let read = counting.read.load(Ordering::SeqCst) - before;
    assert!(read < 10, "{read} records are read");
}
