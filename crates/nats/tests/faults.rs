//! What goes wrong between a client and its server, caused on purpose.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure ends its test")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::operator::{Operator, seconds_from_now};
use common::proxy::Proxy;
use common::{PATIENCE, append, cluster, connection, log, next, options, texts};
use futures_util::StreamExt;
use futures_util::future::join_all;
use manyhands_nats::{Connection, Options, connect};
use ports::{Change, Delivery, Entry, Error, Expect, Parcel, Ports, Stored, buckets, subjects};
use serde_json::json;
use testing::nats::Nats;
use testing::until;
use types::Seq;

/// A cluster, and a connection to it that can be cut.
async fn cuttable() -> (Nats, Ports, Proxy, Connection) {
    let (server, direct) = cluster().await;
    let proxy = Proxy::before(server.port()).await;
    let connection = connection(proxy.url()).await;
    (server, direct.control().await.unwrap(), proxy, connection)
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_at_once_and_comes_back_by_itself() {
    let (_server, direct, proxy, connection) = cuttable().await;
    let ports = connection.control().await.unwrap();
    let tail = append(&ports, "a", Seq::ZERO, &["before"]).await.unwrap();
    let mut listening = ports.bus.subscribe("x.*", None).await.unwrap();
    let mut watching = ports.kv.watch(buckets::SANDBOXES).await.unwrap();
    let unanswered = ports.bus.request("x.1", Parcel::default(), PATIENCE * 10);
    let cutting = async {
        assert!(matches!(next(&mut listening).await, Delivery::Message(_)));
        proxy.close();
    };
    let (answer, ()) = tokio::join!(unanswered, cutting);
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    connection.disconnected().await;
    let began = Instant::now();
    for outcome in [
        append(&ports, "a", tail, &["lost"]).await.map(|_| ()),
        ports.log.tail(&log("a")).await.map(|_| ()),
        ports.kv.get(buckets::SANDBOXES, "s").await.map(|_| ()),
        ports.bus.publish("x.2", Parcel::default()).await,
        ports.bus.subscribe("y", None).await.map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for a server that is gone");
    direct.kv.put(buckets::SANDBOXES, "s", "missed".into(), Expect::Absent).await.unwrap();

    proxy.open();
    connection.connected().await;
    assert!(matches!(next(&mut listening).await, Delivery::Lagged), "what was missed is missed visibly");
    assert_eq!(next(&mut watching).await, Change::Lagged);
    direct.bus.publish("x.3", Parcel::json("again")).await.unwrap();
    assert!(matches!(next(&mut listening).await, Delivery::Message(message) if message.subject == "x.3"));
    let revision = direct.kv.put(buckets::SANDBOXES, "s", "seen".into(), Expect::Anything).await.unwrap();
    let Change::Put { entry, .. } = next(&mut watching).await else { panic!("the watch goes on") };
    assert_eq!(entry.revision, revision);
    append(&ports, "a", tail, &["after"]).await.unwrap();
    assert_eq!(texts(&ports, "a").await, ["before", "after"]);
}

#[tokio::test]
async fn an_append_whose_acknowledgement_is_lost_is_unavailable_and_stored_once() {
    let (_server, _direct, proxy, connection) = cuttable().await;
    let ports = connection.control().await.unwrap();
    let tail = append(&ports, "a", Seq::ZERO, &["before"]).await.unwrap();
    proxy.cut_after("ambiguous");
    let outcome = append(&ports, "a", tail, &["ambiguous", "pair"]).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert!(proxy.has_cut());
    connection.connected().await;
    let again = append(&ports, "a", tail, &["ambiguous", "pair"]).await;
    assert!(matches!(again, Err(Error::Conflict { tail: Some(found) }) if found > tail), "{again:?}");
    assert_eq!(texts(&ports, "a").await, ["before", "ambiguous", "pair"]);
}

#[tokio::test]
async fn an_append_that_never_arrived_is_unavailable_and_can_be_made_again() {
    let (_server, _direct, proxy, connection) = cuttable().await;
    let ports = connection.control().await.unwrap();
    let tail = append(&ports, "a", Seq::ZERO, &["before"]).await.unwrap();
    proxy.cut_before("never");
    let outcome = append(&ports, "a", tail, &["never"]).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert!(proxy.has_cut());
    connection.connected().await;
    append(&ports, "a", tail, &["again"]).await.unwrap();
    assert_eq!(texts(&ports, "a").await, ["before", "again"]);
}

#[tokio::test]
async fn a_restarted_server_has_everything_that_was_acknowledged() {
    let (mut server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let writing = {
        let ports = ports.clone();
        tokio::spawn(async move {
            let (mut tail, mut acknowledged) = (Seq::ZERO, Vec::new());
            loop {
                let text = format!("record {}", acknowledged.len());
                match append(&ports, "a", tail, &[&text, "second of two"]).await {
                    Ok(stored) => tail = stored,
                    Err(error) => return (acknowledged, error),
                }
                acknowledged.extend([text, "second of two".to_owned()]);
            }
        })
    };
    until(async || ports.log.tail(&log("a")).await.is_ok_and(|tail| tail > Seq(20 * 4_096))).await;
    let revision = ports.kv.put(buckets::SANDBOXES, "s", "v".into(), Expect::Absent).await.unwrap();
    server.kill().await;
    let (acknowledged, error) = writing.await.unwrap();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    server.restart().await;
    connection.connected().await;
    until(async || ports.log.tail(&log("a")).await.is_ok()).await;
    let stored = texts(&ports, "a").await;
    assert!(acknowledged.len() >= 20);
    assert_eq!(stored[..acknowledged.len()], acknowledged);
    assert!([0, 2].contains(&(stored.len() - acknowledged.len())), "the last append is whole or absent");
    assert_eq!(ports.kv.get(buckets::SANDBOXES, "s").await.unwrap().unwrap().revision, revision);
}

#[tokio::test]
async fn of_two_writers_on_two_connections_exactly_one_wins() {
    let (server, one) = cluster().await;
    let other = connection(server.url()).await;
    let writers = [one.control().await.unwrap(), other.control().await.unwrap()];
    let (mut tail, mut winners) = (Seq::ZERO, Vec::new());
    for round in 0..50 {
        let names = [format!("{round} one"), format!("{round} other")];
        let race = writers.iter().zip(&names);
        let outcomes =
            join_all(race.map(async |(ports, name)| append(ports, "a", tail, &[name, "x"]).await)).await;
        let won: Vec<_> = outcomes.iter().zip(&names).filter(|(outcome, _)| outcome.is_ok()).collect();
        let [(Ok(stored), name)] = won[..] else { panic!("{outcomes:?}") };
        assert!(outcomes.contains(&Err(Error::Conflict { tail: Some(*stored) })), "{outcomes:?}");
        tail = *stored;
        winners.extend([name.clone(), "x".to_owned()]);
    }
    assert_eq!(texts(&writers[0], "a").await, winners);
}

#[tokio::test]
async fn a_slow_consumer_sees_that_it_lags_and_holds_nobody_up() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let publisher = self::connection(server.url()).await.control().await.unwrap();
    let mut slow = ports.bus.subscribe("flood", None).await.unwrap();
    let mut quick = ports.bus.subscribe("flood", None).await.unwrap();
    let body = Bytes::from(vec![7; 10_000]);
    let reading = tokio::spawn(async move {
        for expected in 0..5_000 {
            let Delivery::Message(message) = next(&mut quick).await else { return expected };
            assert_eq!(message.parcel.json, expected.to_string());
        }
        5_000
    });
    for number in 0..5_000 {
        let parcel = Parcel { json: number.to_string().into(), blob: body.clone() };
        publisher.bus.publish("flood", parcel).await.unwrap();
    }
    let began = Instant::now();
    append(&ports, "a", Seq::ZERO, &["x"]).await.unwrap();
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(reading.await.unwrap(), 5_000, "the other subscriber has them all");
    let (mut seen, mut lagged) = (0, false);
    while !lagged {
        match next(&mut slow).await {
            Delivery::Message(message) => {
                assert_eq!(message.parcel.json, seen.to_string(), "no gap without a sign");
                seen += 1;
            }
            Delivery::Lagged => lagged = true,
        }
    }
    assert!(seen < 5_000);
}

#[tokio::test]
async fn messages_the_client_itself_had_to_drop_show_too() {
    const FLOOD: usize = 60_000;
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let mut slow = ports.bus.subscribe("flood", None).await.unwrap();
    let url = server.url();
    // The one thread of this runtime stands still meanwhile, so that all of it is read from the socket at once.
    let flooding = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let publisher = self::connection(url).await.control().await.unwrap();
            for number in 0..FLOOD {
                publisher.bus.publish("flood", Parcel::json(number.to_string())).await.unwrap();
            }
            // A subscription returns when the server has seen everything before it.
            drop(publisher.bus.subscribe("flushed", None).await.unwrap());
        });
    });
    flooding.join().unwrap();
    let bus = ports.bus.clone();
    let ending = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            bus.publish("flood", Parcel::json(FLOOD.to_string())).await.unwrap();
        }
    });
    let (mut expected, mut missing) = (0, 0);
    // A sign that stands for the next gap, and a gap that waits for its sign.
    let (mut told, mut owed) = (false, false);
    loop {
        match next(&mut slow).await {
            Delivery::Lagged => (told, owed) = (true, false),
            Delivery::Message(message) => {
                let number: usize = std::str::from_utf8(&message.parcel.json).unwrap().parse().unwrap();
                if number == FLOOD && expected > 0 && !owed {
                    break;
                }
                if number != expected && number < FLOOD {
                    missing += number - expected;
                    owed |= !told;
                }
                (expected, told) = (number + 1, false);
            }
        }
    }
    ending.abort();
    missing += FLOOD.saturating_sub(expected);
    assert!(missing > 0, "something was dropped");
}

#[tokio::test]
async fn a_record_too_large_for_a_message_goes_through_a_blob() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let large = Bytes::from((0..900_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let records = vec![Bytes::from("before"), large, Bytes::from("after")];
    let stored_on = subjects::stored(&log("a"));
    let mut published = ports.bus.subscribe(&stored_on, None).await.unwrap();
    let appended = ports.log.append(&log("a"), Seq::ZERO, records.clone()).await.unwrap();
    let entries = appended.seqs.iter().zip(&records);
    let entries: Vec<_> =
        entries.map(|(seq, payload)| Entry { seq: *seq, payload: payload.clone() }).collect();
    assert_eq!(ports.log.read_all(&log("a"), Seq::ZERO).await, Ok(entries.clone()));
    let mut prev = Seq::ZERO;
    for Entry { seq, payload } in entries {
        let Delivery::Message(message) = next(&mut published).await else { panic!("a record") };
        let stored: Stored = serde_json::from_slice(&message.parcel.json).unwrap();
        assert_eq!((stored, message.parcel.blob), (Stored { seq, prev }, payload));
        prev = seq;
    }
    assert!(blob_messages(&server).await > 0);
    ports.log.delete(&log("a")).await.unwrap();
    assert_eq!(blob_messages(&server).await, 0, "its body goes with the log");
}

#[tokio::test]
async fn a_body_that_is_not_what_was_stored_is_not_delivered() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let large = Bytes::from(vec![b'x'; 600_000]);
    ports.log.append(&log("a"), Seq::ZERO, vec![large.clone()]).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let stored =
        client.request("$JS.API.STREAM.INFO.BLOBS", r#"{"subjects_filter":">"}"#.into()).await.unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&stored.payload).unwrap();
    let (subject, _) = stored["state"]["subjects"].as_object().unwrap().iter().next().unwrap();
    client.request(subject.clone(), "forged".into()).await.unwrap();
    let read = ports.log.read(&log("a"), Seq::ZERO, 10).await;
    assert!(matches!(read, Err(Error::Internal(_))), "{read:?}");
}

#[tokio::test]
async fn a_parcel_beyond_the_servers_limit_is_refused_with_its_reason() {
    let (_server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let parcel = Parcel { json: "{}".into(), blob: Bytes::from(vec![0; 2 << 20]) };
    let refused = ports.bus.publish("x", parcel).await;
    assert!(matches!(&refused, Err(Error::Internal(why)) if why.contains("max_payload")), "{refused:?}");
    assert!(connection.is_connected());
}

#[tokio::test]
async fn a_file_chunk_passes_a_server_that_is_set_up_for_it() {
    let server = Nats::with("max_payload: 8388608").await;
    let connection = connection(server.url()).await;
    connection.set_up(None).await.unwrap();
    let ports = connection.control().await.unwrap();
    let mut requests = ports.bus.subscribe("x", None).await.unwrap();
    let parcel = Parcel { json: "{}".into(), blob: Bytes::from(vec![7; 4 << 20]) };
    let answering = async {
        let Delivery::Message(message) = next(&mut requests).await else { panic!("a request") };
        ports.bus.publish(&message.reply.unwrap(), message.parcel).await.unwrap();
    };
    let (answer, ()) = tokio::join!(ports.bus.request("x", parcel.clone(), PATIENCE), answering);
    assert_eq!(answer, Ok(parcel));
}

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

#[tokio::test]
async fn renewed_credentials_are_used_when_the_old_ones_expire() {
    let operator = Operator::new();
    let server = Nats::with(&operator.configuration()).await;
    let everything = || json!({});
    let short = operator.user("_INBOX_a", everything(), Some(seconds_from_now(3)));
    let connection = connect(Options { credentials: Some(short), ..options(server.url()) }).await.unwrap();
    connection.set_up(None).await.unwrap();
    let ports = connection.control().await.unwrap();
    connection.renew(operator.user("_INBOX_a", everything(), None));
    connection.disconnected().await;
    connection.connected().await;
    append(&ports, "a", Seq::ZERO, &["x"]).await.unwrap();
}

#[tokio::test]
async fn draining_delivers_what_was_published_and_ends_the_subscriptions() {
    let (server, connection) = cluster().await;
    let other = self::connection(server.url()).await.control().await.unwrap();
    let mut listening = other.bus.subscribe("x", None).await.unwrap();
    let ports = connection.control().await.unwrap();
    let mut own = ports.bus.subscribe("y", None).await.unwrap();
    for number in 0..100 {
        ports.bus.publish("x", Parcel::json(number.to_string())).await.unwrap();
    }
    connection.drain().await;
    for number in 0..100 {
        let Delivery::Message(message) = next(&mut listening).await else { panic!("a message") };
        assert_eq!(message.parcel.json, number.to_string());
    }
    let ended = async { while own.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    let refused = ports.bus.publish("x", Parcel::default()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
}

async fn blob_messages(server: &Nats) -> u64 {
    let client = async_nats::connect(server.url()).await.unwrap();
    let info = client.request("$JS.API.STREAM.INFO.BLOBS", "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    info["state"]["messages"].as_u64().unwrap()
}
