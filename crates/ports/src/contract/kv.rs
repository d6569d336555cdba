//! What every store of values must do.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use types::buckets;

use super::{in_time, next, unique};
use crate::{Change, Error, Expect, KvEntry, LARGEST, Ports};

/// What a scan may have read without being asked for it yet.
const AHEAD: usize = 5 << 20;

const BUCKET: &str = buckets::CONVERSATIONS;
const OTHER_BUCKET: &str = buckets::PROJECTIONS;
const CONFLICT: Error = Error::Conflict { tail: None };

pub async fn a_value_comes_back_with_its_revision(ports: Ports) {
    let key = unique();
    assert_eq!(ports.kv.get(BUCKET, &key).await, Ok(None));
    for value in ["value", "", "two\nlines\n"] {
        let revision = put(&ports, &key, value, Expect::Anything).await.expect("a revision");
        assert_eq!(get(&ports, &key).await, Some(entry(revision, value)));
    }
}

pub async fn a_key_is_created_once(ports: Ports) {
    let key = unique();
    let revision = put(&ports, &key, "first", Expect::Absent).await.expect("created");
    assert_eq!(put(&ports, &key, "second", Expect::Absent).await, Err(CONFLICT));
    assert_eq!(get(&ports, &key).await, Some(entry(revision, "first")));
}

pub async fn only_the_current_revision_can_be_replaced(ports: Ports) {
    let key = unique();
    assert_eq!(put(&ports, &key, "x", Expect::Revision(1)).await, Err(CONFLICT));
    let first = put(&ports, &key, "first", Expect::Absent).await.expect("created");
    let second = put(&ports, &key, "second", Expect::Revision(first)).await.expect("replaced");
    assert!(second > first);
    for stale in [0, first, second + 1_000] {
        assert_eq!(put(&ports, &key, "stale", Expect::Revision(stale)).await, Err(CONFLICT));
    }
    assert_eq!(get(&ports, &key).await, Some(entry(second, "second")));
}

pub async fn anything_can_be_overwritten(ports: Ports) {
    let key = unique();
    let first = put(&ports, &key, "first", Expect::Anything).await.expect("created");
    let second = put(&ports, &key, "second", Expect::Anything).await.expect("replaced");
    assert!(second > first);
    assert_eq!(get(&ports, &key).await, Some(entry(second, "second")));
}

pub async fn of_racing_creations_one_wins(ports: Ports) {
    let key = unique();
    let values: Vec<String> = (0..16).map(|number| number.to_string()).collect();
    let outcomes = join_all(values.iter().map(|value| put(&ports, &key, value, Expect::Absent))).await;
    let winners: Vec<_> = outcomes.iter().zip(&values).filter(|(outcome, _)| outcome.is_ok()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(CONFLICT)).count(), 15);
    assert_eq!(get(&ports, &key).await.map(|entry| entry.value), Some(winners[0].1.clone().into()));
}

pub async fn deletion_honours_its_condition(ports: Ports) {
    let key = unique();
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Anything).await, Ok(()));
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Absent).await, Ok(()));
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Revision(1)).await, Err(CONFLICT));
    let first = put(&ports, &key, "first", Expect::Absent).await.expect("created");
    let second = put(&ports, &key, "second", Expect::Anything).await.expect("replaced");
    for refused in [Expect::Absent, Expect::Revision(first)] {
        assert_eq!(ports.kv.delete(BUCKET, &key, refused).await, Err(CONFLICT));
    }
    assert!(get(&ports, &key).await.is_some());
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Revision(second)).await, Ok(()));
    assert_eq!(get(&ports, &key).await, None);
}

pub async fn revisions_grow_over_a_deletion(ports: Ports) {
    let key = unique();
    let before = put(&ports, &key, "before", Expect::Absent).await.expect("created");
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Anything).await, Ok(()));
    let after = put(&ports, &key, "after", Expect::Absent).await.expect("created anew");
    assert!(after > before);
    assert_eq!(put(&ports, &key, "stale", Expect::Revision(before)).await, Err(CONFLICT));
}

pub async fn a_list_is_in_key_order_with_values(ports: Ports) {
    let prefix = unique();
    let names = ["b", "a.2", "a-1", "Z", "a_3", "10", "9"];
    let mut expected = Vec::new();
    for name in names {
        let key = format!("{prefix}.{name}");
        let revision = put(&ports, &key, name, Expect::Absent).await.expect("created");
        expected.push((key, entry(revision, name)));
    }
    let gone = format!("{prefix}.gone");
    put(&ports, &gone, "gone", Expect::Absent).await.expect("created");
    assert_eq!(ports.kv.delete(BUCKET, &gone, Expect::Anything).await, Ok(()));
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    let all = ports.kv.list(BUCKET).await.expect("a list");
    let ours: Vec<_> = all.into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    assert_eq!(ours, expected);
}

pub async fn a_scan_is_read_as_it_is_taken(ports: Ports) {
    const SIZE: usize = 256 << 10;
    let (prefix, old) = (unique(), "x".repeat(SIZE));
    let keys: Vec<String> = (0..4 * AHEAD / SIZE).map(|number| format!("{prefix}.{number:03}")).collect();
    for key in &keys {
        put(&ports, key, &old, Expect::Absent).await.expect("created");
    }
    let mut scan = ports.kv.scan(BUCKET);
    let first = next(&mut scan).await;
    for key in &keys {
        put(&ports, key, "new", Expect::Anything).await.expect("replaced");
    }
    let (mut held, mut found) = (0, BTreeMap::new());
    let mut seen = futures_util::stream::iter([first]).chain(scan);
    while let Some(change) = in_time(seen.try_next()).await.expect("a scan") {
        let Change::Put { key, entry } = change else { continue };
        if key.starts_with(&prefix) {
            held += if entry.value == old { SIZE } else { 0 };
            found.insert(key, entry.value);
        }
    }
    assert!(held <= AHEAD, "{held} bytes had been read that nobody had taken");
    assert!(found.into_keys().eq(keys), "every key is found, also those that were changed");
}

pub async fn a_scan_ends_although_keys_keep_changing(ports: Ports) {
    let prefix = unique();
    let keys: BTreeSet<String> = (0..40).map(|number| format!("{prefix}.{number:02}")).collect();
    for key in &keys {
        put(&ports, key, "0", Expect::Absent).await.expect("created");
    }
    // Each changes keys of its own as fast as it can.
    let changing = keys.iter().skip(8).map(async |key| {
        loop {
            put(&ports, key, "1", Expect::Anything).await.expect("changed");
        }
    });
    let scanning = async {
        for _ in 0..5 {
            let scan = ports.kv.scan(BUCKET).try_filter_map(async |change| match change {
                Change::Put { key, .. } => Ok(Some(key)),
                Change::Deleted { .. } | Change::Lagged => Ok(None),
            });
            let found: BTreeSet<String> = in_time(scan.try_collect()).await.expect("a scan");
            assert!(found.is_superset(&keys), "no key is missed because it was changed");
        }
    };
    tokio::select! {
        () = scanning => {}
        _ = join_all(changing) => {}
    }
}

pub async fn buckets_do_not_mix(ports: Ports) {
    let key = unique();
    put(&ports, &key, "here", Expect::Absent).await.expect("created");
    assert_eq!(ports.kv.get(OTHER_BUCKET, &key).await, Ok(None));
    let there = ports.kv.put(OTHER_BUCKET, &key, "there".into(), Expect::Absent).await;
    assert!(there.is_ok());
    assert_eq!(ports.kv.delete(OTHER_BUCKET, &key, Expect::Anything).await, Ok(()));
    assert_eq!(get(&ports, &key).await.map(|entry| entry.value), Some("here".into()));
}

pub async fn a_watcher_sees_every_change_in_order(ports: Ports) {
    let key = unique();
    put(&ports, &key, "before", Expect::Absent).await.expect("created");
    let mut changes = ports.kv.watch(BUCKET).await.expect("a watch");
    let first = put(&ports, &key, "first", Expect::Anything).await.expect("a revision");
    assert_eq!(put(&ports, &key, "refused", Expect::Absent).await, Err(CONFLICT));
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Anything).await, Ok(()));
    let last = put(&ports, &key, "last", Expect::Absent).await.expect("created anew");
    let expected = [
        Change::Put { key: key.clone(), entry: entry(first, "first") },
        Change::Deleted { key: key.clone() },
        Change::Put { key: key.clone(), entry: entry(last, "last") },
    ];
    for expected in expected {
        let seen = loop {
            match next(&mut changes).await {
                Change::Put { key: other, .. } | Change::Deleted { key: other } if other != key => {}
                change => break change,
            }
        };
        assert_eq!(seen, expected);
    }
}

pub async fn the_largest_value_comes_back_and_a_larger_one_is_refused(ports: Ports) {
    let key = unique();
    let large = Bytes::from(vec![b'x'; LARGEST]);
    let more = Bytes::from(vec![b'x'; LARGEST + 1]);
    let revision = ports.kv.put(BUCKET, &key, large.clone(), Expect::Absent).await.expect("it has room");
    let refused = ports.kv.put(BUCKET, &key, more, Expect::Anything).await;
    assert!(matches!(refused, Err(Error::TooLarge(_))), "{refused:?}");
    let stored = get(&ports, &key).await.expect("it is there");
    assert_eq!((stored.revision, stored.value == large), (revision, true));
    assert_eq!(ports.kv.delete(BUCKET, &key, Expect::Anything).await, Ok(()));
}

async fn put(ports: &Ports, key: &str, value: &str, expect: Expect) -> crate::Result<u64> {
    ports.kv.put(BUCKET, key, Bytes::from(value.to_owned()), expect).await
}

async fn get(ports: &Ports, key: &str) -> Option<KvEntry> {
    ports.kv.get(BUCKET, key).await.expect("the key can be read")
}

fn entry(revision: u64, value: &str) -> KvEntry {
    KvEntry { revision, value: Bytes::from(value.to_owned()) }
}
