//! An incarnation of a worker that was taken over by what it runs: it says whatever its credentials let it say, and means none of it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use ports::{Delivery, Message, Parcel};
use serde_json::{Value, json};
use supervisor::Instance;
use tokio::time::sleep;
use types::buckets::CONVERSATIONS;
use types::{ConversationId, subjects};

use super::engine::Engine;
use crate::world::Here;

/// How long one goes on.
const MOST: u64 = 30_000;
/// Of the numbers that it names.
const NUMBERS: [u64; 7] = [0, 1, 2, 4_096, u64::MAX / 4_096, u64::MAX - 1, u64::MAX];

/// A liar in the place of a worker. What it is told and must not be goes to the `engine`.
pub fn work(instance: Instance, engine: Engine) -> impl FnOnce(Here) -> BoxFuture<'static, ()> + Send {
    move |here| {
        Box::pin(async move {
            let liar = Liar { here, instance, engine };
            let over = sleep(Duration::from_millis(fastrand::u64(1_000..MOST)));
            tokio::select! {
                () = over => {}
                () = liar.answer() => {}
                () = liar.lie() => {}
            }
        })
    }
}

struct Liar {
    here: Here,
    instance: Instance,
    engine: Engine,
}

impl Liar {
    /// Answers what it is asked: wrongly, twice, or not.
    async fn answer(&self) {
        let Instance { sandbox, epoch } = &self.instance;
        let commands = subjects::commands(sandbox, *epoch);
        let Ok(mut calls) = self.here.ports.bus.subscribe(&commands, None).await else { return };
        while let Some(delivery) = calls.next().await {
            let Delivery::Message(Message { reply: Some(reply), .. }) = delivery else { continue };
            for _ in 0..fastrand::usize(..3) {
                // Nobody has to listen to that.
                let _ = self.here.ports.bus.publish(&reply, parcel(&wrong_answer())).await;
            }
        }
    }

    async fn lie(&self) {
        loop {
            sleep(Duration::from_millis(fastrand::u64(1..800))).await;
            let Instance { sandbox, epoch } = &self.instance;
            match fastrand::u32(..10) {
                0 => self.ask(&subjects::records(sandbox), &self.about_records(), Bytes::new()).await,
                1 => {
                    let live = subjects::live(sandbox, self.of_others());
                    let _ = self.here.ports.bus.publish(&live, parcel(&wrong_answer())).await;
                }
                2 => {
                    let answer = subjects::answers(sandbox, *epoch, "conversation").replace('*', "sim");
                    let _ = self.here.ports.bus.publish(&answer, parcel(&wrong_answer())).await;
                }
                3 => {
                    self.ask(&subjects::models(sandbox), &self.about_models(), Bytes::from_static(b"{")).await
                }
                _ => {
                    let (question, blob) = self.about_storage();
                    self.ask(&subjects::storage(sandbox, *epoch), &question, blob).await;
                }
            }
        }
    }

    /// In an envelope that is right, or nearly so.
    async fn ask(&self, subject: &str, body: &Value, blob: Bytes) {
        let version = if fastrand::u32(..20) == 0 { number() } else { 3 };
        let sent = if fastrand::u32(..4) == 0 { number() } else { types::time::unix_ms() };
        let deadline = if fastrand::bool() { u64::MAX } else { 5_000 };
        let call = json!({"v": version, "sent_ms": sent, "deadline_ms": deadline, "body": body});
        let parcel = Parcel { json: call.to_string().into(), blob };
        let asked = self.here.ports.bus.request(subject, parcel, Duration::from_secs(2)).await;
        let Ok(answer) = asked else { return };
        let answer = String::from_utf8_lossy(&answer.json).into_owned();
        if answer.contains("working_dir") && body["op"] == "open" && !self.is_own(body) {
            self.engine.complain(format!("a worker was told of another's conversation: {body}"));
        }
    }

    fn is_own(&self, body: &Value) -> bool {
        let id = body["conversation"].as_str().unwrap_or_default().replace('-', "");
        let record = self.here.world.stored(|store| store.get(CONVERSATIONS, &id));
        let record = record.and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
        record.is_none_or(|record| record["sandbox"] == self.instance.sandbox.as_str())
    }

    /// A conversation, whosever it is.
    fn of_others(&self) -> ConversationId {
        let all = self.here.world.stored(|store| store.all(CONVERSATIONS));
        let ids: Vec<ConversationId> = all.iter().filter_map(|(key, _)| key.parse().ok()).collect();
        fastrand::choice(ids).unwrap_or_else(ConversationId::random)
    }

    fn about_records(&self) -> Value {
        let id = self.of_others();
        match fastrand::u32(..5) {
            0 => json!({"op": "set_title", "conversation": id, "title": "of a liar"}),
            1 => json!({"op": "look_up", "conversation": id, "name": "token"}),
            2 => json!({"op": "survivors", "conversations": [id]}),
            3 => json!({"op": "keep_hidden", "conversation": id, "values": {"a": "b"}}),
            _ => json!({"op": "open", "conversation": id}),
        }
    }

    fn about_models(&self) -> Value {
        json!({"id": "x".repeat(fastrand::usize(..70)), "epoch": number(), "conversation": self.of_others(),
            "url": "http://127.0.0.1:9/v1/chat/completions", "body_bytes": number()})
    }

    fn about_storage(&self) -> (Value, Bytes) {
        let id = self.of_others().hex();
        let log = match fastrand::u32(..6) {
            0 => "_bash".to_owned(),
            1 => format!("_bash-{id}"),
            2 => ["*", ">", "", "..", "a.b"][fastrand::usize(..5)].to_owned(),
            _ => id,
        };
        let digest = "a".repeat(64);
        let body = json!({"digest": digest, "size": number()});
        let question = match fastrand::u32(..9) {
            0 => json!({"append": {"log": log, "last": number(), "lengths": "0,18446744073709551615"}}),
            1 => json!({"append": {"log": log, "last": number(), "lengths": "1", "body": body}}),
            2 => json!({"append": {"log": log, "last": 0, "lengths": vec!["0"; 4_096].join(",")}}),
            3 => return (json!({"append": {"log": log, "last": self.last(&log)}}), fence()),
            4 => json!({"messages": {"log": log, "from": number(), "limit": number()}}),
            5 => json!({"truncate": {"log": log, "first": number()}}),
            6 => json!({"piece": {"log": log, "digest": digest, "index": number()}}),
            7 => {
                return (
                    json!({"put_piece": {"log": log, "digest": digest, "index": number()}}),
                    vec![0; fastrand::usize(..100)].into(),
                );
            }
            _ => return (json!({"put_lease": "anything"}), self.lease()),
        };
        (question, Bytes::new())
    }

    /// The position after which it would have to write.
    fn last(&self, log: &str) -> u64 {
        let log = types::LogId::of_name(&self.instance.sandbox, log);
        let records = log.map(|log| self.here.world.stored(|store| store.records(&log)));
        records.and_then(|records| records.last().map(|record| record.seq.0 / 4_096)).unwrap_or_default()
    }

    fn lease(&self) -> Bytes {
        let epoch = if fastrand::bool() { self.instance.epoch.0 } else { number() };
        let lease = json!({"epoch": epoch, "since": types::time::utc_now(), "idle_seconds": number(),
            "runs": fastrand::u64(..200_000), "calls": number()});
        lease.to_string().into()
    }
}

/// That of an incarnation which will never be.
fn fence() -> Bytes {
    json!({"control": {"type": "fence", "epoch": number()}}).to_string().into()
}

fn wrong_answer() -> Value {
    match fastrand::u32(..6) {
        0 => json!(null),
        1 => json!({"v": number(), "body": {}}),
        2 => json!({"v": 3, "body": {"seq": number(), "text": "so it is"}}),
        3 => json!({"v": 3, "error": {"code": "not_found", "text": "gone"}}),
        4 => json!({"v": 3, "error": {"code": "busy", "text": "later"}}),
        _ => json!({"v": 3, "body": number()}),
    }
}

fn number() -> u64 {
    NUMBERS[fastrand::usize(..NUMBERS.len())]
}

fn parcel(value: &Value) -> Parcel {
    Parcel::json(value.to_string().into_bytes())
}
