//! What is kept in memory of the logs that are asked about, and what is found in it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::index::ConversationState;
use async_trait::async_trait;
use ports::doubles::LogDouble;
use ports::{Ports, Record};
use serde_json::json;
use types::LogId;
use types::event::ROOT;
use types::log::{Control, LogRecord};

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

/// A store that counts its pages, and takes so long for each.
struct Slow {
    log: Arc<dyn EventLog>,
    pages: AtomicUsize,
    takes: Duration,
    /// Which has one that never comes.
    stuck: Option<LogId>,
}

#[async_trait]
impl LogDouble for Slow {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.log.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        if self.stuck.as_ref() == Some(log) {
            std::future::pending::<()>().await;
        }
        self.pages.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.log.read(log, after, limit).await
    }
}

struct World {
    ports: Ports,
    _store: (embedded::Guard, tempfile::TempDir),
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, store) = embedded::open(options).await.unwrap();
        Self { ports, _store: (store, folder) }
    }

    /// A conversation of these events, each with what it hangs below.
    async fn of(&self, events: impl IntoIterator<Item = (String, Option<String>)>) -> ConversationState {
        let record = |(n, (id, parent)): (usize, (String, Option<String>))| {
            let mut event = json!({"id": id, "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent", "source": "agent"});
            if let Some(parent) = parent {
                event["parent_id"] = parent.into();
            }
            Bytes::from(LogRecord::event(n as u64, &event).unwrap().encode().unwrap())
        };
        let entry = ConversationState::sample();
        let records: Vec<Bytes> = events.into_iter().enumerate().map(record).collect();
        self.ports.log.append(&entry.log, Seq::ZERO, records).await.unwrap();
        entry.followed.catch_up(self.ports.log.as_ref()).await.unwrap();
        entry
    }

    fn history(&self, takes: Duration, stuck: Option<LogId>) -> (History, Arc<Slow>) {
        let slow = Arc::new(Slow { log: self.ports.log.clone(), pages: AtomicUsize::new(0), takes, stuck });
        (History::new(slow.clone()), slow)
    }
}

fn chain(count: usize) -> impl Iterator<Item = (String, Option<String>)> {
    (0..count).map(|at| (at.to_string(), at.checked_sub(1).map(|before| before.to_string())))
}

/// Which of the events are on the branch of `head`, by their ids.
async fn on(history: &History, entry: &ConversationState, head: &str) -> Option<Vec<String>> {
    let branch = history.branch_of(entry, head).await.unwrap()?;
    let rows = history
        .offsets(entry)
        .await
        .unwrap()
        .find(Order::Forward, None, usize::MAX, |row| branch.contains(row.place.seq));
    let texts = history.texts(entry, &rows, Order::Forward).await.unwrap();
    let id = |text: &Bytes| {
        serde_json::from_slice::<serde_json::Value>(text).unwrap()["id"].as_str().unwrap().to_owned()
    };
    Some(texts.iter().map(id).collect())
}

#[tokio::test]
async fn a_branch_has_what_is_above_its_head_and_nothing_else() {
    let world = World::start().await;
    let (upper, lower) = ("00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff");
    let events = [
        ("a", None),
        ("b", Some("a")),
        ("c", Some("b")),
        ("d", Some("a")),
        ("e", Some(ROOT)),
        (upper, Some("d")),
        (lower, Some("c")),
        ("f", Some("nowhere")),
        ("g", None),
    ];
    let entry = world.of(events.map(|(id, parent)| (id.to_owned(), parent.map(str::to_owned)))).await;
    let (history, _) = world.history(Duration::ZERO, None);
    for (head, wanted) in [
        ("c", vec!["a", "b", "c"]),
        ("d", vec!["a", "d"]),
        ("e", vec!["e"]),
        (upper, vec!["a", "d", upper]),
        (lower, vec!["a", "b", "c", lower]),
        ("g", vec!["f", "g"]),
    ] {
        assert_eq!(on(&history, &entry, head).await.unwrap(), wanted);
    }
    assert_eq!(on(&history, &entry, "z").await, None);
}

#[tokio::test]
async fn a_branch_that_is_looked_for_again_costs_no_reading() {
    let world = World::start().await;
    let entry = world.of(chain(3_000)).await;
    let (history, slow) = world.history(Duration::ZERO, None);
    assert!(history.branch_of(&entry, "2999").await.unwrap().is_some());
    let pages = slow.pages.load(Ordering::SeqCst);
    for head in ["2999", "1", "zz"] {
        history.branch_of(&entry, head).await.unwrap();
    }
    assert_eq!(slow.pages.load(Ordering::SeqCst), pages);
}

#[tokio::test]
async fn whoever_waits_for_branches_keeps_nobody_else_from_them() {
    let world = World::start().await;
    let (stuck, other) = (world.of(chain(3)).await, world.of(chain(3)).await);
    let (history, _) = world.history(Duration::ZERO, Some(stuck.log.clone()));
    let waiting = futures_util::future::join_all((0..100).map(|_| history.branch_of(&stuck, "2")));
    let found = async {
        tokio::task::yield_now().await;
        timeout(Duration::from_secs(10), history.branch_of(&other, "2")).await.expect("nobody is in the way")
    };
    tokio::select! {
        biased;
        _ = waiting => unreachable!("it never comes"),
        found = found => assert!(found.unwrap().is_some()),
    }
}

#[tokio::test]
async fn a_log_that_takes_long_is_given_up_and_gone_on_with_the_next_time() {
    let world = World::start().await;
    let entry = world.of(chain(5_500)).await;
    tokio::time::pause();
    let (history, slow) = world.history(READING / 4, None);
    let given_up = history.branch_of(&entry, "0").await;
    assert!(matches!(given_up, Err(Error::Unavailable(_))), "{given_up:?}");
    assert!(history.branch_of(&entry, "0").await.unwrap().is_some());
    // Whatever was under way when it was given up.
    assert!(slow.pages.load(Ordering::SeqCst) <= 6 + 2);
}

/// They have no row, however many there are.
#[tokio::test]
async fn records_that_no_client_sees_are_not_read_for_ever_either() {
    let world = World::start().await;
    let entry = world.of(chain(1)).await;
    let control = Bytes::from(LogRecord::Control(Control::RunEnded {}).encode().unwrap());
    let tail = world.ports.log.tail(&entry.log).await.unwrap();
    world.ports.log.append(&entry.log, tail, vec![control; 10_000]).await.unwrap();
    entry.followed.catch_up(world.ports.log.as_ref()).await.unwrap();
    tokio::time::pause();
    let (history, _) = world.history(READING / 4, None);
    assert!(matches!(history.branch_of(&entry, "0").await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn the_newest_of_a_branch_is_found_without_reading_what_was_left() {
    let world = World::start().await;
    let left = chain(3_000).skip(1);
    let entry = world.of([("0".to_owned(), None)].into_iter().chain(left).collect::<Vec<_>>()).await;
    let (history, slow) = world.history(Duration::ZERO, None);
    let branch = history.branch_of(&entry, "0").await.unwrap();
    let pages = slow.pages.load(Ordering::SeqCst);
    let found =
        history.newest(&entry, &["MessageEvent"], branch.as_ref(), |event| Some(event.to_vec())).await;
    assert!(String::from_utf8(found.unwrap().unwrap()).unwrap().contains(r#""id":"0""#));
    assert_eq!(slow.pages.load(Ordering::SeqCst), pages + 1);
}
