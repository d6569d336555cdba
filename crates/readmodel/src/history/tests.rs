//! What is kept in memory of the logs that are asked about.

use super::*;
use crate::index::ConversationState;
use ports::Ports;
use types::log::LogRecord;

const EVENTS: usize = 100;

async fn conversations(ports: &Ports, count: usize) -> Vec<ConversationState> {
    let mut all = Vec::new();
    for _ in 0..count {
        let entry = ConversationState::sample();
        let event = |n: usize| {
            let event = serde_json::json!({"id": n.to_string(), "timestamp": "2026-11-23T00:00:01",
                "kind": "MessageEvent", "source": "user"});
            Bytes::from(LogRecord::event(n as u64, &event).unwrap().encode().unwrap())
        };
        ports.log.append(&entry.log, Seq::ZERO, (0..EVENTS).map(event).collect()).await.unwrap();
        entry.followed.catch_up(ports.log.as_ref()).await.unwrap();
        all.push(entry);
    }
    all
}

#[tokio::test]
async fn rows_are_counted_whether_or_not_anybody_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, _store) = embedded::open(options).await.unwrap();
    let history = History { cache: Cache::new(5 * EVENTS, 20 * EVENTS), ..History::new(ports.log.clone()) };
    for entry in conversations(&ports, 40).await {
        // As one whose client hangs up once a page was read.
        history.cache.of(&entry).read_on(ports.log.as_ref(), &entry).await.unwrap();
        assert!(history.cache.rows() <= 6 * EVENTS, "{}", history.cache.rows());
    }
}

#[tokio::test]
async fn who_reads_too_much_at_once_is_refused_until_others_have_done() {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, _store) = embedded::open(options).await.unwrap();
    let history = History { cache: Cache::new(2 * EVENTS, 4 * EVENTS), ..History::new(ports.log.clone()) };
    let entries = conversations(&ports, 6).await;
    let mut reading = Vec::new();
    for entry in entries.iter().take(4) {
        reading.push(history.offsets(entry).await.unwrap());
    }
    assert!(matches!(history.get(&entries[4], "0").await, Err(ports::Error::Unavailable(_))));
    drop(reading);
    assert!(history.get(&entries[5], "0").await.unwrap().is_some());
}
