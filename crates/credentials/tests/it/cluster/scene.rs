//! The parts of a cluster that must not notice anything, and the worker that tries.

use async_nats::Message;
use futures_util::StreamExt;
use manyhands_credentials::Role;
use types::subjects::{self, Every};

use super::Cluster;
use super::observer::Observer;
use super::store::{self, Store};

const ANSWERED: &str = "$JS.API.INFO";

pub struct Scene {
    pub cluster: Cluster,
    pub store: Store,
    pub gateway: Observer,
    /// Those to whom nobody has anything to say.
    bystanders: Vec<Observer>,
    pub victim: Observer,
    pub attacker: Observer,
}

impl Scene {
    pub async fn set() -> Self {
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

    pub fn supervisor(&self) -> &Observer {
        &self.bystanders[0]
    }

    /// The attacker's next incarnation.
    pub fn successor(&self) -> &Observer {
        &self.bystanders[3]
    }

    /// The attacker first: when the server has worked off what it sent, the others are asked.
    pub async fn settle(&self) {
        for part in self.everybody() {
            part.settle().await;
        }
    }

    pub fn forget(&self) {
        self.everybody().for_each(Observer::forget);
    }

    pub async fn publish(
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
    pub async fn effects(&self) -> Vec<Message> {
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

    /// Everybody hears something that the attacker must not.
    pub async fn bait(&self) {
        let (gateway, victim) = (&self.gateway.client().nats, &self.victim.client().nats);
        for p in 0..store::PARTITIONS {
            self.store.put(format!("mh.evt.{p}.v.log"), "bait").await;
        }
        for bucket in store::buckets() {
            self.store.put(format!("$KV.{bucket}.v"), "bait").await;
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
        let supervisor = &self.supervisor().client().nats;
        supervisor.publish("mh.cmd.a.creds.2", "bait".into()).await.unwrap();
        self.supervisor().settle().await;
        self.gateway.settle().await;
        self.victim.settle().await;
        self.settle().await;
    }

    /// Those for whom it is have it.
    ///
    /// # Panics
    /// When they have not.
    pub fn bait_was_seen(&self) {
        let baits = |part: &Observer, start: &str| {
            part.heard().iter().filter(|message| message.subject.starts_with(start)).count()
        };
        assert_eq!(baits(&self.victim, "mh.cmd.v."), 4);
        assert_eq!(baits(self.successor(), "mh.cmd.a."), 5);
        assert_eq!(baits(&self.victim, "_INBOX_v_1.bait"), 4);
        assert_eq!(baits(&self.gateway, "mh.pub.evt.v."), store::PARTITIONS);
        assert_eq!(baits(&self.gateway, "mh.live.v."), 1);
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
