//! What who follows a log is told of it.

use std::path::Path;

use super::*;
use ports::Ports;
use types::{ConversationId, SandboxId};

/// Keeps all records.
#[derive(Default)]
struct All {
    records: Vec<(Seq, Bytes)>,
}

impl Fold for All {
    type News = usize;

    fn at(&self) -> Seq {
        self.records.last().map_or(Seq::ZERO, |(seq, _)| *seq)
    }

    fn take(&mut self, prev: Seq, seq: Seq, payload: &Bytes) -> usize {
        assert_eq!(prev, self.at());
        self.records.push((seq, payload.clone()));
        self.records.len()
    }

    fn restart(&mut self) {
        self.records.clear();
    }
}

async fn open(folder: &Path) -> (Ports, FollowedLog<All>, embedded::Guard) {
    let options = embedded::Options::within(folder, embedded::Fsync::Interval);
    let (ports, store) = embedded::open(options).await.unwrap();
    let log = LogId::conversation(&SandboxId::shared(), ConversationId::random());
    (ports, FollowedLog::new(log, All::default()), store)
}

fn payload(n: u64) -> Bytes {
    n.to_string().into()
}

fn folded(followed: &FollowedLog<All>) -> Vec<Bytes> {
    followed.fold().records.iter().map(|(_, payload)| payload.clone()).collect()
}

#[tokio::test]
async fn however_records_arrive_each_is_folded_once_and_in_order() {
    const RECORDS: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let (ports, followed, _store) = open(folder.path()).await;
    let (store, marks) = (ports.log.as_ref(), followed.watch());
    let (mut prev, mut published) = (Seq::ZERO, Vec::new());
    for n in 0..RECORDS {
        let seq = store.append(&followed.log, prev, vec![payload(n)]).await.unwrap().tail();
        published.push((prev, seq, payload(n)));
        prev = seq;
        // Some are lost, some are late, some come twice.
        for _ in 0..fastrand::u8(0..3) {
            let (prev, seq, payload) = fastrand::choice(&published).unwrap();
            if followed.take(*prev, *seq, payload) == Taken::Gap {
                followed.catch_up(store).await.unwrap();
                assert!(followed.mark().at >= *seq);
            }
            assert_eq!(marks.borrow().at, followed.fold().at());
        }
    }
    followed.catch_up(store).await.unwrap();
    assert_eq!(folded(&followed), (0..RECORDS).map(payload).collect::<Vec<_>>());
    assert_eq!(followed.mark(), Mark { generation: 0, at: prev });
}

#[tokio::test]
async fn a_record_after_a_gap_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (_ports, followed, _store) = open(folder.path()).await;
    assert_eq!(followed.take(Seq(0), Seq(10), &payload(0)), Taken::New(1));
    assert_eq!(followed.take(Seq(20), Seq(30), &payload(2)), Taken::Gap);
    assert_eq!(followed.take(Seq(0), Seq(10), &payload(0)), Taken::First);
    assert_eq!(followed.take(Seq(10), Seq(20), &payload(1)), Taken::New(2));
    assert_eq!(followed.take(Seq(10), Seq(20), &payload(1)), Taken::Known);
    assert_eq!(folded(&followed), [payload(0), payload(1)]);
}

#[tokio::test]
async fn a_log_that_was_removed_and_made_anew_is_followed_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, followed, _store) = open(folder.path()).await;
    let store = ports.log.as_ref();
    store.append(&followed.log, Seq::ZERO, (0..3).map(payload).collect()).await.unwrap();
    followed.catch_up_or_begin_anew(store).await.unwrap();
    let mut waiting = followed.watch();
    store.delete(&followed.log).await.unwrap();
    let first = store.append(&followed.log, Seq::ZERO, vec![payload(7)]).await.unwrap().tail();
    assert_eq!(followed.take(Seq::ZERO, first, &payload(7)), Taken::First);
    followed.catch_up_or_begin_anew(store).await.unwrap();
    assert_eq!(folded(&followed), [payload(7)]);
    assert_eq!(followed.mark(), Mark { generation: 1, at: first });
    assert!(waiting.wait_for(|mark| mark.generation == 1).await.is_ok());
}

#[tokio::test]
async fn what_is_after_a_position_comes_from_the_tape_or_else_from_the_store_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, followed, _store) = open(folder.path()).await;
    let store = ports.log.as_ref();
    let appended = store.append(&followed.log, Seq::ZERO, (0..4).map(payload).collect()).await.unwrap();
    let last_but_one = appended.seqs[2];
    let mut prev = Seq::ZERO;
    followed.start_tape();
    for (n, seq) in (0..3).zip(&appended.seqs) {
        followed.take(prev, *seq, &payload(n));
        prev = *seq;
    }
    let from_the_tape = followed.after(store, appended.seqs[0], 9).await.unwrap();
    followed.stop_tape();
    let from_the_store = followed.after(store, appended.seqs[0], 9).await.unwrap();
    assert_eq!(from_the_tape, from_the_store);
    assert_eq!(from_the_tape.iter().map(|taped| taped.seq).collect::<Vec<_>>(), appended.seqs[1..3]);
    assert_eq!(followed.after(store, last_but_one, 9).await.unwrap(), [], "the last one is not folded yet");
}
