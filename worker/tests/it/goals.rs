//! Goals on a real store, with a model that is its own judge.

use serde_json::Value;
use testing::script::Turn;
use types::ConversationId;
use types::calls::Command;

use crate::support::{World, finish, message, terminal, until};

fn start(max_iterations: u32) -> Command {
    Command::StartGoal { objective: "There is a file.".to_owned(), max_iterations }
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
