//! What clients may rely on when they drive a conversation.

use std::time::{Duration, Instant};

use crate::support::{PATIENCE, World, finish, message, sleep, terminal, until};
use futures_util::StreamExt;
use ports::Delivery;
use ports::rpc::{Code, Reason};
use serde_json::json;
use testing::script::Turn;
use types::calls::{Command, Once};
use types::log::{Control, LogRecord};
use types::policy::ConfirmationPolicy;
use types::{ConversationId, subjects};

/// "At once", on a machine that is busy with other tests too; a step in these tests takes thirty seconds.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_run_is_answered_and_the_run_goes_on_by_itself() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([terminal("echo 6*7=$((6*7))"), finish()]);
    let done = world.say(id, "compute", true).await.unwrap();
    assert!(done.seq.0 > 0);
    world.wait_status(id, "finished").await;
    let observations = world.kinds(id, "ObservationEvent").await;
    assert!(observations[0].to_string().contains("6*7=42"), "{observations:?}");
    let kinds: Vec<String> =
        world.events(id).await.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds[0], "SystemPromptEvent", "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_may_have_been_sent_before_is_stored_once() {
    let mut world = World::start().await;
    let id = world.create();
    let sent = |event: &str, again| {
        let Command::Message { message, sender, run, .. } = message("hi", false) else { unreachable!() };
        Command::Message {
            message,
            sender,
            run,
            once: Some(Once { id: event.into(), again }),
            only_with_slot: false,
        }
    };
    let texts = async |world: &World| {
        let messages = world.kinds(id, "MessageEvent").await;
        messages.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.call(id, sent("first", false)).await.unwrap();
    let done = world.call(id, sent("first", true)).await.unwrap();
    assert_eq!(done.seq, world.ports.log.tail(&world.log(id)).await.unwrap());
    world.call(id, sent("second", true)).await.unwrap();
    assert_eq!(texts(&world).await, ["first", "second"]);

    world.stop_worker().await;
    world.start_worker().await;
    world.call(id, sent("first", true)).await.unwrap();
    assert_eq!(texts(&world).await, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_answered_once_running_is_stored() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([Turn::hang()]);
    world.say(id, "go", false).await.unwrap();
    let done = world.call(id, Command::Run { first: false }).await.unwrap();
    let entries = world.ports.log.read_all(&world.log(id), types::Seq::ZERO).await.unwrap();
    let up_to_answer: Vec<_> = entries.iter().filter(|entry| entry.seq <= done.seq).collect();
    let text = format!("{:?}", up_to_answer.last().unwrap().payload);
    assert!(up_to_answer.iter().any(|entry| format!("{:?}", entry.payload).contains("running")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_answered_while_a_tool_runs() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([sleep(), finish()]);
    world.say(id, "sleep", true).await.unwrap();
    world.wait_file(id, "begun").await;
    for command in [
        message("still there?", false),
        Command::SetTags { tags: [("a".to_owned(), "b".to_owned())].into() },
        Command::SetConfirmationPolicy { policy: ConfirmationPolicy::AlwaysConfirm },
        Command::Pause {},
    ] {
        let begun = Instant::now();
        world.call(id, command.clone()).await.unwrap();
        assert!(begun.elapsed() < AT_ONCE, "{command:?} took {:?}", begun.elapsed());
    }
    assert!(world.kinds(id, "ObservationEvent").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_answered_while_the_model_thinks() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([Turn::hang()]);
    world.say(id, "think", true).await.unwrap();
    let begun = Instant::now();
    world.say(id, "more", false).await.unwrap();
    world.call(id, Command::Interrupt {}).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE);
    assert_eq!(world.status(id).await, "paused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_twice_is_a_conflict() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([Turn::hang()]);
    world.say(id, "go", true).await.unwrap();
    let fault = world.call(id, Command::Run { first: false }).await.unwrap_err();
    assert_eq!(fault, Reason::AlreadyRunning.into());
    world.call(id, Command::Respond { accept: true, reason: String::new(), actions: None }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_run_joins_the_active_run() {
    let world = World::start().await;
    let id = world.create();
    world
        .model
        .will([terminal("touch begun; until test -e go; do sleep 0.05; done"), Turn::text("both done")]);
    world.say(id, "first", true).await.unwrap();
    world.wait_file(id, "begun").await;
    world.say(id, "second", true).await.unwrap();
    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go"), "").unwrap();
    world.wait_status(id, "finished").await;
    let last = world.model.requests().pop().unwrap();
    assert!(last["messages"].to_string().contains("second"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_takes_effect_after_the_step() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([
        terminal("touch begun; until test -e go; do sleep 0.05; done; echo end of step"),
        terminal("echo never"),
    ]);
    world.say(id, "go", true).await.unwrap();
    world.wait_file(id, "begun").await;
    world.call(id, Command::Pause {}).await.unwrap();
    std::fs::write(world.dir.path().join("project").join(id.hex()).join("go"), "").unwrap();
    until(async || world.kinds(id, "ObservationEvent").await.len() == 1).await;
    let observations = world.kinds(id, "ObservationEvent").await;
    assert!(observations[0].to_string().contains("end of step"));
    assert_eq!(world.status(id).await, "paused");
    assert_eq!(world.kinds(id, "ActionEvent").await.len(), 1);
    assert_eq!(world.kinds(id, "PauseEvent").await.len(), 1);
    world.call(id, Command::Run { first: false }).await.unwrap();
    world.wait_status(id, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupt_ends_a_sleeping_command() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([sleep(), terminal("echo back"), finish()]);
    world.say(id, "sleep", true).await.unwrap();
    world.wait_file(id, "begun").await;
    let begun = Instant::now();
    world.call(id, Command::Interrupt {}).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(world.status(id).await, "paused");
    assert_eq!(world.kinds(id, "InterruptEvent").await.len(), 1);
    assert_eq!(world.kinds(id, "AgentErrorEvent").await.len(), 1);
    world.say(id, "go on", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let observations = world.kinds(id, "ObservationEvent").await;
    assert!(observations.iter().any(|observation| observation.to_string().contains("back")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_is_quick_while_a_command_sleeps() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([terminal("echo $$ > shell.pid; sh -c 'touch begun; exec sleep 30'")]);
    world.say(id, "sleep", true).await.unwrap();
    world.wait_file(id, "begun").await;
    let pid =
        std::fs::read_to_string(world.dir.path().join("project").join(id.hex()).join("shell.pid")).unwrap();
    let begun = Instant::now();
    world.forget(id).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    world.remove_record(id);
    let length = world.events(id).await.len();
    let shell = std::path::PathBuf::from("/proc").join(pid.trim());
    until(async || !shell.exists()).await;
    assert_eq!(
        world.events(id).await.len(),
        length,
        "something was written after the conversation was forgotten"
    );
    assert_eq!(world.call(id, Command::Run { first: false }).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_leaves_no_outputs_behind_however_long_the_conversation_rested() {
    let mut world = World::start().await;
    let id = world.create();
    let folder = world.dir.path().join("observations").join(id.hex());
    let deep = folder.join("observations/a".to_owned() + &"/a".repeat(500));
    world.model.will([terminal("yes 'what nobody may see' | head -c 200000"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "finished").await;
    assert_ne!(std::fs::read_dir(folder.join("observations")).unwrap().count(), 0);
    std::fs::create_dir_all(deep).unwrap();
    world.stop_worker().await;
    world.start_worker().await;
    world.delete(id).await;
    until(async || !folder.exists()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_for_conversations_that_went_without_a_worker_is_removed_by_the_next() {
    let mut world = World::start().await;
    let (gone, alive) = (world.create(), world.create());
    let root = world.dir.path().join("observations");
    let kept = |id: ConversationId| root.join(id.hex()).join("observations");
    world.stop_worker().await;
    for id in [gone, alive] {
        std::fs::create_dir_all(kept(id)).unwrap();
        std::fs::write(kept(id).join("1.txt"), "all of an output").unwrap();
    }
    world.records.lock().unwrap().copies.remove(&gone);
    world.start_worker().await;
    until(async || !root.join(gone.hex()).exists()).await;
    assert!(kept(alive).join("1.txt").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_server_has_written_in_the_same_place_is_not_removed() {
    let mut world = World::start().await;
    let (gone, foreign) = (world.create(), ConversationId::random());
    let root = world.dir.path().join("observations");
    let kept = |id: ConversationId| root.join(id.hex()).join("observations");
    world.stop_worker().await;
    for id in [gone, foreign] {
        std::fs::create_dir_all(kept(id)).unwrap();
        std::fs::write(kept(id).join("1.txt"), "all of an output").unwrap();
    }
    std::fs::write(root.join(foreign.hex()).join("meta.json"), "{}").unwrap();
    world.records.lock().unwrap().copies.remove(&gone);
    world.start_worker().await;
    // All that are to go are asked for at once, and go together.
    until(async || !root.join(gone.hex()).exists()).await;
    assert!(kept(foreign).join("1.txt").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_removes_no_folder_but_that_of_the_conversation() {
    let world = World::start().await;
    let (id, other) = (world.create(), world.create());
    let folder = world.dir.path().join("observations").join(id.hex());
    std::fs::create_dir_all(folder.join("observations")).unwrap();
    std::fs::write(folder.join("of-another"), "stays").unwrap();
    let persistence_dir = folder.display().to_string();
    world.call(other, Command::Forget { persistence_dir, deletion: uuid::Uuid::new_v4() }).await.unwrap();
    assert!(folder.join("observations").exists());
    world.forget(id).await.unwrap();
    until(async || !folder.join("observations").exists()).await;
    assert!(folder.join("of-another").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_ends_the_shell_of_an_idle_conversation() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([terminal("echo $$ > shell.pid"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let pid =
        std::fs::read_to_string(world.dir.path().join("project").join(id.hex()).join("shell.pid")).unwrap();
    world.let_it_leave_memory().await;
    let shell = std::path::PathBuf::from("/proc").join(pid.trim());
    assert!(shell.exists());
    world.forget(id).await.unwrap();
    until(async || !shell.exists()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_slots_are_limited() {
    let world = World::with(|config| config.max_concurrent_runs = 1, |_| {}).await;
    let (first, second) = (world.create(), world.create());
    world.model.will([Turn::hang()]);
    world.say(first, "occupy", true).await.unwrap();

    let fault = world.say(second, "wait", true).await.unwrap_err();
    assert_eq!(fault, Reason::MessageSaved.into());
    assert_eq!(world.kinds(second, "MessageEvent").await.len(), 1, "the message is saved");
    let fault = world.call(second, Command::Run { first: false }).await.unwrap_err();
    assert_eq!(fault, Reason::RunLimit.into());

    world.call(first, Command::Interrupt {}).await.unwrap();
    until(async || world.call(second, Command::Run { first: false }).await.is_ok()).await;
    world.wait_status(second, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_to_run_or_not_to_be_leaves_nothing_without_a_slot() {
    let world = World::with(|config| config.max_concurrent_runs = 1, |_| {}).await;
    let (first, second) = (world.create(), world.create());
    let say = |text: &str| {
        let Command::Message { message, sender, once, .. } = message(text, true) else { unreachable!() };
        Command::Message { message, sender, run: true, once, only_with_slot: true }
    };
    world.model.will([Turn::hang()]);
    world.call(first, say("occupy")).await.unwrap();
    assert_eq!(world.call(second, say("lost")).await.unwrap_err(), Reason::RunLimit.into());
    assert_eq!(world.kinds(second, "MessageEvent").await.len(), 0);
    world.call(first, say("heard by the run")).await.expect("it has the slot");
    world.call(first, Command::Interrupt {}).await.unwrap();
    until(async || world.call(second, say("heard")).await.is_ok()).await;
    world.wait_status(second, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_commands_open_one_actor() {
    let world = World::start().await;
    let id = world.create();
    let before = world.records.lock().unwrap().opened;
    let tags = |n: usize| Command::SetTags { tags: [("n".to_owned(), n.to_string())].into() };
    let calls: Vec<_> = (0..20).map(|n| world.call(id, tags(n))).collect();
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(world.records.lock().unwrap().opened - before, 1);
    assert_eq!(world.fences(id).await, 1);
    let records = world.log_records(id).await;
    let indices: Vec<u64> = records
        .iter()
        .filter_map(|record| match record {
            LogRecord::Event { n, .. } => Some(*n),
            LogRecord::Control(_) => None,
        })
        .collect();
    assert_eq!(indices, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_open_leaves_nothing_behind() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.agent["tools"] = json!([{"name": "no_such_tool"}]));
    let fault = world.say(id, "hi", false).await.unwrap_err();
    assert_eq!(fault.code, Code::Invalid);
    assert!(fault.public.contains("no_such_tool"), "{fault}");
    assert!(world.log_records(id).await.is_empty());
    assert_eq!(world.say(ConversationId::random(), "hi", false).await.unwrap_err().code, Code::NotFound);
    world.forget(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_wait_for_consent_and_run_when_it_is_given() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm);
    world.model.will([terminal("echo allowed"), finish()]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "waiting_for_confirmation").await;
    world.let_it_leave_memory().await;
    world.call(id, Command::Respond { accept: true, reason: String::new(), actions: None }).await.unwrap();
    world.wait_status(id, "finished").await;
    assert!(world.kinds(id, "ObservationEvent").await[0].to_string().contains("allowed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_model_ends_the_run_in_error() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([Turn::failure(401, "scripted failure")]);
    world.say(id, "go", true).await.unwrap();
    world.wait_status(id, "error").await;
    let errors = world.kinds(id, "ConversationErrorEvent").await;
    assert_eq!(errors[0]["code"], "LLMAuthenticationError");
    world.say(id, "again", true).await.unwrap();
    world.wait_status(id, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_steps_take_less_than_ten_seconds() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.stuck_detection = false);
    world.model.will([terminal("true"), finish()]);
    world.say(id, "warm up", true).await.unwrap();
    world.wait_status(id, "finished").await;

    world.model.will((0..50).map(|_| terminal("true")).chain([finish()]));
    let stored = world.ports.bus.subscribe(&subjects::stored(&world.log(id)), None).await.unwrap();
    let is_end = |delivery: &Delivery| match delivery {
        Delivery::Message(message) => {
            matches!(LogRecord::decode(&message.parcel.blob), Ok(LogRecord::Control(Control::RunEnded {})))
        }
        Delivery::Lagged => panic!("the listener is too slow"),
    };
    let begun = Instant::now();
    world.say(id, "go", true).await.unwrap();
    let mut ends = stored.filter(|delivery| std::future::ready(is_end(delivery)));
    tokio::time::timeout(PATIENCE, ends.next()).await.unwrap();
    let took = begun.elapsed();
    println!("{:.0} steps a second ({took:?} for 51)", 51.0 / took.as_secs_f64());
    assert_eq!(world.kinds(id, "ObservationEvent").await.len(), 53);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_run_is_not_started_where_somebody_has_paused_before_it() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([finish()]);
    world.say(id, "go", false).await.unwrap();
    world.call(id, Command::Pause {}).await.unwrap();
    let paused = world.ports.log.tail(&world.log(id)).await.unwrap();
    let done = world.call(id, Command::Run { first: true }).await.unwrap();
    assert_eq!(done.seq, paused);
    assert_eq!(world.ports.log.tail(&world.log(id)).await.unwrap(), paused, "nothing was done");
    assert!(world.call(id, Command::Run { first: false }).await.unwrap().seq > paused);
}
