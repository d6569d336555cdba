//! The message given at creation, which waits in its conversation's record until a gateway delivers it: what is run, and
//! what is not.

use std::time::{Duration, Instant};

use bytes::Bytes;
use control::placement::Policy;
use futures_util::future::join_all;
use ports::Expect;
use ports::rpc::{self, Address, Reason};
use serde::Serialize;
use serde_json::{Value, json};
use types::buckets::{CONVERSATIONS, SANDBOXES};
use types::calls::{Command, CommandDone, ConversationCall, Once};
use types::conversation::FirstMessage;
use types::placement::{Want, Wanted};
use types::time::utc_ago;
use types::{ConversationId, Epoch, EventId, SandboxId};
use uuid::Uuid;

use crate::harness::cluster::{World, create_body, start, start_idle};
use crate::harness::until;
use crate::harness::worker::Worker;
use crate::sandboxes::{messages, runs, with_message};

async fn put(world: &World, bucket: &str, key: &str, value: &impl Serialize) {
    let value = serde_json::to_vec(value).unwrap().into();
    world.ports.kv.put(bucket, key, value, Expect::Anything).await.unwrap();
}

async fn post(world: &World, id: &str, what: &str) -> u16 {
    world.gateway().post(&format!("/api/conversations/{id}/{what}"), json!({})).await.0
}

/// A sandbox with a worker.
async fn awake(world: &World) -> Worker {
    assert_eq!(world.gateway().bash("/api", None).await, 200);
    world.supervisor.worker(&SandboxId::shared()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_after_a_pause_runs_though_a_first_message_waited_for_its_slot() {
    let world = start(Policy::Shared).await;
    let worker = awake(&world).await;
    worker.script(|script| script.busy = true);
    let gateway = world.gateway();
    gateway.create_from(create_body("/workspace")).await;
    let id = gateway.create_from(with_message("/workspace", true)).await;
    until(async || messages(&world, &SandboxId::shared()) == 1).await;
    assert_eq!(post(&world, &id, "pause").await, 200);
    gateway.until_status(&id, "paused").await;
    worker.script(|script| script.busy = false);
    assert_eq!(post(&world, &id, "run").await, 200);
    gateway.until_status(&id, "finished").await;
    until(async || world.record(&id).await.undelivered.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_that_is_delivered_after_a_pause_starts_no_run() {
    let mut world = start(Policy::Shared).await;
    awake(&world).await;
    // Not alone in its sandbox, which therefore stays awake.
    world.gateway().create_from(create_body("/workspace")).await;
    let id = world.gateway().create_from(create_body("/workspace")).await;
    assert_eq!(post(&world, &id, "pause").await, 200);
    world.gateway().until_status(&id, "paused").await;
    let mut record = world.record(&id).await;
    record.undelivered = Some(first_message());
    put(&world, CONVERSATIONS, &record.id.hex(), &record).await;
    world.add_gateway(Policy::Shared).await;
    until(async || world.record(&id).await.undelivered.is_none()).await;
    let shared = SandboxId::shared();
    assert_eq!((messages(&world, &shared), runs(&world, &shared)), (1, 0));
    assert_eq!(world.gateway().status(&id).await, "paused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_starts_delivers_no_old_first_message() {
    let mut world = start(Policy::Shared).await;
    awake(&world).await;
    let id = world.gateway().create_from(create_body("/workspace")).await;
    let record = world.record(&id).await;
    let with_first = |age: u64| {
        let mut record = record.clone();
        record.id = ConversationId::random();
        record.created_at = utc_ago(Duration::from_secs(age));
        record.undelivered = Some(first_message());
        record
    };
    let (old, young) = (with_first(7_200), with_first(0));
    for record in [&old, &young] {
        put(&world, CONVERSATIONS, &record.id.hex(), record).await;
    }
    world.add_gateway(Policy::Shared).await;
    until(async || world.record(&young.id.hex()).await.undelivered.is_none()).await;
    assert!(world.record(&old.id.hex()).await.undelivered.is_some());
    assert_eq!(messages(&world, &SandboxId::shared()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_that_is_refused_is_told_of_and_keeps_nothing_waiting() {
    let world = start(Policy::Shared).await;
    let worker = awake(&world).await;
    worker.script(|script| script.refuses = true);
    let id = world.gateway().create_from(with_message("/workspace", true)).await;
    until(async || world.record(&id).await.undelivered.is_none()).await;
    let record = world.record(&id).await;
    assert_eq!(record.refused.unwrap().message, first_message().message);
    assert_eq!(world.gateway().status(&id).await, "error");
    let (_, failed) = world.gateway().get("/api/conversations/count?status=error").await;
    assert_eq!(failed, 1);
    let (_, why) = world.gateway().get(&format!("/api/conversations/{id}/why")).await;
    assert_eq!(why["detail"], "The first message was refused: not a message");
    worker.script(|script| script.refuses = false);
    assert_eq!(post(&world, &id, "run").await, 200);
    world.gateway().until_status(&id, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_whose_run_the_user_has_refused_is_not_run_again() {
    let mut world = start(Policy::Shared).await;
    let worker = awake(&world).await;
    worker.script(|script| script.ends_as = "waiting_for_confirmation");
    let id = world.gateway().create_from(with_message("/workspace", true)).await;
    world.gateway().until_status(&id, "waiting_for_confirmation").await;
    until(async || world.record(&id).await.undelivered.is_none()).await;
    // As if the gateway had died before it could note that.
    let mut record = world.record(&id).await;
    record.undelivered = Some(first_message());
    put(&world, CONVERSATIONS, &record.id.hex(), &record).await;
    let rejected = json!({"accept": false, "reason": "no"});
    let respond = format!("/api/conversations/{id}/events/respond_to_confirmation");
    assert_eq!(world.gateway().post(&respond, rejected).await.0, 200);
    assert_eq!(world.gateway().status(&id).await, "idle");
    world.add_gateway(Policy::Shared).await;
    until(async || world.record(&id).await.undelivered.is_none()).await;
    let shared = SandboxId::shared();
    assert_eq!((messages(&world, &shared), runs(&world, &shared)), (1, 1));
    assert_eq!(world.gateway().status(&id).await, "idle");
    worker.script(|script| script.ends_as = "finished");
    assert_eq!(post(&world, &id, "run").await, 200);
    world.gateway().until_status(&id, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_gateway_has_stored_without_a_slot_is_run_by_who_was_about_to_store_it() {
    let world = start_idle(Policy::Conversation, 1, |_| {}).await;
    let gateway = world.gateway();
    let other = gateway.create_from(create_body("/tmp/w")).await;
    let mut record = world.record(&other).await;
    let (sandbox, conversation) = (record.sandbox.clone(), ConversationId::random());
    (record.id, record.undelivered) = (conversation, Some(first_message()));
    put(&world, CONVERSATIONS, &conversation.hex(), &record).await;
    let id = conversation.hex();
    until(async || gateway.get(&format!("/api/conversations/{id}")).await.0 == 200).await;
    let asleep = Wanted { want: Want::Paused, ..world.wanted(&sandbox).await.unwrap() };
    put(&world, SANDBOXES, sandbox.as_str(), &asleep).await;

    let another = async {
        // This gateway has looked whether the message is stored, and waits for the worker.
        until(async || world.wanted(&sandbox).await.unwrap().want == Want::Running).await;
        let worker = Worker::start_as(&world.ports, sandbox.clone(), Epoch(1)).await;
        worker.script(|script| script.busy = true);
        let address = Address::of_worker(&sandbox, Some(Epoch(1)));
        let command = the_same_message(conversation);
        let call = ConversationCall { conversation, created_at: String::new(), command };
        let deadline = Duration::from_secs(5);
        let bus = &*world.ports.bus;
        let said = rpc::call::<_, CommandDone>(bus, &address, &call, Bytes::new(), deadline).await;
        assert_eq!(said.unwrap_err(), Reason::MessageSaved.into());
        worker.script(|script| script.busy = false);
        world.supervisor.lease(&sandbox).await;
        worker
    };
    let (said, _worker) = tokio::join!(post(&world, &id, "run"), another);
    assert_eq!(said, 200);
    gateway.until_status(&id, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_that_was_not_taken_is_given_by_the_next_call_whatever_was_said_since() {
    let server = crate::harness::start().await;
    let mut body = crate::harness::create_body();
    let id = ConversationId::random().to_string();
    body["conversation_id"] = json!(id);
    body["initial_message"] = json!({"content": [{"type": "text", "text": "first"}], "run": false});
    server.worker.script(|script| script.refuses = true);
    assert_eq!(server.post("/api/conversations", body.clone()).await.0, 422);
    server.worker.script(|script| script.refuses = false);
    assert_eq!(server.say(&id, "second", false).await.0, 200);
    assert_eq!(server.post("/api/conversations", body).await.0, 200);
    assert_eq!(server.messages(&id).await, ["second", "first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_of_a_deleted_conversation_is_not_given_to_one_made_anew_under_its_id() {
    let world = start_idle(Policy::Shared, 1, |_| {}).await;
    let id = ConversationId::random().to_string();
    let with_id = |mut body: Value| {
        body["conversation_id"] = json!(id);
        body
    };
    let path = format!("/api/conversations/{id}");
    world.gateway().create_from(with_id(with_message("/workspace", true))).await;
    assert_eq!(world.gateway().delete(&path).await.0, 200);
    world.gateway().create_from(with_id(create_body("/workspace"))).await;
    world.supervisor.begin().await;
    let shared = SandboxId::shared();
    // Both have come to where they give what they have.
    until(async || world.supervisor.worker(&shared).is_some_and(|worker| worker.git_calls() == 2)).await;
    let said = json!({"role": "user", "content": [{"type": "text", "text": "of this one"}], "run": true});
    assert_eq!(world.gateway().post(&format!("{path}/events"), said).await.0, 200);
    world.gateway().until_status(&id, "finished").await;
    let (_, events) =
        world.gateway().get(&format!("{path}/events/search?kind=MessageEvent&source=user")).await;
    let items = events["items"].as_array().unwrap();
    let texts: Vec<_> = items.iter().map(|event| &event["llm_message"]["content"][0]["text"]).collect();
    assert_eq!(texts, ["of this one"], "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_for_a_first_message_are_told_together_that_no_worker_comes() {
    let world = start_idle(Policy::Shared, 1, |config| {
        if let control::Mode::Cluster(cluster) = &mut config.control.mode {
            cluster.patience = Duration::from_secs(1);
        }
    })
    .await;
    let id = world.gateway().create_from(with_message("/workspace", true)).await;
    let begun = Instant::now();
    let answers = join_all((0..30).map(|_| post(&world, &id, "run"))).await;
    assert_eq!(answers, [503; 30]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_is_repeated_begins_nothing_where_nothing_is_left_to_do() {
    let world = start(Policy::Shared).await;
    let worker = awake(&world).await;
    let mut body = create_body("/workspace");
    let id = world.gateway().create_from(body.clone()).await;
    body["conversation_id"] = json!(id);
    for _ in 0..5 {
        assert_eq!(world.gateway().post("/api/conversations", body.clone()).await.0, 200);
    }
    // What they had begun would have come before this.
    world.gateway().create_from(create_body("/workspace")).await;
    assert_eq!(worker.git_calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_a_run_has_one_though_the_first_was_not_started_for_a_pause() {
    let world = start(Policy::Shared).await;
    let worker = awake(&world).await;
    worker.script(|script| script.pauses = true);
    let other = world.gateway().create_from(create_body("/workspace")).await;
    let mut record = world.record(&other).await;
    (record.id, record.undelivered) = (ConversationId::random(), Some(first_message()));
    let id = record.id.hex();
    put(&world, CONVERSATIONS, &id, &record).await;
    until(async || world.gateway().get(&format!("/api/conversations/{id}")).await.0 == 200).await;
    assert_eq!(post(&world, &id, "run").await, 200);
    world.gateway().until_status(&id, "finished").await;
}

fn first_message() -> FirstMessage {
    let message: Value = json!({"role": "user", "content": [{"type": "text", "text": "go"}]});
    FirstMessage { message: serde_json::from_value(message).unwrap(), run: true }
}

/// As every gateway sends it.
fn the_same_message(conversation: ConversationId) -> Command {
    let id = Uuid::from_u128(conversation.0.as_u128() ^ (0xffff_ffff << 96));
    let once = Once { id: EventId(id.hyphenated().to_string()), again: true };
    Command::Message {
        message: first_message().message,
        sender: None,
        run: true,
        once: Some(once),
        only_with_slot: false,
    }
}
