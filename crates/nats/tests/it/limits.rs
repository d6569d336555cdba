//! Too much, too large, too slow.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, append, cluster, connection, log, next, pieces};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, poll};
use ports::{Delivery, Error, Parcel, Record, Stored};
use testing::nats::Nats;
use types::{Seq, subjects};

#[tokio::test]
async fn a_slow_consumer_sees_that_it_lags_and_holds_nobody_up() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let publisher = self::connection(server.url()).await.control().await.unwrap();
    let mut slow = ports.bus.subscribe("flood", None).await.unwrap();
    let mut quick = ports.bus.subscribe("flood", None).await.unwrap();
    let body = Bytes::from(vec![7; 10_000]);
    for chunk in 0..50 {
        let numbers = chunk * 100..(chunk + 1) * 100;
        for number in numbers.clone() {
            let parcel = Parcel { json: number.to_string().into(), blob: body.clone() };
            publisher.bus.publish("flood", parcel).await.unwrap();
        }
        for number in numbers {
            let Delivery::Message(message) = next(&mut quick).await else { panic!("not slow") };
            assert_eq!(message.parcel.json, number.to_string(), "the other subscriber has them all");
        }
    }
    append(&ports, "a", Seq::ZERO, &["x"]).await.unwrap();
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
    let began = Instant::now();
    let (mut expected, mut missing) = (0, 0);
    // A sign that stands for the next gap, and a gap that waits for its sign.
    let (mut told, mut owed) = (false, false);
    loop {
        assert!(began.elapsed() < PATIENCE, "a gap is still without its sign");
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
async fn a_record_too_large_for_a_message_goes_through_pieces() {
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let large = Bytes::from((0..900_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let records = vec![Bytes::from("before"), large, Bytes::from("after")];
    let stored_on = subjects::stored(&log("a"));
    let mut published = ports.bus.subscribe(&stored_on, None).await.unwrap();
    let appended = ports.log.append(&log("a"), Seq::ZERO, records.clone()).await.unwrap();
    let entries = appended.seqs.iter().zip(&records);
    let entries: Vec<_> =
        entries.map(|(seq, payload)| Record { seq: *seq, payload: payload.clone() }).collect();
    assert_eq!(ports.log.read_all(&log("a"), Seq::ZERO).await, Ok(entries.clone()));
    let Delivery::Message(message) = next(&mut published).await else { panic!("a message") };
    let stored: Stored = serde_json::from_slice(&message.parcel.json).unwrap();
    let seq = appended.tail();
    assert_eq!((stored, message.parcel.blob), (Stored { seq, prev: seq }, Bytes::new()), "it is to be read");
    assert!(pieces(&server).await > 0);
    ports.log.delete(&log("a")).await.unwrap();
    assert_eq!(pieces(&server).await, 0, "its body goes with the log");
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
async fn a_parcel_beyond_the_limit_of_a_small_server_is_refused_with_its_reason() {
    let server = Nats::with("max_payload: 1MB").await;
    let connection = connection(server.url()).await;
    connection.set_up(None).await.unwrap();
    let ports = connection.control().await.unwrap();
    let parcel = Parcel { json: "{}".into(), blob: Bytes::from(vec![0; 2 << 20]) };
    let refused = ports.bus.publish("x", parcel).await;
    assert!(matches!(&refused, Err(Error::TooLarge(why)) if why.contains("max_payload")), "{refused:?}");
    assert!(connection.is_connected());
}

#[tokio::test]
async fn a_file_chunk_passes_a_server_that_is_set_up_for_it() {
    let (_server, connection) = cluster().await;
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
async fn questions_that_a_worker_never_answers_leave_nothing_behind() {
    const ROUNDS: usize = 100;
    const AT_ONCE: usize = 1_000;
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let nobody = ports.bus.request("mh.cmd.a.git.1", Parcel::json("{}"), PATIENCE).await;
    assert_eq!(nobody, Err(Error::NotFound), "at once, where nobody listens");
    let silent = async_nats::connect(server.url()).await.unwrap();
    let mut questions = silent.subscribe("mh.cmd.a.>").await.unwrap();
    known_to_the_server(&silent).await;
    let heard = tokio::spawn(async move { while questions.next().await.is_some() {} });
    let ask = async |rounds: usize| {
        for _ in 0..rounds {
            let asked = (0..AT_ONCE)
                .map(|_| ports.bus.request("mh.cmd.a.git.1", Parcel::json("{}"), Duration::from_millis(5)));
            let answers = join_all(asked).await;
            assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unavailable(_)))));
        }
    };
    ask(ROUNDS / 10).await;
    let before = resident_bytes();
    ask(ROUNDS).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < ROUNDS * AT_ONCE * 100, "{grown} bytes");
    heard.abort();
}

#[tokio::test]
async fn a_worker_that_answers_more_often_than_it_was_asked_makes_nobody_else_read_anew() {
    const ANSWERS: usize = 20_000;
    let (server, connection) = cluster().await;
    let ports = connection.control().await.unwrap();
    let mut changes = ports.bus.subscribe("others", None).await.unwrap();
    let eager = async_nats::connect(server.url()).await.unwrap();
    let mut questions = eager.subscribe("mh.cmd.a.*.1").await.unwrap();
    known_to_the_server(&eager).await;
    let mut asking = pin!(ports.bus.request("mh.cmd.a.git.1", Parcel::json("{}"), PATIENCE));
    // As on a busy machine: who waits for the answer does not come to run meanwhile.
    assert!(poll!(asking.as_mut()).is_pending());
    let inbox = next(&mut questions).await.reply.unwrap();
    for _ in 0..ANSWERS {
        eager.publish(inbox.clone(), "".into()).await.unwrap();
    }
    eager.publish("others", "1".into()).await.unwrap();
    let heard = next(&mut changes).await;
    assert!(matches!(heard, Delivery::Message(_)), "{heard:?}");
    let more = tokio::time::timeout(Duration::from_millis(500), changes.next()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(asking.await, Ok(Parcel::default()));
}

/// Waits until the server knows the client's subscriptions, as it answers in order: a flush says only that they were sent.
async fn known_to_the_server(client: &async_nats::Client) {
    assert!(client.request("nobody", "".into()).await.is_err());
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
