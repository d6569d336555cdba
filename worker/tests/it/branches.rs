//! HEAD is moved: what the agent knows then, and what that costs.

use std::sync::Arc;

use ports::rpc::{Code, Reason};
use serde_json::Value;
use testing::script::Turn;
use types::calls::{Command, Once};
use types::{ConversationId, EventId, Message, Role};

use crate::support::counted::Counts;
use crate::support::{World, finish, message, sleep};

fn navigate(to: Option<&str>) -> Command {
    Command::Navigate { event: to.map(Into::into) }
}

/// The id of the newest message with this text.
async fn message_of(world: &World, id: ConversationId, text: &str) -> String {
    let messages = world.kinds(id, "MessageEvent").await;
    let says = |event: &&Value| event["llm_message"].to_string().contains(text);
    messages.iter().rev().find(says).expect("nobody said that")["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_survives_a_rest_a_restart_and_a_snapshot() {
    let counts = Arc::new(Counts::default());
    let often = |config: &mut manyhands_worker::Config| config.snapshot_every = 20;
    let mut world = World::with(often, |ports| counts.count(ports)).await;
    let id = world.create();
    world.say(id, "the first", false).await.unwrap();
    for at in 0..20 {
        world.say(id, &format!("zebra {at:02}"), false).await.unwrap();
    }
    let first = message_of(&world, id, "the first").await;
    world.call(id, navigate(Some(&first))).await.unwrap();
    let fits = |request: &str, more: &[&str]| {
        assert!(request.contains("the first") && !request.contains("zebra"), "{request}");
        more.iter().for_each(|said| assert!(request.contains(said), "{said} is not in {request}"));
    };
    fits(&world.asked_now(id).await, &[]);

    world.after_a_rest(id, || message("after the rest", false)).await;
    fits(&world.asked_now(id).await, &["after the rest"]);

    world.stop_worker().await;
    world.start_worker().await;
    fits(&world.asked_now(id).await, &["after the rest"]);

    for at in 0..20 {
        world.say(id, &format!("later {at:02}"), false).await.unwrap();
    }
    world.stop_worker().await;
    world.start_worker().await;
    fits(&world.asked_now(id).await, &["after the rest", "later 00", "later 19"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_navigation_is_read_once() {
    let counts = Arc::new(Counts::default());
    let mut world = World::with(|_| {}, |ports| counts.count(ports)).await;
    let id = world.create();
    for at in 0..20 {
        world.say(id, &format!("message {at:02}"), false).await.unwrap();
    }
    let records = world.log_records(id).await.len();
    let read_anew = async |world: &mut World| {
        world.stop_worker().await;
        world.start_worker().await;
        counts.records();
        world.call(id, Command::Wake {}).await.unwrap();
        counts.records()
    };
    assert_eq!(read_anew(&mut world).await, records);

    let first = message_of(&world, id, "message 00").await;
    world.call(id, navigate(Some(&first))).await.unwrap();
    let records = world.log_records(id).await.len();
    assert_eq!(read_anew(&mut world).await, 3 * records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_an_event_that_is_not_there_and_under_a_run_head_is_not_moved() {
    let world = World::start().await;
    let id = world.create();
    world.say(id, "the first", false).await.unwrap();
    let before = world.log_records(id).await.len();
    let unknown = world.call(id, navigate(Some("zz"))).await.unwrap_err();
    assert_eq!((unknown.code, unknown.public.as_str()), (Code::NotFound, "Unknown event_id: zz"));
    assert_eq!(world.log_records(id).await.len(), before);

    world.model.will([sleep(), finish()]);
    world.call(id, Command::Run { first: false }).await.unwrap();
    world.wait_file(id, "begun").await;
    let refused = world.call(id, navigate(None)).await.unwrap_err();
    assert_eq!(refused.reason, Some(Reason::AlreadyRunning));
    world.call(id, Command::Interrupt {}).await.unwrap();
    world.call(id, navigate(None)).await.unwrap();
}

/// Its gateway may have died before it knew that the message was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_branch_that_was_left_is_not_stored_again() {
    let world = World::start().await;
    let id = world.create();
    let said = || Command::Message {
        message: Message::new(Role::User, "only once"),
        sender: None,
        run: false,
        once: Some(Once { id: EventId("00000000-0000-4000-8000-00000000000e".to_owned()), again: true }),
        only_with_slot: false,
    };
    world.call(id, said()).await.unwrap();
    world.call(id, navigate(None)).await.unwrap();
    world.call(id, said()).await.unwrap();
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_changes_no_count() {
    let world = World::start().await;
    let id = world.create();
    world.say(id, "the first", false).await.unwrap();
    let before = world.events(id).await.len();
    world.model.will([Turn::text("Forty-two.")]);
    let answer = world.call(id, Command::Ask { question: "What is it?".to_owned() }).await.unwrap();
    assert_eq!(answer.text.as_deref(), Some("Forty-two."));
    assert_eq!(world.events(id).await.len(), before);
}
