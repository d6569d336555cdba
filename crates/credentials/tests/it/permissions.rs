//! The permission matrix: what a worker can do to others with its own credentials, on a real server. Nothing.
//! `MANYHANDS_PERMISSION_ATTEMPTS` says how many are tried beside the list, put together at random.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::drawn::Dice;
use crate::cluster::observer::Observer;
use crate::cluster::store::Store;
use crate::cluster::{Cluster, attempts};
use async_nats::{Message, Request};
use futures_util::StreamExt;
use manyhands_credentials::Role;
use types::subjects::{self, Every};

const ANSWERED: &str = "$JS.API.INFO";
/// After so many the server is let catch up.
const AT_ONCE: usize = 1_000;

/// How many are drawn: one in so many of all.
fn drawn(one_in: usize) -> usize {
    let all = std::env::var("MANYHANDS_PERMISSION_ATTEMPTS").ok().and_then(|text| text.parse().ok());
    all.unwrap_or(2_000) / one_in
}

/// The parts of a cluster that must not notice anything, and the worker that tries.
struct Scene {
    cluster: Cluster,
    store: Store,
    gateway: Observer,
    /// Those to whom nobody has anything to say.
    bystanders: Vec<Observer>,
    victim: Observer,
    attacker: Observer,
}

impl Scene {
    async fn set() -> Self {
        let cluster = Cluster::start().await;
        let (writer, supervisor) =
            (cluster.control(Role::Gateway).await, cluster.control(Role::Supervisor).await);
        cluster.set_up().await;
        let store = Store::fill(&writer.nats, &supervisor.nats).await;
        answer_workers(cluster.control(Role::Gateway).await.nats).await;
        let gateway = cluster.control(Role::Gateway).await;
        let rights = Role::Gateway.permissions();
        let heard = rights.subscribe().iter().map(String::as_str);
        let heard: Vec<&str> = heard.filter(|subject| !subject.starts_with("_INBOX_")).collect();
        let gateway = Observer::new(gateway, ANSWERED, &heard).await;
        let bystanders = vec![
            Observer::new(supervisor, ANSWERED, &[]).await,
            Observer::new(cluster.system().await, manyhands_credentials::UPDATE_SUBJECT, &[]).await,
            Observer::new(cluster.worker("default", 1).await, "mh.rec.default", &["mh.cmd.default.*.1"])
                .await,
            Observer::new(cluster.worker("a", 2).await, "mh.rec.a", &["mh.cmd.a.*.2"]).await,
        ];
        let victim = Observer::new(cluster.worker("v", 1).await, "mh.rec.v", &["mh.cmd.v.*.1"]).await;
        let attacker = Observer::new(cluster.worker("a", 1).await, "mh.rec.a", &["mh.cmd.a.*.1"]).await;
        let scene = Self { cluster, store, gateway, bystanders, victim, attacker };
        scene.settle().await;
        scene.forget();
        scene
    }

    fn everybody(&self) -> impl Iterator<Item = &Observer> {
        [&self.attacker, &self.gateway, &self.victim].into_iter().chain(&self.bystanders)
    }

    fn supervisor(&self) -> &Observer {
        &self.bystanders[0]
    }

    /// The attacker's next incarnation.
    fn successor(&self) -> &Observer {
        &self.bystanders[3]
    }

    /// The attacker first: when the server has worked off what it sent, the others are asked.
    async fn settle(&self) {
        for part in self.everybody() {
            part.settle().await;
        }
    }

    fn forget(&self) {
        self.everybody().for_each(Observer::forget);
    }

    async fn publish(
        &self,
        subject: &str,
        reply: Option<String>,
        headers: Option<async_nats::HeaderMap>,
        body: String,
    ) {
        let nats = &self.attacker.client().nats;
        let subject = subject.to_owned();
        let sent = match (reply, headers) {
            (None, _) => nats.publish(subject, body.into()).await,
            (Some(reply), None) => nats.publish_with_reply(subject, reply, body.into()).await,
            (Some(reply), Some(headers)) => {
                nats.publish_with_reply_and_headers(subject, reply, headers, body.into()).await
            }
        };
        sent.unwrap();
    }

    /// What anybody noticed that is not the attacker's to say.
    async fn effects(&self) -> Vec<Message> {
        self.settle().await;
        let of_others = |message: &Message| {
            let mut tokens = message.subject.split('.');
            let service = (tokens.next(), tokens.next(), tokens.next(), tokens.next());
            let is_own = match service {
                (Some("mh"), Some("live" | "rec" | "llm"), Some("a"), _) => true,
                (Some("mh"), Some("hist" | "ans"), Some("a"), epoch) => epoch == Some("1"),
                _ => false,
            };
            !is_own
        };
        // Leases end by themselves, and the server says so.
        let by_itself = |message: &Message| {
            message.headers.as_ref().is_some_and(|headers| headers.get("Nats-Marker-Reason").is_some())
        };
        let noticed = self.everybody().flat_map(Observer::heard);
        noticed.filter(|message| of_others(message) && !by_itself(message)).collect()
    }
}

/// As a gateway does.
async fn answer_workers(nats: async_nats::Client) {
    for pattern in [
        subjects::records(Every),
        subjects::storage(Every, Every),
        subjects::models(Every),
        subjects::model_notes(Every, "*"),
    ] {
        let mut calls = nats.subscribe(pattern).await.unwrap();
        let nats = nats.clone();
        tokio::spawn(async move {
            while let Some(call) = calls.next().await {
                let Some(reply) = call.reply else { continue };
                if subjects::may_answer(&call.subject, &reply) {
                    nats.publish(reply, "answer".into()).await.unwrap();
                }
            }
        });
    }
    nats.flush().await.unwrap();
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

    let (gateway, victim) = (&scene.gateway.client().nats, &scene.victim.client().nats);
    for p in 0..crate::cluster::store::PARTITIONS {
        scene.store.put(format!("mh.evt.{p}.v.log"), "bait").await;
    }
    for bucket in crate::cluster::store::buckets() {
        scene.store.put(format!("$KV.{bucket}.v"), "bait").await;
    }
    for service in ["conversation", "bash", "file", "git"] {
        let reply = format!("_INBOX_gateway.bait.{service}");
        gateway.publish_with_reply(format!("mh.cmd.v.{service}.1"), reply, "bait".into()).await.unwrap();
        gateway.publish(format!("mh.cmd.default.{service}.1"), "bait".into()).await.unwrap();
        gateway.publish(format!("mh.cmd.a.{service}.2"), "bait".into()).await.unwrap();
    }
    for subject in ["mh.rec.v", "mh.hist.v.1", "mh.llm.v", "mh.llm.v.cancel"] {
        victim.publish_with_reply(subject, "_INBOX_v_1.bait", "bait".into()).await.unwrap();
    }
    victim.publish("mh.live.v.log", "bait".into()).await.unwrap();
    // With what is said here one could sign in as the next incarnation.
    let supervisor = &scene.supervisor().client().nats;
    supervisor.publish("mh.cmd.a.creds.2", "bait".into()).await.unwrap();
    scene.supervisor().settle().await;
    scene.gateway.settle().await;
    scene.victim.settle().await;
    scene.settle().await;

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
    let baits = |part: &Observer, start: &str| {
        part.heard().iter().filter(|message| message.subject.starts_with(start)).count()
    };
    assert_eq!(baits(&scene.victim, "mh.cmd.v."), 4);
    assert_eq!(baits(scene.successor(), "mh.cmd.a."), 5);
    assert_eq!(baits(&scene.victim, "_INBOX_v_1.bait"), 4);
    assert_eq!(baits(&scene.gateway, "mh.pub.evt.v."), crate::cluster::store::PARTITIONS);
    assert_eq!(baits(&scene.gateway, "mh.live.v."), 1);
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
