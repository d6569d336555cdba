//! What every bus must do.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::select_all;

use super::{PATIENCE, in_time, next, unique};
use crate::{Delivery, Error, LARGEST, Message, Parcel, Ports, Subscription};

pub async fn more_than_the_largest_parcel_is_refused_at_once(ports: Ports) {
    let subject = unique();
    let mut subscription = subscribe(&ports, &subject, None).await;
    let parcel = |blob: usize| Parcel { json: "{}".into(), blob: Bytes::from(vec![0; blob]) };
    let refused = ports.bus.publish(&subject, parcel(LARGEST)).await;
    assert!(matches!(refused, Err(Error::TooLarge(_))), "{refused:?}");
    let refused = ports.bus.request(&subject, parcel(LARGEST), PATIENCE).await;
    assert!(matches!(refused, Err(Error::TooLarge(_))), "{refused:?}");
    ports.bus.publish(&subject, parcel(LARGEST - 2)).await.expect("it has room");
    assert_eq!(message(&mut subscription).await.parcel.blob.len(), LARGEST - 2);
}

pub async fn a_message_reaches_every_matching_pattern_once(ports: Ports) {
    let base = unique();
    let patterns = ["a.b", "a.*", "*.b", ">", "a.>", "a.b.c", "a", "b.*"];
    let mut subscriptions = Vec::new();
    for pattern in patterns {
        subscriptions.push(subscribe(&ports, &format!("{base}.{pattern}"), None).await);
    }
    publish(&ports, &format!("{base}.a.b"), "hit").await;
    for subject in ["a", "a.b", "a.b.c", "b.x"] {
        publish(&ports, &format!("{base}.{subject}"), "end").await;
    }
    for (pattern, subscription) in patterns.iter().zip(&mut subscriptions) {
        let mut seen = message(subscription).await;
        if matches!(*pattern, "a.b" | "a.*" | "*.b" | ">" | "a.>") {
            assert_eq!((seen.subject, text(&seen.parcel)), (format!("{base}.a.b"), "hit".to_owned()));
            seen = message(subscription).await;
        }
        assert_eq!(text(&seen.parcel), "end", "{pattern}");
    }
}

pub async fn messages_of_one_publisher_arrive_in_order(ports: Ports) {
    let subject = unique();
    let mut subscription = subscribe(&ports, &subject, None).await;
    for number in 0..500 {
        let parcel = Parcel { json: number.to_string().into(), blob: Bytes::from(vec![7; number]) };
        assert_eq!(ports.bus.publish(&subject, parcel).await, Ok(()));
    }
    for number in 0..500 {
        let parcel = message(&mut subscription).await.parcel;
        assert_eq!((text(&parcel), parcel.blob.len()), (number.to_string(), number));
    }
}

pub async fn of_a_group_one_member_gets_each_message(ports: Ports) {
    let subject = unique();
    let mut alone = subscribe(&ports, &subject, None).await;
    let (mut red, mut blue) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        red.push(subscribe(&ports, &subject, Some("red")).await);
        blue.push(subscribe(&ports, &subject, Some("blue")).await);
    }
    let numbers: BTreeSet<String> = (0..60).map(|number| number.to_string()).collect();
    for number in &numbers {
        publish(&ports, &subject, number).await;
    }
    for _ in &numbers {
        message(&mut alone).await;
    }
    for members in [red, blue] {
        let tagged = members.into_iter().enumerate().map(|(member, got)| got.map(move |one| (member, one)));
        let mut all = select_all(tagged);
        let (mut got, mut shares) = (BTreeSet::new(), [0; 3]);
        for _ in &numbers {
            let (member, delivery) = next(&mut all).await;
            shares[member] += 1;
            got.insert(text(&unwrap(delivery).parcel));
        }
        assert_eq!(got, numbers);
        assert!(shares.iter().all(|share| *share >= 2), "every member has its share: {shares:?}");
    }
}

pub async fn what_is_published_before_a_subscription_is_not_seen(ports: Ports) {
    let subject = unique();
    publish(&ports, &subject, "before").await;
    let mut subscription = subscribe(&ports, &subject, None).await;
    publish(&ports, &subject, "after").await;
    assert_eq!(text(&message(&mut subscription).await.parcel), "after");
}

pub async fn a_dropped_subscription_ends(ports: Ports) {
    let subject = unique();
    let subscription = subscribe(&ports, &subject, None).await;
    drop(subscription);
    let asked = async || ports.bus.request(&subject, Parcel::default(), Duration::from_millis(500)).await;
    in_time(async { while asked().await != Err(Error::NotFound) {} }).await;
}

pub async fn a_request_gets_its_answer(ports: Ports) {
    let subject = unique();
    let mut requests = subscribe(&ports, &format!("{subject}.*"), None).await;
    let bus = ports.bus.clone();
    let answering = tokio::spawn(async move {
        // The second one is answered first: answers find their requests.
        let (one, two) = (message(&mut requests).await, message(&mut requests).await);
        for request in [two, one] {
            let blob = Bytes::from(request.subject.clone());
            let answer = Parcel { json: request.parcel.json, blob };
            let reply = request.reply.expect("a request names where its answer goes");
            bus.publish(&reply, answer).await.expect("the answer is taken");
        }
    });
    let ask = |name: &'static str| {
        let (bus, subject) = (ports.bus.clone(), format!("{subject}.{name}"));
        async move { bus.request(&subject, Parcel::json(name), PATIENCE).await }
    };
    let (one, two) = tokio::join!(ask("one"), ask("two"));
    for (name, answer) in [("one", one), ("two", two)] {
        assert_eq!(answer, Ok(Parcel { json: name.into(), blob: format!("{subject}.{name}").into() }));
    }
    answering.await.expect("all were answered");
}

pub async fn a_request_nobody_listens_to_fails_at_once(ports: Ports) {
    let began = Instant::now();
    let answer = ports.bus.request(&unique(), Parcel::default(), PATIENCE * 6).await;
    assert_eq!(answer, Err(Error::NotFound));
    assert!(began.elapsed() < PATIENCE);
}

pub async fn a_request_without_an_answer_fails_at_its_deadline(ports: Ports) {
    let subject = unique();
    let _listening = subscribe(&ports, &subject, None).await;
    let (began, deadline) = (Instant::now(), Duration::from_millis(200));
    let answer = ports.bus.request(&subject, Parcel::default(), deadline).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert!(began.elapsed() >= deadline && began.elapsed() < PATIENCE);
}

pub async fn a_slow_subscriber_is_told_that_it_lags_and_goes_on(ports: Ports) {
    let subject = unique();
    let mut slow = subscribe(&ports, &subject, None).await;
    let mut end = subscribe(&ports, &format!("{subject}.end"), None).await;
    let began = Instant::now();
    let body = Bytes::from(vec![0; 16 << 10]);
    for number in 0..4_000 {
        let parcel = Parcel { json: number.to_string().into(), blob: body.clone() };
        assert_eq!(ports.bus.publish(&subject, parcel).await, Ok(()));
    }
    publish(&ports, &format!("{subject}.end"), "end").await;
    message(&mut end).await;
    assert!(began.elapsed() < PATIENCE, "a slow subscriber does not hold up a publisher");
    let (mut seen, mut lagged) = (0, false);
    while !lagged {
        match next(&mut slow).await {
            Delivery::Message(message) => {
                assert_eq!(text(&message.parcel), seen.to_string(), "no gap without a sign");
                seen += 1;
            }
            Delivery::Lagged => lagged = true,
        }
    }
    assert!(seen < 4_000);
    let goes_on = async {
        loop {
            publish(&ports, &subject, "after").await;
            match next(&mut slow).await {
                Delivery::Message(message) if text(&message.parcel) == "after" => return,
                _ => {}
            }
        }
    };
    in_time(goes_on).await;
}

async fn subscribe(ports: &Ports, pattern: &str, group: Option<&str>) -> Subscription {
    ports.bus.subscribe(pattern, group).await.expect("a subscription")
}

async fn publish(ports: &Ports, subject: &str, text: &str) {
    let published = ports.bus.publish(subject, Parcel::json(text.to_owned())).await;
    assert_eq!(published, Ok(()));
}

async fn message(subscription: &mut Subscription) -> Message {
    unwrap(next(subscription).await)
}

fn unwrap(delivery: Delivery) -> Message {
    match delivery {
        Delivery::Message(message) => Some(message),
        Delivery::Lagged => None,
    }
    .expect("a message, not a gap")
}

fn text(parcel: &Parcel) -> String {
    String::from_utf8_lossy(&parcel.json).into_owned()
}
