//! Buckets over time: values that expire, and lists while others write.

use crate::common::{cluster, connection, next};
use futures_util::future::join_all;
use ports::{Change, Error, Expect};
use serde_json::json;
use types::buckets;

#[tokio::test]
async fn an_expired_lease_is_absent_and_its_watchers_hear_of_it() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let config = client.request("$JS.API.STREAM.INFO.KV_LEASES", "".into()).await.unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config.payload).unwrap();
    let mut config = config["config"].clone();
    assert_eq!(config["max_age"], json!(15_000_000_000_u64));
    // The same in less time.
    config["max_age"] = json!(1_000_000_000_u64);
    config["duplicate_window"] = json!(1_000_000_000_u64);
    let shortened =
        client.request("$JS.API.STREAM.UPDATE.KV_LEASES", config.to_string().into()).await.unwrap();
    assert!(!String::from_utf8_lossy(&shortened.payload).contains("\"error\""), "{shortened:?}");

    let mut changes = ports.kv.watch(buckets::LEASES).await.unwrap();
    let first = ports.kv.put(buckets::LEASES, "s", "1".into(), Expect::Absent).await.unwrap();
    assert!(matches!(next(&mut changes).await, Change::Put { .. }));
    assert_eq!(next(&mut changes).await, Change::Deleted { key: "s".to_owned() });
    assert_eq!(ports.kv.get(buckets::LEASES, "s").await, Ok(None));
    assert_eq!(ports.kv.list(buckets::LEASES).await, Ok(Vec::new()));
    let renewed = ports.kv.put(buckets::LEASES, "s", "2".into(), Expect::Revision(first)).await;
    assert_eq!(renewed, Err(Error::Conflict { tail: None }));
    let second = ports.kv.put(buckets::LEASES, "s", "3".into(), Expect::Absent).await.unwrap();
    assert!(second > first);
}

#[tokio::test]
async fn a_bucket_is_listed_whole_while_it_changes() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let names: Vec<String> = (0..2_500).map(|number| format!("{number:05}")).collect();
    for chunk in names.chunks(100) {
        let puts = chunk.iter().map(|name| ports.kv.put(buckets::PLACES, name, "1".into(), Expect::Absent));
        assert!(join_all(puts).await.iter().all(Result::is_ok));
    }
    let other = self::connection(server.url()).await.control().await.unwrap();
    let changed = names.clone();
    let changing = tokio::spawn(async move {
        for name in changed.iter().cycle() {
            if other.kv.put(buckets::PLACES, name, "2".into(), Expect::Anything).await.is_err() {
                return;
            }
        }
    });
    for _ in 0..5 {
        let listed = ports.kv.list(buckets::PLACES).await.unwrap();
        assert!(listed.iter().map(|(key, _)| key).eq(&names));
    }
    changing.abort();
}
