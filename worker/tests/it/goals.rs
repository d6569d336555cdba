//! Goals on a real store, with a model that is its own judge.

use ports::rpc::{Code, Reason};
use serde_json::Value;
use testing::script::Turn;
use types::calls::{Command, Once};
use types::policy::ConfirmationPolicy;
use types::{ConversationId, EventId};

use crate::support::{World, finish, message, terminal, until};

fn start(max_iterations: u32) -> Command {
    Command::StartGoal { objective: "There is a file.".to_owned(), max_iterations, once: None }
}

fn verdict(complete: bool) -> Turn {
    Turn::text(&format!(r#"{{"score": 0.5, "complete": {complete}, "missing": "the file"}}"#))
}

async fn told(world: &World, id: ConversationId) -> Vec<Value> {
    let events = world.events(id).await;
    events.into_iter().filter(|event| event["key"] == "goal").map(|event| event["value"].clone()).collect()
}

async fn until_told(world: &World, id: ConversationId, status: &str) {
    until(async || told(world, id).await.last().is_some_and(|goal| goal["status"] == status)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_ends_complete_or_capped() {
    let world = World::start().await;
    let id = world.create();
    world.model.will_title(verdict(false));
    world.model.will([finish(), terminal("until [ -e go ]; do sleep 0.02; done"), finish()]);
    world.call(id, start(3)).await.unwrap();
    until(async || told(&world, id).await.last().is_some_and(|goal| goal["iteration"] == 1)).await;
    world.model.will_title(verdict(true));
    let folder = world.dir.path().join("project").join(id.hex());
    std::fs::write(folder.join("go"), "").unwrap();
    until_told(&world, id, "complete").await;
    let iterations: Vec<u64> =
        told(&world, id).await.iter().map(|goal| goal["iteration"].as_u64().unwrap()).collect();
    assert_eq!(iterations, [0, 1, 2]);
    assert_eq!(world.ended_runs(id).await, 2);

    world.model.will_title(verdict(false));
    world.model.will([finish()]);
    world.call(id, start(1)).await.unwrap();
    until_told(&world, id, "capped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_that_was_judged_when_the_worker_ended_can_be_gone_on_with() {
    let mut world = World::start().await;
    let id = world.create();
    world.model.will_title(Turn::hang());
    world.model.will([finish()]);
    world.call(id, start(2)).await.unwrap();
    until(async || world.model.requests().len() == 2).await;
    world.stop_worker().await;
    world.start_worker().await;
    world.call(id, Command::Wake {}).await.unwrap();
    assert_eq!(told(&world, id).await.last().unwrap()["status"], "interrupted");
    world.model.will_title(verdict(true));
    world.model.will([finish()]);
    world.call(id, Command::ResumeGoal {}).await.unwrap();
    until_told(&world, id, "complete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rounds_of_a_goal_hold_one_slot() {
    let world = World::with(|config| config.max_concurrent_runs = 1, |_| {}).await;
    let (id, other) = (world.create(), world.create());
    world.model.will_title(Turn::hang());
    world.model.will([finish()]);
    world.call(id, start(2)).await.unwrap();
    until(async || world.model.requests().len() == 2).await;
    let refused = world.call(other, message("me too", true)).await.unwrap_err();
    assert_eq!(refused.reason, Some(ports::rpc::Reason::MessageSaved), "the judge thinks in it");
    world.call(id, Command::StopGoal {}).await.unwrap();
    world.model.will([finish()]);
    world.call(other, Command::Run { first: false }).await.unwrap();
    world.wait_status(other, "finished").await;
}

/// Its gateway may have died before it knew that the goal was begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_that_is_told_again_is_not_begun_again() {
    let world = World::start().await;
    let id = world.create();
    let begin = |again| Command::StartGoal {
        objective: "There is a file.".to_owned(),
        max_iterations: 1,
        once: Some(Once { id: EventId("00000000-0000-4000-8000-00000000000e".to_owned()), again }),
    };
    world.model.will_title(Turn::hang());
    world.model.will([finish()]);
    world.call(id, begin(false)).await.unwrap();
    until(async || world.model.requests().len() == 2).await;
    world.call(id, begin(true)).await.unwrap();
    world.call(id, Command::StopGoal {}).await.unwrap();
    world.call(id, begin(true)).await.unwrap();
    assert_eq!(told(&world, id).await.last().unwrap()["status"], "interrupted");
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_conversation_is_named_after_a_goal_that_was_refused() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.autotitle = true);
    world.model.will_title(Turn::text("A title"));
    world.model.will([terminal("touch begun; until [ -e go ]; do sleep 0.02; done"), finish()]);
    world.call(id, Command::Run { first: false }).await.unwrap();
    world.wait_file(id, "begun").await;
    assert_eq!(world.call(id, start(1)).await.unwrap_err().reason, Some(Reason::AlreadyRunning));
    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go"), "").unwrap();
    world.wait_status(id, "finished").await;
    let asked = world.model.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resumes_a_goal_while_an_action_waits_is_told_to_confirm_it_first() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm);
    world.model.will([terminal("touch confirmed")]);
    world.call(id, start(2)).await.unwrap();
    world.wait_status(id, "waiting_for_confirmation").await;
    let refused = world.call(id, Command::ResumeGoal {}).await.unwrap_err();
    assert!(
        refused.code == Code::Conflict && refused.public.contains("wait for confirmation"),
        "{refused:?}"
    );
    assert!(!world.dir.path().join("project").join(id.hex()).join("confirmed").exists());
}
