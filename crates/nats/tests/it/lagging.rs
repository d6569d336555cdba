//! Reads where the replica that answers lags behind the stream's leader. Here it is a mirror that takes part in answering
//! for its origin and has lost what it had: what it says is what a follower says that has not yet heard of a message.

use bytes::Bytes;
use ports::{Error, Expect};
use serde_json::{Value, json};
use testing::nats::Nats;
use types::buckets::CONVERSATIONS;
use types::subjects::store;
use types::{LogId, Seq};

use crate::common::{append, connection, log, texts};
use crate::replicas::Three;

/// Each read goes to the leader or to the replica, as it happens.
const READS: usize = 40;
/// More than a message holds.
const LARGE: usize = 700 << 10;

async fn api(client: &async_nats::Client, call: &str, body: Value) -> Value {
    let answer = client.request(store::api(call), body.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn messages(client: &async_nats::Client, stream: &str) -> u64 {
    let info = api(client, &store::stream_info(stream), Value::Null).await;
    info["state"]["messages"].as_u64().unwrap_or_default()
}

/// From now on a replica answers for `stream` too, and keeps what is stored by now.
async fn let_a_replica_answer(client: &async_nats::Client, stream: &str) -> String {
    let name = format!("LAGGING_{stream}");
    let mirror =
        json!({ "name": name, "mirror": { "name": stream }, "mirror_direct": true, "allow_direct": true });
    let made = api(client, &format!("STREAM.CREATE.{name}"), mirror).await;
    assert!(made["error"].is_null(), "{made}");
    let stored = messages(client, stream).await;
    testing::until(async || messages(client, &name).await == stored).await;
    name
}

/// The same, and it knows of nothing that is stored by now.
async fn let_a_replica_lag(client: &async_nats::Client, stream: &str) {
    let name = let_a_replica_answer(client, stream).await;
    api(client, &format!("STREAM.PURGE.{name}"), json!({})).await;
    testing::until(async || {
        let answer =
            client.request(store::api(&store::direct_get(stream)), r#"{"seq":1,"next_by_subj":">"}"#.into());
        answer.await.unwrap().status.is_some_and(|status| status.as_u16() == 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_read_whichever_replica_answers() {
    let server = Nats::start().await;
    let connection = connection(server.url()).await;
    connection.set_up(Some(1)).await.unwrap();
    let ports = connection.control().await.unwrap();
    let large = "x".repeat(LARGE);
    let tail = append(&ports, "a", Seq::ZERO, &["one", "two"]).await.unwrap();
    let tail = append(&ports, "a", tail, &[&large]).await.unwrap();
    let revision = ports.kv.put(CONVERSATIONS, "c", "value".into(), Expect::Absent).await.unwrap();

    let client = async_nats::connect(server.url()).await.unwrap();
    for stream in [store::event_stream(0), store::bucket_stream(CONVERSATIONS), store::BODY_STREAM.to_owned()]
    {
        let_a_replica_lag(&client, &stream).await;
    }
    for _ in 0..READS {
        assert_eq!(texts(&ports, "a").await, ["one", "two", &large]);
        assert_eq!(ports.log.tail(&log("a")).await, Ok(tail));
        let entry = ports.kv.get(CONVERSATIONS, "c").await.unwrap().unwrap();
        assert_eq!((entry.revision, entry.value), (revision, Bytes::from("value")));
        assert_eq!(ports.kv.list(CONVERSATIONS).await.unwrap().len(), 1);
        let again = ports.kv.put(CONVERSATIONS, "c", "other".into(), Expect::Absent).await;
        assert_eq!(again, Err(Error::Conflict { tail: None }));
        assert_eq!(append(&ports, "a", Seq::ZERO, &["x"]).await, Err(Error::Conflict { tail: Some(tail) }));
    }
    assert_eq!(ports.log.read_all(&LogId::clone(&log("b")), Seq::ZERO).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_is_not_read_from_a_replica_that_still_has_it() {
    let three = Three::start().await;
    let connection = three.connection().await;
    let ports = connection.control().await.unwrap();
    for name in ["a", "b"] {
        append(&ports, name, Seq::ZERO, &["one"]).await.unwrap();
    }
    let kept = append(&ports, "b", ports.log.tail(&log("b")).await.unwrap(), &["two"]).await.unwrap();

    let client = async_nats::connect(three.servers[0].url()).await.unwrap();
    let_a_replica_answer(&client, &store::event_stream(0)).await;
    ports.log.delete(&log("a")).await.unwrap();
    ports.log.truncate_before(&log("b"), kept).await.unwrap();
    for _ in 0..READS {
        assert_eq!(texts(&ports, "a").await, [""; 0]);
        assert_eq!(texts(&ports, "b").await, ["two"]);
    }
    append(&ports, "a", Seq::ZERO, &["anew"]).await.unwrap();
    for _ in 0..READS {
        assert_eq!(texts(&ports, "a").await, ["anew"]);
    }
}
