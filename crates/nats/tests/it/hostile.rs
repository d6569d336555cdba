//! What a hostile sandbox says to the storage, and what becomes of it: nothing that anybody else has to read.

use bytes::Bytes;
use futures_util::future::join_all;
use manyhands_nats::{Options, connect};
use ports::rpc::{Address, Code, Fault, call};
use ports::{Delivery, Expect, Ports, Stored};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testing::nats::Nats;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::buckets::{LEASES, STORED};
use types::placement::Lease;
use types::{Epoch, LogId, SandboxId, Seq, subjects};

use crate::common::{Anything, PATIENCE, cluster, log, next, options, serve_storage};

const SINCE: &str = "2026-11-23T00:00:00.000000Z";
const MIB: usize = 1 << 20;

/// A control plane, and a worker of the shared sandbox that says what it likes.
struct Scene {
    server: Nats,
    control: Ports,
    worker: Ports,
    _serving: DropGuard,
}

impl Scene {
    async fn set() -> Self {
        let (server, control) = cluster().await;
        let stop = CancellationToken::new();
        let (serving, token) = (control.clone(), stop.clone());
        tokio::spawn(async move { serve_storage(&serving, Some(1 << 30), |_| (), &token).await.unwrap() });
        let worker = incarnation(&server, Epoch(2)).await;
        let control = control.control().await.unwrap();
        Self { server, control, worker, _serving: stop.drop_guard() }
    }

    async fn ask(&self, question: Value, blob: impl Into<Bytes>) -> Result<Value, Code> {
        ask_as(&self.worker, 2, question, blob).await
    }

    async fn put_lease(&self, lease: impl Into<Bytes>) -> Result<Value, Code> {
        self.ask(json!({ "put_lease": "anything" }), lease).await
    }

    async fn append(&self, rest: Value, payload: impl Into<Bytes>) -> Result<Value, Code> {
        let mut append = json!({ "log": log("a").name(), "last": 0 });
        append.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        self.ask(json!({ "append": append }), payload).await
    }

    async fn put_piece(&self, log_name: &str, body: &[u8], index: usize) -> Result<Value, Code> {
        let piece = body.chunks(MIB / 4).nth(index).unwrap_or_default().to_vec();
        let name = log(log_name).name();
        self.ask(json!({ "put_piece": { "log": name, "digest": digest(body), "index": index } }), piece).await
    }

    async fn put_body(&self, log_name: &str, body: &[u8]) {
        for index in 0..body.len().div_ceil(MIB / 4) {
            self.put_piece(log_name, body, index).await.unwrap();
        }
    }

    async fn is_untouched(&self) -> bool {
        self.control.log.tail(&log("a")).await.unwrap() == Seq::ZERO
    }

    async fn stored(&self) -> i64 {
        let sum = self.control.kv.get(STORED, "default").await.unwrap();
        sum.map_or(0, |sum| serde_json::from_slice(&sum.value).unwrap())
    }
}

async fn incarnation(server: &Nats, epoch: Epoch) -> Ports {
    let inbox = Some(subjects::inbox(&SandboxId::shared(), epoch));
    let connection = connect(Options { inbox, ..options(server.url()) }).await.unwrap();
    let ready = async || connection.worker(&SandboxId::shared(), epoch).await.ok();
    testing::eventually("the storage is served", ready).await
}

async fn ask_as(worker: &Ports, epoch: u64, question: Value, blob: impl Into<Bytes>) -> Result<Value, Code> {
    let address = Address::of_control_plane_for(&SandboxId::shared(), Epoch(epoch));
    let answer: Result<(Anything, Bytes), Fault> =
        call(&*worker.bus, &address, &Anything(question), blob.into(), PATIENCE).await;
    answer.map(|(Anything(answer), _)| answer).map_err(|fault| fault.code)
}

fn digest(bytes: &[u8]) -> String {
    types::hex(&Sha256::digest(bytes))
}

fn lease(epoch: u64) -> Lease {
    Lease { epoch: Epoch(epoch), since: SINCE.to_owned(), idle_seconds: 0, runs: 0, calls: 0 }
}

fn bytes(lease: &Lease) -> Bytes {
    serde_json::to_vec(lease).unwrap().into()
}

fn fence(epoch: u64) -> String {
    json!({ "control": { "type": "fence", "epoch": epoch } }).to_string()
}

#[tokio::test]
async fn what_is_no_lease_of_its_sender_is_not_stored() {
    let scene = Scene::set().await;
    let padded = format!("{}{}", String::from_utf8(bytes(&lease(2)).to_vec()).unwrap(), " ".repeat(8 << 10));
    let forged = [
        Bytes::from("x"),
        Bytes::new(),
        bytes(&lease(1)),
        bytes(&lease(3)),
        bytes(&lease(u64::MAX)),
        bytes(&Lease { runs: usize::MAX, ..lease(2) }),
        bytes(&Lease { since: "<script>".to_owned(), ..lease(2) }),
        padded.into(),
        vec![b' '; 4 * MIB].into(),
    ];
    for lease in forged {
        let shown = String::from_utf8_lossy(&lease[..lease.len().min(100)]).into_owned();
        assert_eq!(scene.put_lease(lease).await, Err(Code::Invalid), "{shown}");
    }
    assert_eq!(scene.control.kv.get(LEASES, "default").await, Ok(None));
    let more = json!({ "epoch": 2, "since": SINCE, "idle_seconds": 1, "runs": 0, "note": "to all gateways" });
    scene.put_lease(more.to_string()).await.unwrap();
    let stored = scene.control.kv.get(LEASES, "default").await.unwrap().unwrap();
    assert_eq!(stored.value, bytes(&Lease { idle_seconds: 1, ..lease(2) }), "in our own words");
}

#[tokio::test]
async fn an_incarnation_takes_the_lease_of_a_newer_one_by_no_means_and_speaks_for_none() {
    let scene = Scene::set().await;
    scene.put_lease(bytes(&lease(2))).await.unwrap();
    let older = incarnation(&scene.server, Epoch(1)).await;
    let held = scene.control.kv.get(LEASES, "default").await.unwrap().unwrap();
    for expected in [json!("anything"), json!("absent"), json!({ "revision": held.revision })] {
        let put = json!({ "put_lease": expected });
        let taken = ask_as(&older, 1, put.clone(), bytes(&lease(1))).await;
        assert_eq!(taken, Err(Code::Conflict), "{put}");
        let spoken_for = ask_as(&older, 1, put.clone(), bytes(&lease(2))).await;
        assert_eq!(spoken_for, Err(Code::Invalid), "{put}");
        let ended = ask_as(&older, 1, json!({ "delete_lease": expected }), "").await;
        assert!(ended.is_err(), "{ended:?}");
    }
    assert_eq!(scene.control.kv.get(LEASES, "default").await, Ok(Some(held)));
}

#[tokio::test]
async fn a_lease_that_is_renewed_all_the_time_is_told_to_everybody_now_and_then() {
    let scene = Scene::set().await;
    let began = std::time::Instant::now();
    let renewals = (0..200).map(|_| scene.put_lease(bytes(&lease(2))));
    let outcomes = join_all(renewals).await;
    let allowed = 16 + began.elapsed().as_secs() as usize + 1;
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((1..=allowed).contains(&taken), "{taken} of {allowed}");
    assert!(outcomes.contains(&Err(Code::Busy)));
}

#[tokio::test]
async fn a_fence_of_an_incarnation_that_never_was_locks_nobody_out_of_a_log() {
    let scene = Scene::set().await;
    for epoch in [0, 1, 3, u64::MAX] {
        let event = r#"{"n":0,"event":{"id":"e"}}"#;
        let fence = fence(epoch);
        let lengths = format!("{},{}", event.len(), fence.len());
        let hidden = format!(r#"{{"n":null,"event":null,{}"#, &fence[1..]);
        assert_eq!(scene.append(json!({}), fence.clone()).await, Err(Code::Invalid), "{epoch}");
        assert_eq!(scene.append(json!({}), hidden).await, Err(Code::Invalid), "{epoch}");
        let behind = scene.append(json!({ "lengths": lengths }), format!("{event}{fence}")).await;
        assert_eq!(behind, Err(Code::Invalid), "{epoch}");
        let aside = format!("{fence}{}", " ".repeat(MIB));
        scene.put_body("a", aside.as_bytes()).await;
        let body = json!({ "digest": digest(aside.as_bytes()), "size": aside.len() });
        assert_eq!(scene.append(json!({ "body": body }), "").await, Err(Code::Invalid), "{epoch}");
    }
    assert!(scene.is_untouched().await);
    scene.append(json!({}), fence(2)).await.unwrap();
}

#[tokio::test]
async fn an_append_that_names_a_body_which_is_not_there_is_refused() {
    let scene = Scene::set().await;
    let body = vec![b'x'; MIB];
    let named = |size: usize| json!({ "body": { "digest": digest(&body), "size": size } });
    assert_eq!(scene.append(named(MIB), "").await, Err(Code::Invalid), "it was never stored");
    scene.put_body("b", &body).await;
    assert_eq!(scene.append(named(MIB), "").await, Err(Code::Invalid), "it is of another log");
    scene.put_piece("a", &body, 0).await.unwrap();
    scene.put_piece("a", &body, 3).await.unwrap();
    assert_eq!(scene.append(named(MIB), "").await, Err(Code::Invalid), "a part of it is missing");
    scene.put_body("a", &body).await;
    for size in [0, 1, MIB - 1, MIB + 1, 3 * MIB] {
        assert_eq!(scene.append(named(size), "").await, Err(Code::Invalid), "{size}");
    }
    let also = scene.append(named(MIB), "and a payload").await;
    assert_eq!(also, Err(Code::Invalid), "it is in two places");
    let other = json!({ "body": { "digest": digest(b"other"), "size": MIB } });
    for index in 0..4 {
        let question = json!({ "log": log("a").name(), "digest": digest(b"other"), "index": index });
        scene.ask(json!({ "put_piece": question }), vec![0; MIB / 4]).await.unwrap();
    }
    assert_eq!(scene.append(other, "").await, Err(Code::Invalid), "it is not what its digest says");
    assert!(scene.is_untouched().await);
    scene.append(named(MIB), "").await.unwrap();
}

#[tokio::test]
async fn a_body_that_everybody_would_have_to_fetch_is_at_most_16_mib() {
    let scene = Scene::set().await;
    for size in [16 * MIB + 1, 256 * MIB] {
        let body = json!({ "body": { "digest": digest(b""), "size": size } });
        assert_eq!(scene.append(body, "").await, Err(Code::Invalid), "{size}");
    }
    let beyond = json!({ "log": log("a").name(), "digest": digest(b""), "index": 64 });
    assert_eq!(scene.ask(json!({ "put_piece": beyond }), "x").await, Err(Code::Invalid));
    assert!(scene.is_untouched().await);
}

#[tokio::test]
async fn lengths_that_do_not_fit_the_records_are_refused() {
    let scene = Scene::set().await;
    for lengths in ["", "1", "1,1", "2,2", "x", "-1,4", "18446744073709551615,4", &"0,".repeat(5_000)] {
        let append = scene.append(json!({ "lengths": lengths }), "abc").await;
        assert_eq!(append, Err(Code::Invalid), "{lengths}");
    }
    assert!(scene.is_untouched().await);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_makes_nobody_read_any_other_log_again() {
    let scene = Scene::set().await;
    let mut stored = scene.control.bus.subscribe(subjects::ALL_STORED, None).await.unwrap();
    // As an earlier release would have stored it.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Mh-Body", format!("{}:{}", digest(b"gone"), MIB));
    let raw = async_nats::connect(scene.server.url()).await.unwrap();
    let subject = format!("mh.evt.0.{}", log("a"));
    raw.request_with_headers(subject, headers, "".into()).await.unwrap();
    let Delivery::Message(message) = next(&mut stored).await else { panic!("all logs are to be read again") };
    assert_eq!(subjects::log_of(&message.subject), Some(log("a")));
    let Stored { seq, prev } = serde_json::from_slice(&message.parcel.json).unwrap();
    assert_eq!(prev, seq, "who follows the log sees that something is missing");
}

#[tokio::test]
async fn who_appends_as_many_records_at_once_as_fit_makes_nobody_read_any_other_log_again() {
    let scene = Scene::set().await;
    let mut stored = scene.control.bus.subscribe(subjects::ALL_STORED, None).await.unwrap();
    let many = vec![Bytes::from_static(b"{}"); 4_096];
    let many = scene.worker.log.append(&log("a"), Seq::ZERO, many).await.unwrap().tail();
    let other = scene.control.log.append(&log("b"), Seq::ZERO, vec!["{}".into()]).await.unwrap().tail();
    for expected in
        [(log("a"), Stored { seq: many, prev: many }), (log("b"), Stored { seq: other, prev: Seq::ZERO })]
    {
        let Delivery::Message(message) = next(&mut stored).await else {
            panic!("all logs are to be read again")
        };
        let told = serde_json::from_slice(&message.parcel.json).unwrap();
        assert_eq!((subjects::log_of(&message.subject).unwrap(), told), expected);
    }
}

#[tokio::test]
async fn a_piece_that_is_sent_again_is_neither_changed_nor_paid_for_twice() {
    let scene = Scene::set().await;
    let body = vec![b'x'; MIB];
    scene.put_body("a", &body).await;
    for _ in 0..20 {
        scene.put_body("a", &body).await;
    }
    let question = json!({ "log": log("a").name(), "digest": digest(&body), "index": 0 });
    scene.ask(json!({ "put_piece": question }), "forged").await.unwrap();
    scene.append(json!({ "body": { "digest": digest(&body), "size": MIB } }), "").await.unwrap();
    let read = scene.control.log.read(&log("a"), Seq::ZERO, 1).await.unwrap();
    assert_eq!(read[0].payload, body);
    assert!(scene.stored().await < 3 * MIB as i64, "{}", scene.stored().await);
}

#[tokio::test]
async fn a_body_that_is_about_to_be_named_is_not_dropped_with_a_front() {
    let scene = Scene::set().await;
    let (bash, body) = (log("_bash"), vec![b'x'; MIB]);
    let first = scene.worker.log.append(&bash, Seq::ZERO, vec!["one".into()]).await.unwrap().tail();
    let second = scene.worker.log.append(&bash, first, vec!["two".into()]).await.unwrap().tail();
    scene.put_body("_bash", &body).await;
    scene.worker.log.truncate_before(&bash, second).await.unwrap();
    let body_of_it = json!({ "digest": digest(&body), "size": MIB });
    let named = json!({ "log": bash.name(), "last": second.0 / 4_096, "body": body_of_it });
    scene.ask(json!({ "append": named }), "").await.unwrap();
    let stored = scene.control.log.read_all(&bash, Seq::ZERO).await.unwrap();
    assert_eq!(
        stored.into_iter().map(|record| record.payload).collect::<Vec<_>>(),
        [Bytes::from("two"), body.into()]
    );
}

#[tokio::test]
async fn the_room_of_a_log_is_given_back_once_however_many_delete_it_at_once() {
    let scene = Scene::set().await;
    let bystander = vec![b'y'; 8 * MIB];
    scene.put_body("b", &bystander).await;
    let kept = scene.stored().await;
    assert!(kept >= 7 * MIB as i64, "{kept}");
    for round in 0..4 {
        let body = vec![b'0' + round; 4 * MIB];
        scene.put_body("a", &body).await;
        let removed = log("a");
        let deletes = (0..30).map(|_| scene.control.log.delete(&removed));
        let deleted = join_all(deletes).await;
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }
    let left = scene.stored().await;
    assert!(left >= kept - MIB as i64, "{left} of {kept}");
}

#[tokio::test]
async fn a_sandbox_that_begins_one_log_after_the_other_runs_out_of_room() {
    let scene = Scene::set().await;
    let logs: Vec<LogId> = (0..200).map(|number| log(&format!("log {number}"))).collect();
    let begin = logs.iter().map(|log| scene.ask(json!({ "append": { "log": log.name(), "last": 0 } }), "x"));
    assert!(join_all(begin).await.iter().all(Result::is_ok));
    let begun = scene.stored().await;
    assert!(begun >= 2 * MIB as i64, "{begun}");
    let delete = logs.iter().map(|log| scene.control.log.delete(log));
    assert!(join_all(delete).await.iter().all(Result::is_ok));
    assert!(scene.stored().await <= begun - 2 * MIB as i64, "and it comes back with them");
}

#[tokio::test]
async fn records_of_nothing_take_room_and_give_it_back() {
    let scene = Scene::set().await;
    let nothing = vec![Bytes::new(); 4_096];
    let mut tail = Seq::ZERO;
    for _ in 0..8 {
        tail = scene.worker.log.append(&log("a"), tail, nothing.clone()).await.unwrap().tail();
    }
    let begun = scene.stored().await;
    assert!(begun >= MIB as i64, "{begun}");
    scene.control.log.delete(&log("a")).await.unwrap();
    assert!(scene.stored().await <= begun - MIB as i64);
}

#[tokio::test]
async fn what_is_stored_is_never_less_than_nothing() {
    let scene = Scene::set().await;
    let body = vec![b'x'; 2 * MIB];
    scene.put_body("a", &body).await;
    scene.control.kv.put(STORED, "default", "1000".into(), Expect::Anything).await.unwrap();
    scene.control.log.delete(&log("a")).await.unwrap();
    assert_eq!(scene.stored().await, 0);
}
