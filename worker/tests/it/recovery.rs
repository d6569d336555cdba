//! What survives the end of a worker, and what a conversation costs when nobody uses it.

use std::time::{Duration, Instant};

use crate::support::{World, finish, message, sleep, terminal, until};
use serde_json::json;
use testing::script::Turn;
use types::calls::Command;
use types::{Epoch, Seq};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_is_closed_and_the_conversation_goes_on() {
    let mut world = World::start().await;
    let id = world.create();
    world.stop_worker().await;

    world.model.will([sleep()]);
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (config, ports) = (world.config.clone(), world.ports.clone());
    doomed.spawn(async move {
        manyhands_worker::run(config, ports, crate::support::models(), Default::default()).await
    });
    until(async || world.reaches_the_worker().await).await;
    world.say(id, "sleep", true).await.unwrap();
    world.wait_file(id, "begun").await;
    doomed.shutdown_background();
    until(async || world.has_no_worker().await).await;
    assert_eq!(world.status(id).await, "running");

    world.config.epoch = Epoch(2);
    world.start_worker().await;
    world.call(id, Command::Wake {}).await.unwrap();
    assert_eq!(world.status(id).await, "error");
    assert_eq!(world.kinds(id, "AgentErrorEvent").await.len(), 1, "the open action is closed");
    assert_eq!(world.fences(id).await, 2);

    world.model.will([terminal("echo alive"), finish()]);
    world.say(id, "go on", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observations = world.kinds(id, "ObservationEvent").await;
    assert!(observations.iter().any(|observation| observation.to_string().contains("alive")));
    assert_eq!(world.kinds(id, "ActionEvent").await.len(), 3, "the interrupted command is not run again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_leaves_runs_paused() {
    let mut world = World::start().await;
    let (sleeping, thinking, resting) = (world.create(), world.create(), world.create());
    world.model.will([sleep()]);
    world.say(sleeping, "sleep", true).await.unwrap();
    world.wait_file(sleeping, "begun").await;
    world.model.will([Turn::hang()]);
    world.say(thinking, "think", true).await.unwrap();
    world.say(resting, "rest", false).await.unwrap();
    let begun = Instant::now();
    world.stop_worker().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(world.status(sleeping).await, "paused");
    assert_eq!(world.status(thinking).await, "paused");
    assert_eq!(world.status(resting).await, "idle");

    world.start_worker().await;
    let before = world.events(sleeping).await.len();
    world.call(sleeping, Command::Wake {}).await.unwrap();
    assert_eq!(world.events(sleeping).await.len(), before, "nothing is left to recover");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reopening_writes_nothing_and_keeps_the_shell() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([terminal("COLOUR=green"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let tail = world.ports.log.tail(&world.log(id)).await.unwrap();
    world.after_a_rest(id, || Command::Wake {}).await;
    assert_eq!(world.ports.log.tail(&world.log(id)).await.unwrap(), tail);

    world.model.will([terminal("echo colour=$COLOUR"), finish()]);
    world.say(id, "which?", true).await.unwrap();
    until(async || world.ended_runs(id).await == 2).await;
    let observations = world.kinds(id, "ObservationEvent").await;
    assert!(
        observations.iter().any(|observation| observation.to_string().contains("colour=green")),
        "{observations:?}"
    );
    assert_eq!(world.fences(id).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_of_an_abandoned_conversation_is_closed() {
    let world = World::with(|config| config.shell_idle = Duration::from_millis(200), |_| {}).await;
    let id = world.create();
    world.model.will([terminal("echo $$ > shell.pid"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let pid =
        std::fs::read_to_string(world.dir.path().join("project").join(id.hex()).join("shell.pid")).unwrap();
    let shell = std::path::PathBuf::from("/proc").join(pid.trim());
    until(async || !shell.exists()).await;
    world.call(id, Command::Wake {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_too_many_idle_shells_those_idle_for_longest_are_closed() {
    let world = World::with(|config| config.most_shells = 2, |_| {}).await;
    let mut shells = Vec::new();
    for _ in 0..4 {
        let id = world.create();
        world.model.will([terminal("echo $$ > shell.pid"), finish()]);
        world.say(id, "go", true).await.unwrap();
        world.wait_status(id, "finished").await;
        let project = world.dir.path().join("project").join(id.hex());
        let pid = std::fs::read_to_string(project.join("shell.pid")).unwrap();
        shells.push(std::path::PathBuf::from("/proc").join(pid.trim()));
    }
    until(async || shells.iter().filter(|shell| shell.exists()).count() == 2).await;
    assert!(shells[3].exists(), "the last one stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shells_in_which_programs_run_have_a_bound_too_and_go_after_the_idle_ones() {
    let world = World::with(|config| config.most_shells = 2, |_| {}).await;
    let mut shells = Vec::new();
    for command in ["sleep 1000", "sleep 1000", "true", "sleep 1000"] {
        let id = world.create();
        let command = format!("echo $$ > shell.pid; {command}");
        let run = Turn::call("a", "terminal", json!({"command": command, "timeout": 0.5}));
        world.model.will([run, finish()]);
        world.say(id, "go", true).await.unwrap();
        world.wait_status(id, "finished").await;
        let project = world.dir.path().join("project").join(id.hex());
        let pid = std::fs::read_to_string(project.join("shell.pid")).unwrap();
        shells.push(std::path::PathBuf::from("/proc").join(pid.trim()));
        if shells.len() == 3 {
            until(async || !shells[2].exists()).await;
            assert!(shells[0].exists() && shells[1].exists(), "an idle one goes before those with a program");
        }
    }
    until(async || !shells[0].exists()).await;
    assert!(shells[1].exists() && shells[3].exists(), "only as many as must go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_worker_writes_nothing_more() {
    let world = World::start().await;
    let id = world.create();
    world.say(id, "mine", false).await.unwrap();
    let fence = br#"{"control":{"type":"fence","epoch":7}}"#;
    let log = world.log(id);
    let tail = world.ports.log.tail(&log).await.unwrap();
    let fenced = world.ports.log.append(&log, tail, vec![fence.to_vec().into()]).await.unwrap().tail();

    for _ in 0..2 {
        let fault = world.call(id, message("too late", true)).await.unwrap_err();
        assert_eq!(fault.code, ports::rpc::Code::Unavailable, "{fault}");
    }
    assert_eq!(world.ports.log.tail(&log).await.unwrap(), fenced);
    assert!(fenced > Seq::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_somebody_else_wrote_to_is_read_again() {
    let world = World::start().await;
    let id = world.create();
    world.say(id, "mine", false).await.unwrap();
    let log = world.log(id);
    let tail = world.ports.log.tail(&log).await.unwrap();
    let foreign = br#"{"control":{"type":"run_ended"}}"#;
    world.ports.log.append(&log, tail, vec![foreign.to_vec().into()]).await.unwrap();

    let fault = world.say(id, "lost", false).await.unwrap_err();
    assert_eq!(fault.code, ports::rpc::Code::Unavailable, "{fault}");
    until(async || world.say(id, "again", false).await.is_ok()).await;
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 2);
}
