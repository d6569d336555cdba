//! What goes wrong between a client and its server, caused on purpose.

use std::time::{Duration, Instant};

use crate::common::operator::{Operator, seconds_from_now};
use crate::common::{PATIENCE, append, cluster, connection, log, next, options, pieces, texts};
use futures_util::StreamExt;
use futures_util::future::join_all;
use manyhands_nats::{Connection, Options, connect};
use nkeys::KeyPair;
use ports::{Change, Delivery, Error, Expect, Parcel, Ports};
use serde_json::json;
use testing::nats::Nats;
use testing::proxy::Proxy;
use testing::until;
use types::placement::Credentials;
use types::{Seq, buckets};

/// A cluster, and a connection to it that can be cut.
async fn cuttable() -> (Nats, Ports, Proxy, Connection) {
    let (server, direct) = cluster().await;
    let proxy = Proxy::to(vec![([127, 0, 0, 1], server.port()).into()]).unwrap();
    let connection = connection(format!("nats://{}", proxy.address())).await;
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
    assert!(began.elapsed() < Duration::from_secs(3), "nobody waits for a server that is gone");
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
async fn a_front_whose_dropping_was_cut_off_is_gone_and_leaves_no_bodies_once_more_of_it_goes() {
    let (server, direct, proxy, connection) = cuttable().await;
    let ports = connection.control().await.unwrap();
    let large = "large ".repeat(200_000);
    let tail = append(&direct, "_bash", Seq::ZERO, &[&large]).await.unwrap();
    let tail = append(&direct, "_bash", tail, &[&large.to_uppercase()]).await.unwrap();
    let first = append(&direct, "_bash", tail, &["first"]).await.unwrap();
    let last = append(&direct, "_bash", first, &["last"]).await.unwrap();
    proxy.cut_before("STREAM.PURGE.BLOBS");
    ports.log.truncate_before(&log("_bash"), first).await.unwrap();
    assert!(proxy.has_cut());
    assert_eq!(texts(&direct, "_bash").await, ["first", "last"]);
    connection.connected().await;
    ports.log.truncate_before(&log("_bash"), first).await.unwrap();
    assert!(pieces(&server).await > 0, "who asks again does not wait for a search");
    ports.log.truncate_before(&log("_bash"), last).await.unwrap();
    assert_eq!(pieces(&server).await, 0);
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
async fn renewed_credentials_are_used_when_the_old_ones_expire() {
    let operator = Operator::new();
    let server = Nats::with(&operator.configuration()).await;
    let everything = || json!({});
    let short = operator.user("_INBOX_a", everything(), Some(seconds_from_now(3)));
    let connection = connect(Options { credentials: Some(short), ..options(server.url()) }).await.unwrap();
    connection.renew(operator.user("_INBOX_a", everything(), None));
    connection.disconnected().await;
    connection.connected().await;
    connection.set_up(None).await.unwrap();
    let ports = connection.control().await.unwrap();
    append(&ports, "a", Seq::ZERO, &["x"]).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_made_anew_is_that_of_the_renewed_credentials() {
    let operator = Operator::new();
    let server = Nats::with(&operator.configuration()).await;
    let [old, new] = [(); 2].map(|()| operator.user("_INBOX_a", json!({}), None));
    let name = |user: &Credentials| KeyPair::from_seed(&user.seed).unwrap().public_key();
    let connection =
        connect(Options { credentials: Some(old.clone()), ..options(server.url()) }).await.unwrap();
    let is = async |user: &str| {
        let told = connection.request("$SYS.REQ.USER.INFO", "".into()).await;
        told.is_ok_and(|told| String::from_utf8_lossy(&told).contains(user))
    };
    assert!(is(&name(&old)).await);
    connection.renew(new.clone());
    connection.sign_in_anew().await;
    until(async || is(&name(&new)).await).await;
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
