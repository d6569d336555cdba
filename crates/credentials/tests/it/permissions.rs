//! The permission matrix: what a worker can do to others with its own credentials, on a real server. Nothing.
//! `MANYHANDS_PERMISSION_ATTEMPTS` says how many are tried beside the list, put together at random.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Request;
use futures_util::StreamExt;
use manyhands_credentials::Role;
use types::subjects;

use crate::cluster::attempts;
use crate::cluster::drawn::Dice;
use crate::cluster::frames::Frames;
use crate::cluster::observer::Observer;
use crate::cluster::scene::Scene;
use crate::cluster::wire::Wire;

/// After so many the server is let catch up.
const AT_ONCE: usize = 1_000;
/// Frames that are written on one connection.
const OF_A_CONNECTION: usize = 12;
const LISTENERS: usize = 20;

/// How many are drawn: one in so many of all.
fn drawn(one_in: usize) -> usize {
    let all = std::env::var("MANYHANDS_PERMISSION_ATTEMPTS").ok().and_then(|text| text.parse().ok());
    all.unwrap_or(2_000) / one_in
}

#[tokio::test]
async fn nothing_a_worker_publishes_reaches_another() {
    let scene = Scene::set().await;
    let before = scene.store.contents().await;
    scene.settle().await;
    scene.forget();
    let (targets, headers) = (attempts::targets(), attempts::headers());
    let (mut publishes, mut requests, mut with_headers, mut with_replies) = (0, 0, 0, 0);
    for target in &targets {
        let reply = || Some(format!("_INBOX_a_1.try.{}", target.len()));
        scene.publish(target, None, None, attempts::body(target)).await;
        scene.publish(target, reply(), None, attempts::body(target)).await;
        publishes += 1;
        requests += 1;
        for headers in &headers {
            scene.publish(target, reply(), Some(headers.clone()), attempts::body(target)).await;
            with_headers += 1;
        }
        // Incarnations of one sandbox are one party.
        let may_be_answered =
            |own: &&str| subjects::may_answer(own, target) && target.starts_with("_INBOX_a_");
        for own in attempts::OWN.into_iter().filter(|own| !may_be_answered(own)) {
            scene.publish(own, Some(target.clone()), None, attempts::body(target)).await;
            with_replies += 1;
        }
    }
    for (call, config) in attempts::stream_changes() {
        scene.publish(&call, Some("_INBOX_a_1.try".to_owned()), None, config).await;
        requests += 1;
    }
    for own in attempts::OWN {
        for headers in &headers {
            scene.publish(own, Some("mh.evt.0.v.log".to_owned()), Some(headers.clone()), String::new()).await;
            with_headers += 1;
        }
    }
    let (mut dice, drawn) = (Dice::new(), drawn(1));
    for number in 1..=drawn {
        let attempt = dice.attempt();
        scene.publish(&attempt.subject, attempt.reply, attempt.headers, attempt.body).await;
        if number % AT_ONCE == 0 {
            scene.attacker.settle().await;
        }
    }
    let effects = scene.effects().await;
    let refusals = scene.attacker.client().refusals();
    let after = scene.store.contents().await;
    println!(
        "drawn {drawn}, publish {publishes}, request {requests}, headers {with_headers}, replies {with_replies}: \
         at least {refusals} refused aloud, {} effects",
        effects.len()
    );
    assert!(effects.is_empty(), "{effects:?}");
    assert_eq!(after, before, "a stream has changed");
    assert!(publishes + requests + with_headers + with_replies >= 2_000);
    // The detectors do see: the same subjects, from one who may.
    scene.forget();
    let gateway = &scene.gateway.client().nats;
    gateway.publish("mh.cmd.v.bash.1", "seen".into()).await.unwrap();
    gateway.publish("mh.evt.0.v.log", "seen".into()).await.unwrap();
    scene.gateway.settle().await;
    let noticed: BTreeSet<String> = scene.effects().await.iter().map(|m| m.subject.to_string()).collect();
    for subject in ["mh.cmd.v.bash.1", "mh.pub.evt.v.log"] {
        assert!(noticed.contains(subject), "{noticed:?}");
    }
    assert_ne!(scene.store.contents().await, before);
}

#[tokio::test]
async fn nothing_of_others_reaches_a_workers_subscriptions() {
    let scene = Scene::set().await;
    let patterns = attempts::patterns();
    let attacker = &scene.attacker.client().nats;
    let mut subscriptions = Vec::new();
    for pattern in &patterns {
        subscriptions.push(attacker.subscribe(pattern.clone()).await.unwrap());
        for group in ["workers", "gateways"] {
            subscriptions.push(attacker.queue_subscribe(pattern.clone(), group.to_owned()).await.unwrap());
        }
    }
    let mut dice = Dice::new();
    for number in 1..=drawn(5) {
        subscriptions.push(attacker.subscribe(dice.pattern()).await.unwrap());
        if number % AT_ONCE == 0 {
            scene.attacker.settle().await;
        }
    }
    scene.settle().await;
    scene.forget();
    let tried = subscriptions.len();
    let refusals = scene.attacker.client().refusals();

    scene.bait().await;
    let mut stolen = Vec::new();
    for subscription in &mut subscriptions {
        while let Ok(Some(message)) = tokio::time::timeout(Duration::ZERO, subscription.next()).await {
            stolen.push(message);
        }
    }
    println!(
        "subscribe and queue subscribe {tried}: at least {refusals} refused aloud, {} messages",
        stolen.len()
    );
    assert!(stolen.is_empty(), "{stolen:?}");
    scene.bait_was_seen();
}

/// What is written on a connection without a client between: frames with odd spaces, letters and bytes, some that hide others, and at the
/// end of each connection one that is none.
#[tokio::test]
async fn nothing_a_worker_writes_byte_by_byte_reaches_another_or_has_it_told_of_others() {
    let scene = Scene::set().await;
    let before = scene.store.contents().await;
    scene.settle().await;
    scene.forget();
    let (url, credentials) = (scene.cluster.server.url(), scene.cluster.worker_credentials("a", 1));
    let (mut frames, mut told) = (Frames::new(), Vec::new());
    let (mut whole, mut broken, mut hung_up, mut connections) = (0, 0, 0, 0);
    while whole + broken < drawn(5) {
        let mut wire = Wire::open(&url, &credentials).await;
        let together: Vec<u8> = (0..OF_A_CONNECTION).flat_map(|_| frames.whole()).collect();
        whole += OF_A_CONNECTION;
        // Some subjects it takes for no frame at all.
        hung_up += usize::from(!wire.say(&together).await);
        broken += 1;
        told.extend(wire.end(&frames.broken()).await);
        connections += 1;
    }
    let mut listening = Vec::new();
    for _ in 0..LISTENERS {
        let mut wire = Wire::open(&url, &credentials).await;
        let together: Vec<u8> = (0..drawn(5) / LISTENERS).flat_map(|_| frames.subscription()).collect();
        assert!(wire.say(&together).await, "what it may not is refused, and it goes on");
        listening.push(wire);
    }
    let effects = scene.effects().await;
    let after = scene.store.contents().await;
    scene.settle().await;
    scene.forget();
    scene.bait().await;
    scene.bait_was_seen();
    for mut wire in listening {
        assert!(wire.say(b"").await);
        told.extend(wire.messages());
    }
    println!(
        "{whole} frames and {broken} that are none on {connections} connections, of which {hung_up} ended early, \
         {} subscriptions: {} effects, {} messages",
        drawn(5),
        effects.len(),
        told.len()
    );
    assert!(effects.is_empty(), "{effects:?}");
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(after, before, "a stream has changed");
    assert!(hung_up * 2 < connections, "most of what is written is read");
    // The detectors do see: such frames, from one who may.
    scene.forget();
    let gateway = scene.cluster.keys.control_credentials(Role::Gateway).unwrap();
    let mut wire = Wire::open(&url, &gateway).await;
    assert!(wire.say(b"sUB\tmh.live.*.* 1\r\nPuB  mh.evt.0.v.log \t 4\r\nseen\r\n").await);
    scene.victim.client().nats.publish("mh.live.v.log", "seen".into()).await.unwrap();
    scene.victim.settle().await;
    assert!(wire.say(b"").await);
    assert_eq!(wire.messages(), ["mh.live.v.log"]);
    assert!(!scene.effects().await.is_empty());
    assert_ne!(scene.store.contents().await, before);
}

#[tokio::test]
async fn an_answer_goes_where_only_that_incarnation_may_answer_and_nowhere_else() {
    let scene = Scene::set().await;
    // Nobody asks for an answer there; but if somebody did, it would be no right to give one.
    let gateway = &scene.gateway.client().nats;
    gateway.publish_with_reply("mh.cmd.a.bash.1", "_INBOX_gateway.ask.1", "ask".into()).await.unwrap();
    testing::until(async || !scene.attacker.heard().is_empty()).await;
    scene.forget();
    for subject in ["_INBOX_gateway.ask.1", "_INBOX_gateway.ask.2", "_INBOX_gateway.>"] {
        scene.publish(subject, None, None, "attempt".to_owned()).await;
    }
    let effects = scene.effects().await;
    assert!(effects.is_empty(), "{effects:?}");

    // On whichever connection. An answer that asks to be answered gets none.
    let own = subjects::answer("mh.cmd.a.bash.1", "token").unwrap();
    let again = Observer::new(scene.cluster.worker("a", 1).await, "mh.rec.a", &[]).await;
    again.client().nats.publish(own.clone(), "answer".into()).await.unwrap();
    again.settle().await;
    let replies = attempts::targets();
    for reply in &replies {
        scene.publish(&own, Some(reply.clone()), None, "answer".to_owned()).await;
    }
    let effects = scene.effects().await;
    assert!(effects.is_empty(), "{effects:?}");
    let answers = scene.gateway.heard().iter().filter(|message| message.subject.as_str() == own).count();
    println!("answers with replies {}: {answers} came", replies.len());
    // Not where the reply is none that a message may have.
    assert!(answers > replies.len() * 9 / 10);
}

#[tokio::test]
async fn a_workers_own_traffic_works() {
    let scene = Scene::set().await;
    // Names as they may be, each with a case of its own.
    for sandbox in ["a", "Mixed-Case_1", "0123456789abcdef"] {
        let id = types::SandboxId::parse(sandbox).unwrap();
        let worker = scene.cluster.worker(sandbox, 7).await;
        assert_eq!(worker.inbox, subjects::inbox(&id, types::Epoch(7)));
        for subject in
            [subjects::records(&id), subjects::storage(&id, types::Epoch(7)), subjects::models(&id)]
        {
            assert_eq!(worker.nats.request(subject, "ask".into()).await.unwrap().payload, "answer");
        }
        let mut commands = worker.nats.subscribe(format!("mh.cmd.{sandbox}.*.7")).await.unwrap();
        let answering = worker.nats.clone();
        tokio::spawn(async move {
            while let Some(command) = commands.next().await {
                answering.publish(command.reply.unwrap(), command.payload).await.unwrap();
            }
        });
        worker.nats.request(subjects::records(&id), "settled".into()).await.unwrap();
        let gateway = &scene.gateway.client().nats;
        let call = subjects::command_to(&id, Some(types::Epoch(7)), "bash");
        let inbox = subjects::answer(&call, "token").unwrap();
        let asking = gateway.send_request(call, Request::new().inbox(inbox).payload("echo".into()));
        assert_eq!(asking.await.unwrap().payload, "echo");
        let live = subjects::live(&id, types::ConversationId::random());
        worker.nats.publish(live.clone(), "delta".into()).await.unwrap();
        testing::until(async || scene.gateway.heard().iter().any(|m| m.subject.as_str() == live)).await;
        assert_eq!(worker.refusals(), 0);
    }
}

/// Why a worker may write into no stream, and why its calls are answered in its inbox only.
#[tokio::test]
async fn a_stream_confirms_to_whatever_reply_it_is_given() {
    let scene = Scene::set().await;
    let gateway = &scene.gateway.client().nats;
    gateway.publish_with_reply("mh.evt.0.a.log", "mh.evt.1.v.log", "own".into()).await.unwrap();
    scene.gateway.settle().await;
    let contents = scene.store.contents().await;
    let confirmation =
        |entry: &&String| entry.starts_with("EVENTS_1 mh.evt.1.v.log") && entry.contains("seq");
    assert_eq!(contents.iter().filter(confirmation).count(), 1, "{contents:?}");
}
