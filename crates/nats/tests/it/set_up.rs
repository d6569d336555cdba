//! What a connection finds and makes: server, storage, layout.

use std::time::{Duration, Instant};

use crate::common::operator::Operator;
use crate::common::{append, cluster, connection, options};
use futures_util::future::join_all;
use manyhands_nats::{Error, Options, connect};
use ports::Expect;
use testing::nats::Nats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use types::time::unix_ms;
use types::{Seq, buckets};

#[tokio::test]
async fn setting_up_twice_changes_nothing() {
    let (server, first) = cluster().await;
    let ports = first.control().await.unwrap();
    append(&ports, "a", Seq::ZERO, &["x"]).await.unwrap();
    let revision = ports.kv.put(buckets::SANDBOXES, "s", "v".into(), Expect::Absent).await.unwrap();
    let before = streams(&server).await;
    let second = connection(server.url()).await;
    second.set_up(None).await.unwrap();
    second.set_up(Some(4)).await.unwrap();
    assert_eq!(streams(&server).await, before);
    assert_eq!(before.len(), 4 + 1 + buckets::ALL.len() + 1);
    let ports = second.control().await.unwrap();
    assert_eq!(crate::common::texts(&ports, "a").await, ["x"]);
    assert_eq!(ports.kv.get(buckets::SANDBOXES, "s").await.unwrap().unwrap().revision, revision);
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed_the_first_time() {
    let server = Nats::start().await;
    let connection = connection(server.url()).await;
    assert!(matches!(connection.control().await, Err(Error::NotSetUp)));
    connection.set_up(Some(2)).await.unwrap();
    connection.set_up(None).await.unwrap();
    let refused = connection.set_up(Some(3)).await;
    assert!(matches!(refused, Err(Error::Partitions { found: 2, asked: 3 })), "{refused:?}");
    let events = streams(&server).await.into_iter().filter(|stream| stream.0.starts_with("EVENTS_"));
    assert_eq!(events.count(), 2);
    let ports = connection.control().await.unwrap();
    for number in 0..8 {
        append(&ports, &number.to_string(), Seq::ZERO, &["x"]).await.unwrap();
    }
}

#[tokio::test]
async fn a_cluster_has_a_mark_that_stays_and_that_no_other_has() {
    let server = Nats::start().await;
    let first = connection(server.url()).await;
    assert!(matches!(first.mark().await, Err(Error::NotSetUp)));
    first.set_up(None).await.unwrap();
    let mark = first.mark().await.unwrap();
    first.set_up(None).await.unwrap();
    assert_eq!(connection(server.url()).await.mark().await.unwrap(), mark);
    let (_other, elsewhere) = cluster().await;
    assert_ne!(elsewhere.mark().await.unwrap(), mark);
}

#[tokio::test]
async fn a_probe_tells_the_servers_time() {
    let (_server, connection) = cluster().await;
    let before = unix_ms();
    let probe = connection.probe().await.unwrap();
    assert!((before..=unix_ms()).contains(&probe.server_unix_ms), "{probe:?}");
}

#[tokio::test]
async fn limits_an_operator_has_set_stay_and_what_we_need_comes_back() {
    let (server, connection) = cluster().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut config = config(&client, "EVENTS_0").await;
    config["max_bytes"] = 1_000_000.into();
    config["allow_direct"] = false.into();
    let updated = client.request("$JS.API.STREAM.UPDATE.EVENTS_0", config.to_string().into()).await.unwrap();
    assert!(!String::from_utf8_lossy(&updated.payload).contains("\"error\""));
    connection.set_up(None).await.unwrap();
    let config = self::config(&client, "EVENTS_0").await;
    assert_eq!((&config["max_bytes"], &config["allow_direct"]), (&1_000_000.into(), &true.into()));
}

#[tokio::test]
async fn a_newer_layout_is_left_alone() {
    let (server, connection) = cluster().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    client.request("$KV.CLUSTER.layout", "2".into()).await.unwrap();
    assert!(matches!(connection.set_up(None).await, Err(Error::Newer { found: 2 })));
    assert!(matches!(connection.control().await, Err(Error::Newer { found: 2 })));
}

#[tokio::test]
async fn an_older_layout_is_raised_once_all_is_up_to_date() {
    let (server, connection) = cluster().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    client.request("$KV.CLUSTER.layout", "0".into()).await.unwrap();
    connection.set_up(None).await.unwrap();
    let body = r#"{"last_by_subj":"$KV.CLUSTER.layout"}"#;
    let layout = client.request("$JS.API.DIRECT.GET.KV_CLUSTER", body.into()).await.unwrap();
    assert_eq!(layout.payload, "1");
}

#[tokio::test]
async fn a_layout_that_cannot_be_read_is_not_taken_for_none() {
    for key in ["layout", "partitions"] {
        let (server, connection) = cluster().await;
        let client = async_nats::connect(server.url()).await.unwrap();
        client.request(format!("$KV.CLUSTER.{key}"), "x".into()).await.unwrap();
        let refused = connection.control().await.err().unwrap();
        assert!(matches!(refused, Error::Storage(ports::Error::Internal(_))), "{refused}");
        assert!(connection.set_up(None).await.is_err());
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_named_as_the_reason() {
    let server = Nats::with("jetstream: disabled").await;
    let connection = connection(server.url()).await;
    assert!(matches!(connection.set_up(None).await, Err(Error::NoJetStream)));
}

#[tokio::test]
async fn a_too_old_server_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let info = r#"INFO {"version":"2.9.10","max_payload":1048576,"headers":true,"proto":1}"#;
        socket.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
        let mut buffer = [0; 4_096];
        while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            socket.write_all(b"PONG\r\n").await.unwrap();
        }
    });
    let refused = connect(options(url)).await.err().unwrap();
    assert_eq!(refused.to_string(), "nats: the server is version 2.9.10; at least 2.11 is needed");
}

#[tokio::test]
async fn wrong_credentials_are_refused_at_once() {
    let server = Nats::with("authorization { user: a, password: b }").await;
    let refused = connect(options(server.url())).await;
    assert!(matches!(refused, Err(Error::Refused { .. })));
}

/// As one whose `auth.conf` has come to be empty.
#[tokio::test]
async fn a_server_that_asks_nobody_who_they_are_is_not_joined_by_who_has_credentials() {
    let operator = Operator::new();
    let user = operator.user("_INBOX", serde_json::json!({}), None);
    let joining =
        |server: &Nats| connect(Options { credentials: Some(user.clone()), ..options(server.url()) });
    let refused = joining(&Nats::start().await).await.err().unwrap();
    assert!(matches!(refused, Error::Open { .. }), "{refused}");

    let asking = operator.configuration();
    let mut server = Nats::with(&format!("debug: true\n{asking}")).await;
    let joined = joining(&server).await.unwrap();
    let file = server.folder().join("nats.conf");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replace(&asking, "")).unwrap();
    server.restart().await;
    joined.disconnected().await;
    let log = server.folder().join("server.log");
    let tries = || std::fs::read_to_string(&log).unwrap().matches("Client connection created").count();
    testing::until(async || tries() > 2).await;
    assert!(!joined.is_connected(), "it came back without having been asked who it is");
    std::fs::write(&file, whole).unwrap();
    server.restart().await;
    joined.connected().await;
}

#[tokio::test]
async fn a_server_is_trusted_for_its_authority_alone() {
    let file = |name: &str| format!("{}/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let server = Nats::with(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}")).await;
    let url = format!("tls://127.0.0.1:{}", server.port());
    let authority = |pem: &str| Options { ca: Some(pem.to_owned()), ..options(url.clone()) };
    let connection = connect(authority(include_str!("tls/authority.pem"))).await.unwrap();
    connection.set_up(None).await.unwrap();

    let strangers = connect(options(url.clone())).await.err().unwrap();
    assert!(matches!(strangers, Error::Untrusted { .. }), "{strangers}");
    let nobodys = connect(authority("no certificate")).await.err().unwrap();
    assert!(matches!(nobodys, Error::Configuration(_)), "{nobodys}");
}

/// As behind a door: what is dialled is not what the server is called.
#[tokio::test]
async fn a_server_behind_another_address_is_trusted_by_its_own_name() {
    let file = |name: &str| format!("{}/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (file("named.pem"), file("named.key"));
    let server = Nats::with(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}")).await;
    let named = |names: &[&str]| Options {
        ca: Some(include_str!("tls/named-authority.pem").to_owned()),
        servers: names.iter().map(|name| format!("tls://{name}:4222")).collect(),
        ..options(format!("tls://127.0.0.1:{}", server.port()))
    };
    connect(named(&["localhost"])).await.unwrap().set_up(None).await.unwrap();
    connect(named(&["nats", "localhost"])).await.unwrap();
    for names in [&[][..], &["127.0.0.1"], &["nats", "nats.localhost"]] {
        let strangers = connect(named(names)).await.err().unwrap();
        assert!(matches!(strangers, Error::Untrusted { .. }), "{names:?}: {strangers}");
    }
    let by_strangers = connect(Options { ca: None, ..named(&["localhost"]) }).await.err().unwrap();
    assert!(matches!(by_strangers, Error::Untrusted { .. }), "{by_strangers}");
}

/// A server whose machine is gone takes no connection and refuses none.
#[tokio::test]
async fn servers_that_say_nothing_keep_nobody_long_from_one_that_does() {
    let server = Nats::start().await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let mut urls: Vec<_> =
        silent.iter().map(|silent| format!("nats://{}", silent.local_addr().unwrap())).collect();
    urls.push(server.url());
    // They are tried in any order.
    let began = Instant::now();
    let all = (0..12).map(|_| connect(Options { urls: urls.clone(), ..options(server.url()) }));
    assert!(join_all(all).await.iter().all(Result::is_ok));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

async fn config(client: &async_nats::Client, stream: &str) -> serde_json::Value {
    let info = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    info["config"].clone()
}

/// Name, configuration and creation time of all streams.
async fn streams(server: &Nats) -> Vec<(String, String, String)> {
    let client = async_nats::connect(server.url()).await.unwrap();
    let list = client.request("$JS.API.STREAM.LIST", "".into()).await.unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list.payload).unwrap();
    let mut streams: Vec<_> = list["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| {
            let name = stream["config"]["name"].as_str().unwrap().to_owned();
            (name, stream["config"].to_string(), stream["created"].to_string())
        })
        .collect();
    streams.sort();
    streams
}
