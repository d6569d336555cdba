//! What the actor makes of a log whose answers are lost or which cannot be written.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::faulty::{Faults, Faulty};
use crate::support::{PATIENCE, World, finish, terminal, until};
use bytes::Bytes;
use ports::rpc::{self, Address, Code};
use testing::process::is_alive;
use types::bash::ExecuteBashRequest;
use types::calls::{BashCall, BashStarted, Command, Scope, ScopedWorkspace};
use types::log::LogRecord;
use types::{BashScope, LogId, Seq};

/// With the switches of its log.
pub async fn world() -> (World, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let wrapped = faults.clone();
    let world = World::with(
        |_| {},
        |ports| ports.log = Arc::new(Faulty { inner: ports.log.clone(), faults: wrapped }),
    )
    .await;
    (world, faults)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_append_is_neither_lost_nor_doubled() {
    let (world, faults) = world().await;
    let id = world.create();
    faults.lose_answers.store(usize::MAX, Ordering::SeqCst);
    world.model.will([terminal("echo once >> count"), finish()]);
    let done = world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "finished").await;
    assert!(done.seq.0 > 0);
    faults.lose_answers.store(0, Ordering::SeqCst);
    world.say(id, "more", false).await.unwrap();

    let (mut ids, mut next) = (HashSet::new(), 0);
    for record in world.log_records(id).await {
        if let LogRecord::Event { n, event } = record {
            assert_eq!(n, next, "events are numbered without gaps");
            next += 1;
            let event: serde_json::Value = serde_json::from_str(event.get()).unwrap();
            assert!(ids.insert(event["id"].to_string()), "{event} is there twice");
        }
    }
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 2);
    let count = world.dir.path().join("project").join(id.hex()).join("count");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "once\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_progress_and_loses_nothing() {
    let (world, faults) = world().await;
    let id = world.create();
    world.model.will([terminal("touch begun; until test -e go; do sleep 0.05; done; echo result"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_file(id, "begun").await;
    faults.full.store(true, Ordering::SeqCst);
    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go"), "").unwrap();
    until(async || faults.refused.load(Ordering::SeqCst) > 0).await;

    let begun = Instant::now();
    let fault = world.call(id, Command::SetTags { tags: [].into() }).await.unwrap_err();
    assert_eq!(fault.code, Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tries = faults.refused.load(Ordering::SeqCst);
    assert!(tries < 20, "{tries} attempts are a busy loop");

    faults.full.store(false, Ordering::SeqCst);
    world.wait_status(id, "finished").await;
    let observations = world.kinds(id, "ObservationEvent").await;
    assert!(observations[0].to_string().contains("result"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_can_be_deleted_while_the_disk_is_full() {
    let (world, faults) = world().await;
    let id = world.create();
    world.say(id, "hello", false).await.unwrap();
    faults.full.store(true, Ordering::SeqCst);
    let (refused, _) = tokio::join!(world.say(id, "lost", false), async {
        until(async || faults.refused.load(Ordering::SeqCst) > 0).await;
        world.forget(id).await.unwrap();
    });
    assert_eq!(refused.unwrap_err().code, Code::NotFound);
    faults.full.store(false, Ordering::SeqCst);
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_conversation_runs_ends_though_its_log_does_not_answer() {
    let (world, faults) = world().await;
    let id = world.create();
    world.model.will([terminal("echo $$ > shell.pid; sh -c 'touch begun; exec sleep 60'"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_file(id, "begun").await;
    let shell = world.dir.path().join("project").join(id.hex()).join("shell.pid");
    let shell = std::fs::read_to_string(shell).unwrap();

    faults.stuck.store(true, Ordering::SeqCst);
    let (said, _) = tokio::join!(world.say(id, "more", false), async {
        until(async || faults.waiting.load(Ordering::SeqCst) > 0).await;
        let fault = world.forget(id).await.unwrap_err();
        assert_eq!(fault.code, Code::Unavailable, "it may still write");
        assert!(!is_alive(&shell), "its shell goes on");
        faults.stuck.store(false, Ordering::SeqCst);
    });
    assert!(said.is_ok(), "what the log has taken is told: {said:?}");
    until(async || world.forget(id).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_room_ends_the_run_with_the_reason_and_goes_on_when_there_is_some() {
    let (world, faults) = world().await;
    let id = world.create();
    world.model.will([terminal("touch begun; until test -e go; do sleep 0.05; done; echo result"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_file(id, "begun").await;
    faults.no_room.store(true, Ordering::SeqCst);
    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go"), "").unwrap();
    world.wait_status(id, "error").await;
    until(async || world.ended_runs(id).await == 1).await;
    let errors = world.kinds(id, "ConversationErrorEvent").await;
    assert_eq!(
        (errors.len(), &errors[0]["code"], &errors[0]["detail"]),
        (1, &"StorageFull".into(), &"no room".into())
    );
    assert_eq!(world.kinds(id, "AgentErrorEvent").await.len(), 1, "the call has a result");
    assert!(world.kinds(id, "ObservationEvent").await.is_empty());

    let fault = world.say(id, "more", true).await.unwrap_err();
    assert_eq!((fault.code, fault.public.as_str()), (Code::Full, "no room"));
    assert_eq!(world.kinds(id, "ConversationErrorEvent").await.len(), 1, "nothing was under way");

    faults.no_room.store(false, Ordering::SeqCst);
    world.say(id, "again", true).await.unwrap();
    world.wait_status(id, "finished").await;
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_end_there_was_no_room_for_is_closed_once_there_is_some_though_nobody_asks() {
    let (world, faults) = world().await;
    let id = world.create();
    world.model.will([terminal("touch begun; until test -e go; do sleep 0.05; done; echo result"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_file(id, "begun").await;
    faults.no_room_at_all.store(true, Ordering::SeqCst);
    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go"), "").unwrap();
    // The result, the end of the run, and the end again by who has opened the conversation for it.
    until(async || faults.refused.load(Ordering::SeqCst) >= 3).await;
    assert_eq!(world.status(id).await, "running");
    faults.no_room_at_all.store(false, Ordering::SeqCst);
    world.wait_status(id, "error").await;
    assert_eq!(world.kinds(id, "AgentErrorEvent").await.len(), 1, "the call has a result");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_never_takes_ends_the_run_with_an_error_and_is_not_tried_again() {
    let faults = Arc::new(Faults::default());
    let wrapped = faults.clone();
    let mut world = World::with(
        |config| config.max_concurrent_runs = 1,
        |ports| ports.log = Arc::new(Faulty { inner: ports.log.clone(), faults: wrapped }),
    )
    .await;
    let id = world.create();
    *faults.forbidden.lock().unwrap() = Some("\"ObservationEvent\"");
    world.model.will([terminal("echo once >> count"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "error").await;
    until(async || world.ended_runs(id).await == 1).await;
    assert_eq!(faults.refused.load(Ordering::SeqCst), 1, "it is not tried again");
    let errors = world.kinds(id, "ConversationErrorEvent").await;
    assert_eq!((errors.len(), &errors[0]["code"]), (1, &"StorageError".into()));
    assert!(!errors[0].to_string().contains("/var/lib"), "{}", errors[0]);
    assert_eq!(world.kinds(id, "AgentErrorEvent").await.len(), 1, "the call has a result");
    until(async || world.call(id, Command::Pause {}).await.is_ok()).await;
    world.call(id, Command::Interrupt {}).await.unwrap();

    *faults.forbidden.lock().unwrap() = None;
    let other = world.create();
    world.model.will([finish()]);
    world.say(other, "the slot is free", true).await.unwrap();
    world.wait_status(other, "finished").await;

    let before = world.events(id).await.len();
    world.stop_worker().await;
    world.config.epoch = types::Epoch(2);
    world.start_worker().await;
    world.call(id, Command::Wake {}).await.unwrap();
    assert_eq!(world.events(id).await.len(), before, "a restart repeats nothing");
    let count = world.dir.path().join("project").join(id.hex()).join("count");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "once\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_a_deleted_conversation_end_whatever_marks_they_have() {
    let (world, faults) = world().await;
    let id = world.create();
    world.say(id, "hello", false).await.unwrap();
    let root = world.dir.path().join("project").join(id.hex());
    let workspace = ScopedWorkspace { conversation: id, root: root.display().to_string() };
    let command = "echo $$ > pid; exec env -i /bin/sh -c 'while :; do echo more; done'".to_owned();
    let request = ExecuteBashRequest { command, cwd: None, timeout: 600 };
    let call = BashCall::Start { scope: Scope { workspace: Some(workspace) }, request };
    let address = Address::of_worker(&world.config.sandbox, None);
    let bus = world.ports.bus.as_ref();
    let _started: (BashStarted, _) = rpc::call(bus, &address, &call, Bytes::new(), PATIENCE).await.unwrap();
    world.wait_file(id, "pid").await;
    let log = LogId::bash(&world.config.sandbox, BashScope::Conversation(id));
    // Its output waits, as do those who write it.
    faults.full.store(true, Ordering::SeqCst);
    until(async || faults.refused.load(Ordering::SeqCst) > 0).await;

    world.forget(id).await.unwrap();
    world.ports.log.delete(&log).await.unwrap();
    faults.full.store(false, Ordering::SeqCst);

    let pid = std::fs::read_to_string(root.join("pid")).unwrap();
    until(async || !is_alive(&pid)).await;
    assert_eq!(world.ports.log.tail(&log).await.unwrap(), Seq::ZERO);
}
