//! A change is whole, or it is not made.

use bytes::Bytes;
use futures_util::future::join_all;
use ports::Expect;
use serde_json::{Value, json};
use types::buckets::SETTINGS;

use super::{Toy, open, shelves, tenant};
use crate::Refusal;
use crate::shelf::{Change, Shelves};

async fn add(shelves: &Shelves, number: u64) -> Result<usize, Refusal> {
    let add = |toy: &mut Toy| {
        toy.numbers.push(number);
        Ok(Change::Write(toy.numbers.len()))
    };
    shelves.change(&tenant("a"), add).await
}

async fn numbers(shelves: &Shelves) -> Vec<u64> {
    shelves.read::<Toy>(&tenant("a")).await.unwrap().numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_of_one_shelf_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    // Of two gateways.
    let writers = [shelves(&ports, "k", &[]), shelves(&ports, "k", &[])];
    let adding = (0..40_u64).map(|number| add(&writers[number as usize % 2], number));
    for added in join_all(adding).await {
        added.unwrap();
    }
    let mut found = numbers(&writers[0]).await;
    found.sort_unstable();
    assert_eq!(found, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_change_refuses_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    add(&shelves, 1).await.unwrap();
    let refuse = |toy: &mut Toy| -> Result<Change<()>, Refusal> {
        toy.numbers.clear();
        Err(Refusal::Taken("Not so.".to_owned()))
    };
    let refused = shelves.change(&tenant("a"), refuse).await;
    assert!(matches!(refused, Err(Refusal::Taken(told)) if told == "Not so."));
    let look = |toy: &mut Toy| {
        let first = toy.numbers[0];
        toy.numbers.clear();
        Ok(Change::Nothing(first))
    };
    assert_eq!(shelves.change(&tenant("a"), look).await.unwrap(), 1);
    assert_eq!(numbers(&shelves).await, [1]);
    assert!(ports.kv.get(SETTINGS, "b").await.unwrap().is_none());
    assert_eq!(
        shelves.read::<Toy>(&tenant("b")).await.unwrap(),
        Toy::default(),
        "another tenant has none of it"
    );
    assert!(ports.kv.get(SETTINGS, "b").await.unwrap().is_none(), "reading writes nothing");
}

#[tokio::test]
async fn a_document_beyond_its_size_is_refused_and_the_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    add(&shelves, 1).await.unwrap();
    let fill = |toy: &mut Toy| {
        toy.numbers.extend(1_000..2_000);
        Ok(Change::Write(()))
    };
    let refused = shelves.change(&tenant("a"), fill).await;
    assert!(matches!(refused, Err(Refusal::TooLarge("These toys are too many."))), "{refused:?}");
    assert_eq!(numbers(&shelves).await, [1]);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    let of_a_newer_release = json!({"v": 2, "numbers": {"other": "shape"}}).to_string();
    for stored in
        [of_a_newer_release, json!({"v": 2}).to_string(), "{\"numbers\": [1".to_owned(), "[]".to_owned()]
    {
        let stored = Bytes::from(stored);
        ports.kv.put(SETTINGS, "a", stored.clone(), Expect::Anything).await.unwrap();
        assert!(matches!(add(&shelves, 1).await, Err(Refusal::Damaged)), "{stored:?}");
        assert!(matches!(shelves.read::<Toy>(&tenant("a")).await, Err(Refusal::Damaged)), "{stored:?}");
        assert_eq!(shelves.rotate::<Toy>().await.unwrap(), crate::shelf::Rotated::default());
        assert_eq!(ports.kv.get(SETTINGS, "a").await.unwrap().unwrap().value, stored);
    }
}

#[tokio::test]
async fn what_a_newer_release_has_added_survives_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let shelves = shelves(&ports, "k", &[]);
    let stored = json!({"v": 1, "numbers": [1], "added": {"later": true}}).to_string();
    ports.kv.put(SETTINGS, "a", stored.into(), Expect::Anything).await.unwrap();
    add(&shelves, 2).await.unwrap();
    let stored = ports.kv.get(SETTINGS, "a").await.unwrap().unwrap().value;
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!((&stored["added"], &stored["numbers"]), (&json!({"later": true}), &json!([1, 2])));
}
