//! Once a conversation is deleted nothing of it is made anew, whatever calls were under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::LogDouble;
use ports::rpc::{self, Address, Code, Fault};
use ports::{EventLog, Ports, Record, Result};
use testing::process::is_alive;
use types::bash::ExecuteBashRequest;
use types::calls::{BashCall, BashStarted, Command, Scope, ScopedWorkspace};
use types::{ConversationId, Life, LogId, Seq};

use crate::support::{PATIENCE, World, finish, forget, message, terminal, until};

async fn start(world: &World, id: ConversationId, command: &str) -> std::result::Result<BashStarted, Fault> {
    let root = world.dir.path().join("project").join(id.hex()).display().to_string();
    let scope = Scope { workspace: Some(ScopedWorkspace { conversation: id, root }) };
    let request = ExecuteBashRequest { command: command.to_owned(), cwd: None, timeout: 60 };
    let call = BashCall::Start { scope, request };
    let address = Address::of_worker(&world.config.sandbox, None);
    let started = rpc::call(world.ports.bus.as_ref(), &address, &call, Bytes::new(), PATIENCE).await;
    started.map(|(started, _)| started)
}

/// What the gateway has removed after the worker had forgotten the conversation.
fn logs(world: &World, id: ConversationId) -> [LogId; 2] {
    [world.log(id), LogId::bash(&world.config.sandbox, types::BashScope::Conversation(id))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_after_its_conversation_was_deleted_makes_nothing_anew() {
    let world = World::start().await;
    let id = world.create();
    world.say(id, "hello", false).await.unwrap();
    start(&world, id, "true").await.unwrap();
    world.forget(id).await.unwrap();
    for log in logs(&world, id) {
        world.ports.log.delete(&log).await.unwrap();
    }

    // Its record goes last, so these come before or after that.
    for is_gone in [false, true] {
        if is_gone {
            world.remove_record(id);
        }
        let started = start(&world, id, "touch begun").await.unwrap_err();
        let said = world.say(id, "hello again", false).await.unwrap_err();
        assert_eq!([started.code, said.code], [Code::NotFound; 2], "{is_gone}");
        for log in logs(&world, id) {
            assert_eq!(world.ports.log.tail(&log).await.unwrap(), Seq::ZERO, "{log}");
        }
    }
    assert!(!world.dir.path().join("project").join(id.hex()).join("begun").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_made_anew_under_the_same_id_is_another_one() {
    let world = World::start().await;
    let id = world.create();
    start(&world, id, "true").await.unwrap();
    world.forget(id).await.unwrap();
    for log in logs(&world, id) {
        world.ports.log.delete(&log).await.unwrap();
    }
    world.change_record(id, |copy| copy.created_at = "2026-11-29T00:00:00.000000Z".to_owned());

    start(&world, id, "touch begun").await.unwrap();
    world.say(id, "hello", false).await.unwrap();

    let begun = world.dir.path().join("project").join(id.hex()).join("begun");
    until(async || begun.exists()).await;
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_meant_for_a_conversation_is_not_done_to_one_made_anew_under_its_id() {
    let world = World::start().await;
    let id = world.create();
    world.change_record(id, |copy| copy.created_at = "2026-11-29T00:00:00.000000Z".to_owned());
    let command = async |life: &Life, command| {
        world.call_for(life, command).await.map(drop).map_err(|fault| fault.code)
    };
    let (earlier, present) = (made(id, "2026-11-28T00:00:00.000000Z"), world.life(id));
    // Before it is open, and after.
    for said in 0..2 {
        assert_eq!(command(&earlier, message("of the earlier one", false)).await, Err(Code::NotFound));
        assert_eq!(world.kinds(id, "MessageEvent").await.len(), said);
        command(&present, message("of this one", false)).await.unwrap();
    }
    command(&earlier, forget(&world, id)).await.unwrap();
    command(&present, message("still here", false)).await.unwrap();
    assert_eq!(world.kinds(id, "MessageEvent").await.len(), 3);
}

fn made(id: ConversationId, created_at: &str) -> Life {
    Life { id, created_at: created_at.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_is_late_ends_no_command_of_a_conversation_made_anew_that_rests() {
    let world = World::start().await;
    let id = world.create();
    let begun =
        start(&world, id, "touch begun; while [ ! -e go-on ]; do sleep 0.01; done; touch ended").await;
    begun.unwrap();
    world.wait_file(id, "begun").await;

    world.call_for(&made(id, "2026-11-22T00:00:00.000000Z"), forget(&world, id)).await.unwrap();

    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go-on"), "").unwrap();
    world.wait_file(id, "ended").await;
    start(&world, id, "true").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_conversations_of_an_id_both_have_gone_whatever_their_clocks_said() {
    let world = World::start().await;
    let id = world.create();
    world.forget(id).await.unwrap();
    // Made by a gateway whose clock is late.
    world.change_record(id, |copy| copy.created_at = "2026-11-22T23:59:58.000000Z".to_owned());
    world.forget(id).await.unwrap();

    assert_nothing_begins(&world, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_made_anew_is_there_though_the_one_before_it_has_not_left_yet() {
    let (world, faults) = crate::faults::world().await;
    let id = world.create();
    world.model.will([terminal("echo $$ > shell.pid; sh -c 'touch begun; exec sleep 60'"), finish()]);
    world.say(id, "of the one before", true).await.unwrap();
    world.wait_file(id, "begun").await;
    let shell = world.dir.path().join("project").join(id.hex()).join("shell.pid");
    let shell = std::fs::read_to_string(shell).unwrap();
    faults.stuck.store(true, Ordering::SeqCst);
    let stuck = world.say(id, "more", false);
    let meanwhile = async {
        until(async || faults.waiting.load(Ordering::SeqCst) > 0).await;
        let forgotten = world.forget(id);
        let anew = async {
            // It is being forgotten once its shell ends.
            until(async || !is_alive(&shell)).await;
            let anew = made(id, "2026-11-30T00:00:00.000000Z");
            world.change_record(id, |copy| copy.created_at.clone_from(&anew.created_at));
            let said = world.call_for(&anew, message("of the new one", false));
            let later = async {
                tokio::task::yield_now().await;
                faults.stuck.store(false, Ordering::SeqCst);
            };
            tokio::join!(said, later).0
        };
        tokio::join!(forgotten, anew)
    };
    let (_, (forgotten, said)) = tokio::join!(stuck, meanwhile);
    forgotten.unwrap();
    said.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_a_late_call_for_an_earlier_one_has_opened_is_deleted_as_any_other() {
    let slow = Arc::new(SlowReads::default());
    let wrapped = slow.clone();
    let wrap = |ports: &mut Ports| {
        ports.log = Arc::new(Slow { inner: ports.log.clone(), reads: wrapped });
    };
    let world = World::with(|config| config.idle_after = Duration::from_secs(60), wrap).await;
    let id = world.create();
    slow.wait.store(true, Ordering::SeqCst);
    let earlier = made(id, "2026-11-22T00:00:00.000000Z");
    let late = world.call_for(&earlier, message("of the earlier one", false));
    let deleted = async {
        // Of the record it knows by then that it is this one's.
        until(async || slow.waiting.load(Ordering::SeqCst) > 0).await;
        let opened = async {
            until(async || world.records.lock().unwrap().opened > 1).await;
            // One that does not wait for it has ended by then.
            tokio::time::sleep(Duration::from_millis(200)).await;
            slow.wait.store(false, Ordering::SeqCst);
        };
        tokio::join!(world.forget(id), opened).0.unwrap();
    };
    assert_eq!(tokio::join!(late, deleted).0.unwrap_err().code, Code::NotFound);

    assert_nothing_begins(&world, id).await;
}

/// Reads wait for as long as they are told to.
#[derive(Default)]
struct SlowReads {
    wait: AtomicBool,
    waiting: AtomicUsize,
}

struct Slow {
    inner: Arc<dyn EventLog>,
    reads: Arc<SlowReads>,
}

#[async_trait]
impl LogDouble for Slow {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        if matches!(log, LogId::Conversation { .. }) && self.reads.wait.load(Ordering::SeqCst) {
            self.reads.waiting.fetch_add(1, Ordering::SeqCst);
            while self.reads.wait.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        self.inner.read(log, after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_times_out_takes_back_no_note_of_another_deletion() {
    let (world, faults) = crate::faults::world().await;
    let id = world.create();
    world.say(id, "hello", false).await.unwrap();
    faults.stuck.store(true, Ordering::SeqCst);
    let stuck = world.say(id, "more", false);
    let deleted = async {
        until(async || faults.waiting.load(Ordering::SeqCst) > 0).await;
        let first = async {
            assert_eq!(world.forget(id).await.unwrap_err().code, Code::Unavailable);
            faults.stuck.store(false, Ordering::SeqCst);
        };
        // By so much later it gives up, which is the time that there is for the rest.
        let second = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            world.forget(id).await.unwrap();
        };
        tokio::join!(first, second);
    };
    let _ = tokio::join!(stuck, deleted);

    assert_nothing_begins(&world, id).await;
}

#[test]
fn who_gives_a_deletion_up_takes_no_files_of_the_conversation_later() {
    // What is done in threads waits for what the test does in the only one.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::start().await;
        let id = world.create();
        let Command::Forget { persistence_dir, .. } = forget(&world, id) else { panic!("it forgets") };
        let tasks = std::path::Path::new(&persistence_dir).join("TASKS.json");
        std::fs::create_dir_all(&persistence_dir).unwrap();
        std::fs::write(&tasks, "[]").unwrap();
        let (go_on, waiting) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || waiting.recv().unwrap_err());

        assert_eq!(world.forget(id).await.unwrap_err().code, Code::Unavailable);
        drop(go_on);
        busy.await.unwrap();
        // They come to their turn one after the other.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(tasks.exists());

        world.forget(id).await.unwrap();
        assert!(!tasks.exists());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_of_which_the_deletion_was_given_up_goes_on_at_once_with_the_files_of_its_tools() {
    let world = World::start().await;
    let id = world.create();
    let life = world.life(id);
    let begun = terminal("touch begun; while [ ! -e go-on ]; do sleep 0.01; done");
    world.model.will([begun, finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_file(id, "begun").await;
    let forgets = forget(&world, id);
    let Command::Forget { persistence_dir, deletion } = forgets.clone() else { panic!("it forgets") };
    let tasks = std::path::Path::new(&persistence_dir).join("TASKS.json");
    std::fs::create_dir_all(&persistence_dir).unwrap();
    std::fs::write(&tasks, "[]").unwrap();
    world.call_for(&life, forgets).await.unwrap();
    assert!(!tasks.exists());

    let forgotten =
        |is_gone| Command::Forgotten { persistence_dir: persistence_dir.clone(), deletion, is_gone };
    world.call_for(&life, forgotten(false)).await.unwrap();
    assert!(tasks.exists());
    // Its run was cut off, and the log says so.
    world.wait_status(id, "error").await;
    world.model.will([finish()]);
    world.say(id, "go on", true).await.unwrap();
    world.wait_status(id, "finished").await;

    let again = Command::Forget { persistence_dir: persistence_dir.clone(), deletion };
    world.call_for(&life, again).await.unwrap();
    world.call_for(&life, forgotten(true)).await.unwrap();
    until(async || !std::path::Path::new(&persistence_dir).exists()).await;
    assert_nothing_begins(&world, id).await;
}

/// Who deletes was killed, or is not heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_which_nobody_says_how_it_has_ended_has_ended_as_the_record_says() {
    let world = World::with(|config| config.deleting = Duration::from_millis(300), |_| {}).await;
    let [stays, goes] = [world.create(), world.create()];
    let kept = async |id| {
        let forgets = forget(&world, id);
        let Command::Forget { persistence_dir, .. } = &forgets else { panic!("it forgets") };
        let tasks = std::path::Path::new(persistence_dir).join("TASKS.json");
        std::fs::create_dir_all(persistence_dir).unwrap();
        std::fs::write(&tasks, "[]").unwrap();
        world.call_for(&world.life(id), forgets).await.unwrap();
        assert!(!tasks.exists());
        tasks
    };
    let begun = terminal("touch begun; while [ ! -e go-on ]; do sleep 0.01; done");
    world.model.will([begun]);
    world.say(stays, "go", true).await.unwrap();
    world.wait_file(stays, "begun").await;
    let tasks = kept(stays).await;
    until(async || tasks.exists()).await;
    // Its run was cut off, and the log says so though nobody comes.
    world.wait_status(stays, "error").await;
    world.say(stays, "still here", false).await.unwrap();

    let tasks = kept(goes).await;
    world.remove_record(goes);
    until(async || !tasks.parent().unwrap().exists()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_begins_finds_the_files_of_a_deletion_that_was_given_up_before() {
    let mut world = World::start().await;
    let id = world.create();
    let folder = world.dir.path().join("observations").join(id.hex());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("TASKS.json"), "[]").unwrap();
    world.forget(id).await.unwrap();
    assert!(!folder.join("TASKS.json").exists());
    world.stop_worker().await;
    world.start_worker().await;
    until(async || folder.join("TASKS.json").exists()).await;
}

/// Its record is there still.
async fn assert_nothing_begins(world: &World, id: ConversationId) {
    let started = start(world, id, "true").await.unwrap_err();
    let said = world.say(id, "hello again", false).await.unwrap_err();
    assert_eq!([started.code, said.code], [Code::NotFound; 2]);
}
