//! Buckets that are too large for the memory.

use futures_util::{StreamExt, TryStreamExt};
use manyhands_embedded::{Fsync, Looking, Options};
use ports::{Change, Expect, Kv, KvEntry};

use crate::common::open;

const BUCKET: &str = "IDEMPOTENCY";

#[tokio::test]
async fn a_scan_reads_what_is_taken_from_it_and_little_more() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = open(folder.path()).await;
    let value = vec![b'x'; 3 << 20];
    for key in ["a", "b", "c", "d", "e"] {
        ports.kv.put(BUCKET, key, value.clone().into(), Expect::Absent).await.unwrap();
    }
    let mut scan = ports.kv.scan(BUCKET);
    assert!(matches!(scan.next().await, Some(Ok(Change::Put { key, .. })) if key == "a"));
    ports.kv.delete(BUCKET, "c", Expect::Anything).await.unwrap();
    let revision = ports.kv.put(BUCKET, "d", "new".into(), Expect::Anything).await.unwrap();
    let rest: Vec<Change> = scan.try_collect().await.unwrap();
    let keys = rest.iter().map(|change| match change {
        Change::Put { key, .. } => key.as_str(),
        Change::Deleted { .. } | Change::Lagged => "",
    });
    assert_eq!(keys.collect::<Vec<_>>(), ["b", "d", "e"]);
    let entry = KvEntry { revision, value: "new".into() };
    assert_eq!(rest[1], Change::Put { key: "d".to_owned(), entry });
}

#[tokio::test]
async fn a_scan_of_many_small_values_brings_each_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = open(folder.path()).await;
    let keys: Vec<String> = (0..2_001).map(|number| format!("{number:04}")).collect();
    let puts = keys.iter().map(|key| ports.kv.put(BUCKET, key, "x".into(), Expect::Absent));
    futures_util::future::try_join_all(puts).await.unwrap();
    let found = ports.kv.scan(BUCKET).try_filter_map(async |change| match change {
        Change::Put { key, .. } => Ok(Some(key)),
        Change::Deleted { .. } | Change::Lagged => Ok(None),
    });
    assert_eq!(found.try_collect::<Vec<_>>().await.unwrap(), keys);
    assert_eq!(ports.kv.scan("SETTINGS").count().await, 0);
    assert!(ports.kv.scan("not a bucket").next().await.unwrap().is_err());
}

#[tokio::test]
async fn who_only_looks_sees_what_is_stored_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::within(folder.path(), Fsync::Always);
    let looking = Looking::at(&options.root);
    assert_eq!(looking.scan(BUCKET).count().await, 0);
    assert!(!options.root.exists());
    let (ports, _guard) = manyhands_embedded::open(options).await.unwrap();
    let revision = ports.kv.put(BUCKET, "a", "x".into(), Expect::Absent).await.unwrap();
    let entry = KvEntry { revision, value: "x".into() };
    assert_eq!(looking.get(BUCKET, "a").await.unwrap(), Some(entry.clone()));
    assert_eq!(looking.get(BUCKET, "b").await.unwrap(), None);
    assert_eq!(looking.list(BUCKET).await.unwrap(), [("a".to_owned(), entry)]);
    assert!(looking.put(BUCKET, "a", "y".into(), Expect::Anything).await.is_err());
    assert!(looking.delete(BUCKET, "a", Expect::Anything).await.is_err());
}
