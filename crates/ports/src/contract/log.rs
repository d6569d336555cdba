//! What every store of logs must do.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use types::{BashScope, ConversationId, LogId, SandboxId, Seq, subjects};

use super::{new_log, next};
use crate::doubles::LogDouble;
use crate::{Delivery, Error, EventLog, Ports, Record, Result, Stored, Subscription};

pub async fn an_append_after_the_tail_is_stored_in_order(ports: Ports) {
    let log = new_log();
    let first = append(&ports, &log, Seq::ZERO, &["a", "b"]).await;
    let second = append(&ports, &log, first[1], &["c"]).await;
    assert!(Seq::ZERO < first[0] && first[0] < first[1] && first[1] < second[0]);
    let expected = vec![entry(first[0], "a"), entry(first[1], "b"), entry(second[0], "c")];
    assert_eq!(ports.log.read(&log, Seq::ZERO, 10).await, Ok(expected));
    assert_eq!(ports.log.tail(&log).await, Ok(second[0]));
}

pub async fn an_append_elsewhere_conflicts_and_names_the_tail(ports: Ports) {
    let log = new_log();
    let seqs = append(&ports, &log, Seq::ZERO, &["a", "b"]).await;
    for stale in [Seq::ZERO, seqs[0], Seq(seqs[1].0 + 1_000)] {
        let refused = ports.log.append(&log, stale, records(&["x"])).await;
        assert_eq!(refused, Err(Error::Conflict { tail: Some(seqs[1]) }));
    }
    let absent = new_log();
    let refused = ports.log.append(&absent, seqs[0], records(&["x"])).await;
    assert_eq!(refused, Err(Error::Conflict { tail: Some(Seq::ZERO) }));
    assert_eq!(texts(&ports, &log).await, ["a", "b"]);
    assert_eq!(texts(&ports, &absent).await, [""; 0]);
}

pub async fn of_racing_appends_one_wins(ports: Ports) {
    let log = new_log();
    let names: Vec<String> = (0..16).map(|number| format!("writer {number}")).collect();
    let race = names.iter().map(|name| ports.log.append(&log, Seq::ZERO, records(&[name.as_str()])));
    let outcomes = join_all(race).await;
    let winners: Vec<_> = outcomes.iter().zip(&names).filter(|(outcome, _)| outcome.is_ok()).collect();
    assert_eq!(winners.len(), 1);
    let tail = ports.log.tail(&log).await.expect("a tail");
    let losers = outcomes.iter().filter(|outcome| **outcome == Err(Error::Conflict { tail: Some(tail) }));
    assert_eq!(losers.count(), names.len() - 1);
    assert_eq!(texts(&ports, &log).await, [winners[0].1.as_str()]);
}

pub async fn records_of_one_append_are_never_mixed_with_others(ports: Ports) {
    let log = new_log();
    let writer = |name: usize| {
        let (ports, log) = (ports.clone(), log.clone());
        async move {
            let batch: Vec<Bytes> = (0..5).map(|part| format!("{name}:{part}").into()).collect();
            let mut tail = Seq::ZERO;
            loop {
                match ports.log.append(&log, tail, batch.clone()).await {
                    Ok(_) => return,
                    Err(Error::Conflict { tail: Some(real) }) => tail = real,
                    Err(other) => assert_eq!(other, Error::Conflict { tail: None }, "no other failure"),
                }
            }
        }
    };
    join_all((0..8).map(writer)).await;
    let texts = texts(&ports, &log).await;
    assert_eq!(texts.len(), 40);
    for batch in texts.chunks(5) {
        let (name, _) = batch[0].split_once(':').expect("the form of the records");
        let expected: Vec<String> = (0..5).map(|part| format!("{name}:{part}")).collect();
        assert_eq!(batch, expected);
    }
}

pub async fn an_append_of_nothing_changes_nothing(ports: Ports) {
    let log = new_log();
    let seqs = append(&ports, &log, Seq::ZERO, &["a"]).await;
    assert_eq!(append(&ports, &log, seqs[0], &[]).await, []);
    let refused = ports.log.append(&log, Seq::ZERO, Vec::new()).await;
    assert_eq!(refused, Err(Error::Conflict { tail: Some(seqs[0]) }));
    assert_eq!(texts(&ports, &log).await, ["a"]);
}

pub async fn records_are_published_once_stored_and_in_order(ports: Ports) {
    let log = new_log();
    let mut published = subscribe(&ports, &log).await;
    let first = append(&ports, &log, Seq::ZERO, &["a", "b"]).await;
    let second = append(&ports, &log, first[1], &["c"]).await;
    let mut prev = Seq::ZERO;
    for (seq, text) in [(first[0], "a"), (first[1], "b"), (second[0], "c")] {
        let (stored, blob) = publication(&mut published).await;
        assert_eq!((stored, blob), (Stored { seq, prev }, Bytes::from(text)));
        let read = ports.log.read(&log, prev, 1).await;
        assert_eq!(read, Ok(vec![entry(seq, text)]), "what is published can be read");
        prev = seq;
    }
}

pub async fn a_conflicting_append_is_never_published(ports: Ports) {
    let log = new_log();
    let mut published = subscribe(&ports, &log).await;
    let seqs = append(&ports, &log, Seq::ZERO, &["a"]).await;
    let refused = ports.log.append(&log, Seq::ZERO, records(&["stale"])).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })));
    append(&ports, &log, seqs[0], &["b"]).await;
    assert_eq!(publication(&mut published).await.1, "a");
    assert_eq!(publication(&mut published).await.1, "b");
}

pub async fn pages_join_without_gap_or_repetition(ports: Ports) {
    let log = new_log();
    let texts: Vec<String> = (0..250).map(|number| format!("{number:0$}", number % 40 + 1)).collect();
    let mut tail = Seq::ZERO;
    for batch in texts.chunks(100) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        tail = *append(&ports, &log, tail, &batch).await.last().expect("a batch has records");
    }
    for limit in [1, 7, 1_000] {
        let (mut seen, mut after) = (Vec::new(), Seq::ZERO);
        loop {
            let page = ports.log.read(&log, after, limit).await.expect("a page");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = last.seq;
            seen.extend(page.into_iter().map(|entry| text(&entry)));
        }
        assert_eq!((seen, after), (texts.clone(), tail));
    }
    assert_eq!(ports.log.read_all(&log, Seq::ZERO).await.map(|all| all.len()), Ok(250));
    assert_eq!(ports.log.read(&log, Seq::ZERO, 0).await, Ok(Vec::new()));
}

pub async fn the_first_records_are_read_however_short_a_page_is(ports: Ports) {
    let log = new_log();
    append(&ports, &log, Seq::ZERO, &["a", "b", "c"]).await;
    let short: &dyn EventLog = &OneAtATime(ports.log.clone());
    for (count, expected) in [(0, ""), (1, "a"), (2, "ab"), (3, "abc"), (9, "abc")] {
        let first = short.read_first(&log, Seq::ZERO, count).await.expect("the log is read");
        let text: Vec<u8> = first.iter().flat_map(|record| record.payload.to_vec()).collect();
        assert_eq!(text, expected.as_bytes(), "{count}");
    }
}

/// As a replica that lags behind, or one whose records are large.
struct OneAtATime(Arc<dyn EventLog>);

#[async_trait]
impl LogDouble for OneAtATime {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.0.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.0.read(log, after, limit.min(1)).await
    }
}

pub async fn a_position_inside_a_log_finds_the_record_after_it(ports: Ports) {
    let log = new_log();
    let seqs = append(&ports, &log, Seq::ZERO, &["first", "second", "third"]).await;
    for (after, expected) in [
        (Seq::ZERO, Some("first")),
        (Seq(seqs[0].0 - 1), Some("first")),
        (seqs[0], Some("second")),
        (Seq(seqs[1].0 - 1), Some("second")),
        (seqs[1], Some("third")),
        (seqs[2], None),
        (Seq(seqs[2].0 + 1_000), None),
        (Seq(u64::MAX), None),
    ] {
        let page = ports.log.read(&log, after, 1).await.expect("a page");
        assert_eq!(page.first().map(text).as_deref(), expected, "after {after:?}");
    }
}

pub async fn an_absent_log_is_empty(ports: Ports) {
    let log = new_log();
    assert_eq!(ports.log.tail(&log).await, Ok(Seq::ZERO));
    assert_eq!(ports.log.read(&log, Seq::ZERO, 10).await, Ok(Vec::new()));
    assert_eq!(ports.log.delete(&log).await, Ok(()));
}

pub async fn a_deleted_log_is_gone_and_can_be_made_anew(ports: Ports) {
    let log = new_log();
    append(&ports, &log, Seq::ZERO, &["old", "older"]).await;
    assert_eq!(ports.log.delete(&log).await, Ok(()));
    assert_eq!(ports.log.tail(&log).await, Ok(Seq::ZERO));
    assert_eq!(ports.log.read(&log, Seq::ZERO, 10).await, Ok(Vec::new()));
    let seqs = append(&ports, &log, Seq::ZERO, &["new"]).await;
    assert_eq!(ports.log.read(&log, Seq::ZERO, 10).await, Ok(vec![entry(seqs[0], "new")]));
    assert_eq!(ports.log.tail(&log).await, Ok(seqs[0]));
}

pub async fn what_is_dropped_from_the_front_leaves_the_rest_where_it_was(ports: Ports) {
    let log = new_bash_log();
    let mut seqs = Vec::new();
    for text in ["one", "two", "three", "four"] {
        let tail = seqs.last().copied().unwrap_or_default();
        seqs.extend(append(&ports, &log, tail, &[text]).await);
    }
    let mut published = subscribe(&ports, &log).await;
    assert_eq!(ports.log.truncate_before(&log, seqs[2]).await, Ok(()));
    let kept = vec![entry(seqs[2], "three"), entry(seqs[3], "four")];
    for below in [Seq::ZERO, Seq(1), seqs[0], seqs[1], Seq(seqs[2].0 - 1)] {
        assert_eq!(ports.log.read(&log, below, 10).await, Ok(kept.clone()), "after {below:?}");
    }
    assert_eq!(ports.log.read(&log, seqs[2], 10).await, Ok(kept[1..].to_vec()));
    assert_eq!(ports.log.tail(&log).await, Ok(seqs[3]));
    let more = append(&ports, &log, seqs[3], &["five"]).await;
    assert_eq!(texts(&ports, &log).await, ["three", "four", "five"]);
    assert_eq!(publication(&mut published).await, (Stored { seq: more[0], prev: seqs[3] }, "five".into()));
}

pub async fn records_of_one_append_are_dropped_without_tearing_any(ports: Ports) {
    let log = new_bash_log();
    let all = ["a", "", "a longer one", "d", "", "f"];
    let seqs = append(&ports, &log, Seq::ZERO, &all).await;
    for (wanted, seq) in seqs.iter().enumerate() {
        assert_eq!(ports.log.truncate_before(&log, *seq).await, Ok(()));
        let kept = ports.log.read(&log, Seq::ZERO, 10).await.expect("what stays");
        assert!(kept.len() >= all.len() - wanted, "no more is dropped than was asked for");
        let expected: Vec<Record> = seqs.iter().zip(all).map(|(seq, text)| entry(*seq, text)).collect();
        assert_eq!(kept, expected[all.len() - kept.len()..]);
    }
}

pub async fn the_last_record_of_a_log_is_never_dropped(ports: Ports) {
    let log = new_bash_log();
    let first = append(&ports, &log, Seq::ZERO, &["one"]).await;
    let last = append(&ports, &log, first[0], &["two"]).await;
    for beyond in [Seq(last[0].0 + 1), Seq(last[0].0 * 3), Seq(u64::MAX)] {
        assert_eq!(ports.log.truncate_before(&log, beyond).await, Ok(()));
        assert_eq!(ports.log.read(&log, Seq::ZERO, 10).await, Ok(vec![entry(last[0], "two")]));
        assert_eq!(ports.log.tail(&log).await, Ok(last[0]));
    }
    append(&ports, &log, last[0], &["three"]).await;
    assert_eq!(texts(&ports, &log).await, ["two", "three"]);
}

pub async fn dropping_twice_or_from_an_absent_log_changes_nothing(ports: Ports) {
    let log = new_bash_log();
    assert_eq!(ports.log.truncate_before(&log, Seq(7)).await, Ok(()));
    assert_eq!(ports.log.tail(&log).await, Ok(Seq::ZERO));
    let first = append(&ports, &log, Seq::ZERO, &["one"]).await;
    let second = append(&ports, &log, first[0], &["two"]).await;
    assert_eq!(texts(&ports, &log).await, ["one", "two"], "what was not there is not dropped later");
    for position in [second[0], second[0], first[0], Seq(1), Seq::ZERO] {
        assert_eq!(ports.log.truncate_before(&log, position).await, Ok(()));
        assert_eq!(texts(&ports, &log).await, ["two"]);
    }
}

pub async fn a_truncated_log_is_deleted_and_made_anew(ports: Ports) {
    let log = new_bash_log();
    let first = append(&ports, &log, Seq::ZERO, &["one"]).await;
    let second = append(&ports, &log, first[0], &["two"]).await;
    let (truncated, deleted) =
        tokio::join!(ports.log.truncate_before(&log, second[0]), ports.log.delete(&log));
    assert_eq!((truncated, deleted), (Ok(()), Ok(())));
    let seqs = append(&ports, &log, Seq::ZERO, &["a", "b", "c", "d", "e"]).await;
    let expected: Vec<Record> =
        seqs.iter().zip(["a", "b", "c", "d", "e"]).map(|(seq, text)| entry(*seq, text)).collect();
    assert_eq!(ports.log.read(&log, Seq::ZERO, 10).await, Ok(expected));
}

pub async fn logs_do_not_mix(ports: Ports) {
    let (sandbox, id) = (SandboxId::shared(), ConversationId::random());
    let (one, other) = (LogId::conversation(&sandbox, id), new_log());
    let bash = LogId::bash(&sandbox, BashScope::Conversation(id));
    let snapshots = LogId::snapshots(&sandbox, id);
    for (log, text) in [(&one, "one"), (&other, "other"), (&bash, "bash"), (&snapshots, "snapshot")] {
        append(&ports, log, Seq::ZERO, &[text]).await;
    }
    assert_eq!(ports.log.delete(&other).await, Ok(()));
    assert_eq!(texts(&ports, &one).await, ["one"]);
    assert_eq!(texts(&ports, &bash).await, ["bash"]);
    assert_eq!(texts(&ports, &snapshots).await, ["snapshot"]);
    assert_eq!(ports.log.delete(&snapshots).await, Ok(()));
    assert_eq!(ports.log.tail(&snapshots).await, Ok(Seq::ZERO));
    assert_eq!(texts(&ports, &one).await, ["one"]);
}

pub async fn snapshots_are_stored_and_dropped_from_the_front_and_not_published(ports: Ports) {
    let (sandbox, id) = (SandboxId::shared(), ConversationId::random());
    let (snapshots, log) = (LogId::snapshots(&sandbox, id), LogId::conversation(&sandbox, id));
    let pattern = format!("{}.>", subjects::stored(&log).rsplit_once('.').expect("a name at the end").0);
    let mut published = ports.bus.subscribe(&pattern, None).await.expect("a subscription");
    // Larger than what any store keeps in one piece.
    let (first, second) = ("1".repeat(2 << 20), "2".repeat(2 << 20));
    let one = append(&ports, &snapshots, Seq::ZERO, &[&first]).await;
    let two = append(&ports, &snapshots, one[0], &[&second]).await;
    assert_eq!(ports.log.truncate_before(&snapshots, two[0]).await, Ok(()));
    assert_eq!(ports.log.read(&snapshots, Seq::ZERO, 10).await, Ok(vec![entry(two[0], &second)]));
    let event = append(&ports, &log, Seq::ZERO, &["event"]).await;
    let first_published = publication(&mut published).await;
    assert_eq!(first_published, (Stored { seq: event[0], prev: Seq::ZERO }, "event".into()));
}

pub async fn a_sandbox_knows_its_bash_logs(ports: Ports) {
    let (one, other) = (ConversationId::random(), ConversationId::random());
    // The one that a worker's store is about.
    let sandbox = SandboxId::shared();
    // Of other promises.
    let before = ports.log.bash_logs(&sandbox).await.expect("a list");
    let own = async || {
        let mut listed = ports.log.bash_logs(&sandbox).await.expect("a list");
        listed.retain(|scope| !before.contains(scope));
        listed.sort();
        listed
    };
    let scopes = [BashScope::Sandbox, BashScope::Conversation(one)];
    for scope in scopes {
        append(&ports, &LogId::bash(&sandbox, scope), Seq::ZERO, &["a", "b"]).await;
    }
    append(&ports, &LogId::conversation(&sandbox, other), Seq::ZERO, &["a"]).await;
    append(&ports, &LogId::snapshots(&sandbox, other), Seq::ZERO, &["a"]).await;
    assert_eq!(own().await, scopes);
    assert_eq!(ports.log.delete(&LogId::bash(&sandbox, scopes[0])).await, Ok(()));
    assert_eq!(own().await, [scopes[1]]);
}

pub async fn large_and_strange_records_come_back_unchanged(ports: Ports) {
    let log = new_log();
    let large = "x".repeat(300 << 10);
    let strange = ["", "\r", "\u{0}", "\u{2028}ä\t\\n", large.as_str(), "end"];
    append(&ports, &log, Seq::ZERO, &strange).await;
    assert_eq!(texts(&ports, &log).await, strange);
}

/// Workers may drop from the front of such logs only.
fn new_bash_log() -> LogId {
    LogId::bash(&SandboxId::shared(), BashScope::Conversation(ConversationId::random()))
}

async fn append(ports: &Ports, log: &LogId, after: Seq, texts: &[&str]) -> Vec<Seq> {
    let appended = ports.log.append(log, after, records(texts)).await.expect("the append is stored");
    assert_eq!(appended.seqs.len(), texts.len());
    appended.seqs
}

fn records(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from((*text).to_owned())).collect()
}

fn entry(seq: Seq, text: &str) -> Record {
    Record { seq, payload: Bytes::from(text.to_owned()) }
}

fn text(entry: &Record) -> String {
    String::from_utf8_lossy(&entry.payload).into_owned()
}

async fn texts(ports: &Ports, log: &LogId) -> Vec<String> {
    let log_port: &dyn EventLog = &*ports.log;
    log_port.read_all(log, Seq::ZERO).await.expect("the log can be read").iter().map(text).collect()
}

async fn subscribe(ports: &Ports, log: &LogId) -> Subscription {
    ports.bus.subscribe(&subjects::stored(log), None).await.expect("a subscription")
}

async fn publication(published: &mut Subscription) -> (Stored, Bytes) {
    let delivery = next(published).await;
    let parcel = match delivery {
        Delivery::Message(message) => Some(message.parcel),
        Delivery::Lagged => None,
    };
    let parcel = parcel.expect("a message");
    (serde_json::from_slice(&parcel.json).expect("the position of a record"), parcel.blob)
}
