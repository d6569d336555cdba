//! Three servers that stand in for each other, of which one is killed at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use manyhands_nats::{Connection, Options, connect};
use ports::{Error, EventLog};
use serde_json::Value;
use testing::nats::Nats;
use testing::{PATIENCE, until, within};
use types::Seq;
use types::subjects::store;

use crate::common::{log, options, texts};

/// A leader is elected within seconds, and all streams must have one.
const ELECTED: std::time::Duration = PATIENCE.saturating_mul(3);
/// Records that are stored after a server has died: so many that it is not missed.
const WITHOUT_IT: usize = 50;

/// Three servers with all streams on each, and connections to them.
async fn cluster() -> (Vec<Nats>, impl AsyncFn() -> Connection) {
    let servers = Nats::three("");
    let urls: Vec<_> = servers.iter().map(Nats::url).collect();
    let connected =
        async move || connect(Options { urls: urls.clone(), ..options(String::new()) }).await.unwrap();
    let first = connected().await;
    within(ELECTED, "the streams", async || first.set_up_on(Some(3)).await.ok()).await;
    (servers, connected)
}

/// Whether each stream has a leader and two others that have all of it.
async fn is_whole(connection: &Connection) -> bool {
    let list = connection.request(&store::api("STREAM.LIST"), "".into()).await.unwrap_or_default();
    let list: Value = serde_json::from_slice(&list).unwrap_or_default();
    let is_current = |replica: &Value| replica["current"] == true && replica["offline"] != true;
    let has_all = |stream: &Value| {
        let replicas = stream["cluster"]["replicas"].as_array();
        replicas.is_some_and(|replicas| replicas.len() == 2 && replicas.iter().all(is_current))
    };
    list["streams"].as_array().is_some_and(|streams| !streams.is_empty() && streams.iter().all(has_all))
}

/// Appends numbers until told to stop, and looks after each whether another connection reads it; answers how many.
async fn write(
    writing: Arc<dyn EventLog>,
    reading: Arc<dyn EventLog>,
    stored: &AtomicUsize,
    stop: &AtomicBool,
) {
    let (log, mut tail) = (log("a"), Seq::ZERO);
    while !stop.load(Ordering::SeqCst) {
        let text = stored.load(Ordering::SeqCst).to_string();
        let next = match writing.append(&log, tail, vec![text.clone().into()]).await {
            Ok(appended) => appended.tail(),
            // Perhaps stored: as whoever writes a log does, it looks.
            Err(Error::Unavailable(_) | Error::Conflict { .. }) => {
                let Ok(after) = writing.read(&log, tail, 2).await else { continue };
                let [own] = &after[..] else {
                    assert!(after.is_empty(), "nobody else writes here: {after:?}");
                    continue;
                };
                assert_eq!(own.payload, text);
                own.seq
            }
            Err(other) => panic!("{other:?}"),
        };
        let read =
            testing::eventually("what was acknowledged", async || reading.read(&log, tail, 2).await.ok())
                .await;
        assert_eq!(read.len(), 1, "{text} was acknowledged, and is not read");
        assert_eq!((read[0].seq, &read[0].payload[..]), (next, text.as_bytes()));
        tail = next;
        stored.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_servers_one_at_a_time_may_die_and_nothing_is_lost_or_read_late() {
    let (mut servers, connected) = cluster().await;
    let (watching, writing, reading) = (connected().await, connected().await, connected().await);
    let (writer, reader) = (writing.control().await.unwrap(), reading.control().await.unwrap());
    let (stored, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let work = tokio::spawn({
        let (writer, reader, stored, stop) = (writer.log, reader.log.clone(), stored.clone(), stop.clone());
        async move { write(writer, reader, &stored, &stop).await }
    });
    let more = async || {
        let before = stored.load(Ordering::SeqCst);
        let goes_on = async || {
            assert!(!work.is_finished(), "the writer has failed");
            (stored.load(Ordering::SeqCst) >= before + WITHOUT_IT).then_some(())
        };
        within(ELECTED, "the records that follow", goes_on).await;
    };
    more().await;
    for server in &mut servers {
        server.kill().await;
        more().await;
        server.restart().await;
        within(ELECTED, "the streams on all servers", async || is_whole(&watching).await.then_some(())).await;
    }
    stop.store(true, Ordering::SeqCst);
    work.await.unwrap();
    let expected: Vec<_> = (0..stored.load(Ordering::SeqCst)).map(|number| number.to_string()).collect();
    assert_eq!(texts(&reader, "a").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_a_leader_is_waited_for_and_not_taken_for_one_without_jetstream() {
    let others = r#"["nats://127.0.0.1:1", "nats://127.0.0.1:2"]"#;
    let cluster = format!("cluster {{ name: test, listen: \"127.0.0.1:-1\", routes: {others} }}");
    let server = Nats::with(&format!("server_name: alone\n{cluster}")).await;
    let alone = connect(options(server.url())).await.unwrap();
    let told = async || match alone.set_up_on(Some(3)).await {
        Err(manyhands_nats::Error::Storage(Error::Unavailable(why))) => why.contains("10008").then_some(()),
        other => panic!("{other:?}"),
    };
    within(ELECTED, "that there is no leader", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_get_more_replicas_and_never_fewer() {
    let servers = Nats::three("");
    let connection = connect(options(servers[0].url())).await.unwrap();
    let replicas = async || {
        let body = connection.request(&store::api(&store::stream_info("EVENTS_0")), "".into()).await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["config"]["num_replicas"].clone()
    };
    for (asked, found) in [(None, 1), (Some(3), 3), (Some(1), 3), (None, 3)] {
        within(ELECTED, "the streams", async || connection.set_up_on(asked).await.ok()).await;
        assert_eq!(replicas().await, found, "{asked:?}");
    }
    until(async || is_whole(&connection).await).await;
}
