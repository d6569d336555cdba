//! Streams on three servers that stand in for each other.
//!
//! `MANYHANDS_REPLICAS_ROUNDS`: how often each of the servers fails.

mod contract;
mod failing;
mod users;

use std::time::Duration;

use manyhands_nats::{Connection, Options, connect};
use ports::Error;
use serde_json::Value;
use testing::nats::Nats;
use testing::{PATIENCE, until, within};
use types::subjects::store;

use crate::common::options;

/// A leader is elected within seconds, and all streams must have one.
const ELECTED: Duration = PATIENCE.saturating_mul(3);

/// Three servers with all streams on each.
pub struct Three {
    pub servers: Vec<Nats>,
}

impl Three {
    pub async fn start() -> Self {
        let three = Self { servers: Nats::three("") };
        let connection = three.connection().await;
        within(ELECTED, "the streams", async || connection.set_up_on(Some(3)).await.ok()).await;
        three.are_whole(&connection).await;
        three
    }

    /// To any of the servers, and another one if that one is lost.
    pub async fn connection(&self) -> Connection {
        let urls = self.servers.iter().map(Nats::url).collect();
        connect(Options { urls, ..options(String::new()) }).await.unwrap()
    }

    /// To this server, as long as it is there.
    async fn connection_to(&self, index: usize) -> Connection {
        connect(options(self.servers[index].url())).await.unwrap()
    }

    /// Which of the servers leads a stream.
    async fn leader_of(&self, connection: &Connection, stream: &str) -> usize {
        let leads = async || {
            let info = connection.request(&store::api(&store::stream_info(stream)), "".into()).await.ok()?;
            let info: Value = serde_json::from_slice(&info).ok()?;
            info["cluster"]["leader"].as_str()?.strip_prefix("server_")?.parse().ok()
        };
        within(ELECTED, "a leader", leads).await
    }

    /// From now on a stream publishes nothing.
    async fn mute(&self, connection: &Connection, stream: &str) {
        let asked = connection.request(&store::api(&store::stream_info(stream)), "".into()).await.unwrap();
        let mut config = serde_json::from_slice::<Value>(&asked).unwrap()["config"].take();
        assert!(config.as_object_mut().unwrap().remove("republish").is_some());
        let update = store::api(&format!("STREAM.UPDATE.{stream}"));
        let updated = connection.request(&update, config.to_string().into()).await.unwrap();
        let updated: Value = serde_json::from_slice(&updated).unwrap();
        assert!(updated["error"].is_null(), "{updated}");
    }

    async fn are_whole(&self, connection: &Connection) {
        let whole = async || is_whole(connection).await.then_some(());
        within(ELECTED, "the streams on all servers", whole).await;
    }
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
