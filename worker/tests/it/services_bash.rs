//! Commands over the API.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::services::{World, eventually};
use crate::support::faulty::{Faults, Faulty};
use ports::rpc::{Code, Fault, Reason};
use testing::process::is_alive;
use types::bash::{BashCommand, BashEvent, BashOutput, ExecuteBashRequest};
use types::calls::{BashCall, BashCleared, BashStarted, Scope, ScopedWorkspace};
use types::time::utc_ago;
use types::{BashScope, ConversationId, Epoch, LogId, SandboxId, Seq};

fn all() -> Scope {
    Scope::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_command_answers_with_one_event() {
    let world = World::start().await;

    let outputs = world.execute("echo out; echo err >&2; exit 3", 30).await;

    let [only] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((only.order, only.exit_code), (0, Some(3)));
    assert_eq!((only.stdout.as_deref(), only.stderr.as_deref()), (Some("out\n"), Some("err\n")));
    assert_eq!(only.id.len(), 32);
    let events = world.events(&all()).await;
    assert!(matches!(events.first(), Some(BashEvent::BashCommand(command)) if command.id == only.command_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_printed_is_null() {
    let world = World::start().await;
    let outputs = world.execute("true", 30).await;
    assert_eq!((outputs[0].stdout.as_deref(), outputs[0].stderr.as_deref()), (None, None));
    assert_eq!(outputs[0].exit_code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_visible_while_the_command_runs() {
    let world = World::start().await;
    let started =
        world.start_command("echo early; while [ ! -e go ]; do sleep 0.05; done; echo late", 60).await;

    let early =
        eventually(async || world.outputs(&all(), &started.command.id).await.into_iter().next()).await;
    assert_eq!((early.stdout.as_deref(), early.exit_code, early.order), (Some("early\n"), None, 0));

    std::fs::write(world.path("go"), "").unwrap();
    let outputs = world.ended(&all(), &started.command.id).await;
    assert_eq!(outputs.last().unwrap().stdout.as_deref(), Some("late\n"));
    assert_eq!(outputs.iter().map(|output| output.order).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn utf8_is_never_cut() {
    let world = World::start().await;
    // An odd start shifts two-byte characters over every border of blocks.
    let outputs = world
        .execute(
            "printf a; yes é | head -n 200000 | tr -d '\\n'; printf '\\303'; sleep 0.2; printf '\\251'",
            60,
        )
        .await;

    let text: String = outputs.iter().filter_map(|output| output.stdout.as_deref()).collect();
    assert_eq!(text, format!("a{}", "é".repeat(200_001)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_replaced() {
    let world = World::start().await;
    let outputs = world.execute("printf 'a\\377b\\303'", 30).await;
    assert_eq!(outputs[0].stdout.as_deref(), Some("a\u{fffd}b\u{fffd}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_comes_in_order_and_in_frames_below_a_mebibyte() {
    let world = World::start().await;
    let outputs =
        world.execute("head -c 3000000 /dev/zero; head -c 1500000 /dev/zero | tr '\\0' x >&2", 60).await;

    assert_eq!(
        outputs.iter().map(|output| output.order).collect::<Vec<_>>(),
        (0..outputs.len() as u64).collect::<Vec<_>>()
    );
    let length = |text: Option<&String>| text.map_or(0, String::len);
    assert_eq!(outputs.iter().map(|output| length(output.stdout.as_ref())).sum::<usize>(), 3_000_000);
    assert_eq!(outputs.iter().map(|output| length(output.stderr.as_ref())).sum::<usize>(), 1_500_000);
    let longest = outputs.iter().map(|output| serde_json::to_vec(output).unwrap().len()).max().unwrap();
    assert!(longest < 1_048_576, "{longest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_left_behind_are_ended_on_timeout() {
    let world = World::start().await;
    // The child ignores the polite signal.
    let script = "(trap '' TERM; echo $$ >/dev/null; sh -c 'echo $PPID' > child; while true; do sleep 0.1; done) & echo begin; wait";
    let begun = Instant::now();
    let outputs = world.execute(script, 1).await;

    let last = outputs.last().unwrap();
    assert_eq!(last.exit_code, Some(-1));
    assert_eq!(outputs[0].stdout.as_deref(), Some("begin\n"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let child = world.sh("cat child");
    eventually(async || (!is_alive(&child)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_of_zero_ends_at_once() {
    let world = World::start().await;
    let begun = Instant::now();
    for timeout in [0, -5, i64::MIN] {
        let outputs = world.execute("sleep 20", timeout).await;
        assert_eq!(outputs.last().unwrap().exit_code, Some(-1));
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    let outputs = world.execute("true", i64::MAX).await;
    assert_eq!(outputs[0].exit_code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_child_does_not_hold_up_the_answer() {
    let world = World::start().await;
    let begun = Instant::now();
    let started = world.start_command("sleep 60 & echo $!", 300).await;
    let outputs = world.ended(&all(), &started.command.id).await;

    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let text: String = outputs.iter().filter_map(|output| output.stdout.clone()).collect();
    assert_eq!(outputs.last().unwrap().exit_code, Some(0));
    assert!(is_alive(&text), "it goes on after the answer");

    world.stop_command(&started.command.id).await.unwrap();
    eventually(async || (!is_alive(&text)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_closed_its_output_lives_on() {
    let world = World::start().await;
    let outputs = world.execute("sleep 60 >/dev/null 2>&1 & echo $!", 1).await;
    let pid = outputs[0].stdout.clone().unwrap();
    assert_eq!(outputs[0].exit_code, Some(0));
    assert_eq!(world.execute("true", 1).await[0].exit_code, Some(0), "what was to be ended has ended by now");
    assert!(is_alive(&pid));
    world.sh(&format!("kill {pid}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_returns_when_the_command_has_ended() {
    let world = World::start().await;
    let started = world.start_command("sleep 60", 60).await;
    let id = &started.command.id;

    world.stop_command(id).await.unwrap();

    let outputs = world.outputs(&all(), id).await;
    assert_eq!(outputs.last().unwrap().exit_code, Some(-15));
    world.stop_command(id).await.unwrap();
    let unknown = world.stop_command("fd64cab9967b440cbe673149753cd71f").await.unwrap_err();
    assert_eq!(unknown, Fault::new(Code::NotFound, "Not Found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ignores_the_stop_is_killed() {
    let world = World::start().await;
    let started = world.start_command("trap '' TERM; echo ready; while true; do sleep 0.1; done", 60).await;
    eventually(async || world.outputs(&all(), &started.command.id).await.pop()).await;
    world.stop_command(&started.command.id).await.unwrap();
    let outputs = world.outputs(&all(), &started.command.id).await;
    assert_eq!(outputs.last().unwrap().exit_code, Some(-9));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_of_a_trap_wins_over_the_signal() {
    let world = World::start().await;
    let started =
        world.start_command("trap 'exit 7' TERM; echo ready; while true; do sleep 0.05; done", 60).await;
    eventually(async || world.outputs(&all(), &started.command.id).await.pop()).await;
    world.stop_command(&started.command.id).await.unwrap();
    let outputs = world.outputs(&all(), &started.command.id).await;
    assert_eq!(outputs.last().unwrap().exit_code, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_folder_is_an_output_and_not_a_failure_of_the_call() {
    let world = World::start().await;
    let request = ExecuteBashRequest { command: "pwd".into(), cwd: Some("/nowhere".into()), timeout: 5 };
    let started: BashStarted = world.bash(BashCall::Start { scope: all(), request }).await.unwrap();
    let outputs = world.ended(&all(), &started.command.id).await;
    assert_eq!((outputs[0].exit_code, outputs[0].order), (Some(-1), 0));
    assert!(outputs[0].stderr.as_deref().unwrap().starts_with("Error executing command: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversations_commands_run_in_its_workspace_and_have_their_own_log() {
    let world = World::start().await;
    world.sh("mkdir sub");
    let scope = world.scope();
    let request = |cwd: Option<&str>| ExecuteBashRequest {
        command: "pwd".into(),
        cwd: cwd.map(str::to_owned),
        timeout: 5,
    };
    let pwd = async |cwd: Option<&str>| {
        let call = BashCall::Start { scope: scope.clone(), request: request(cwd) };
        let started: BashStarted = world.bash(call).await?;
        Ok::<_, Fault>(world.ended(&scope, &started.command.id).await[0].stdout.clone().unwrap())
    };

    assert_eq!(pwd(None).await.unwrap().trim(), world.text("").trim_end_matches('/'));
    assert_eq!(pwd(Some(&world.text("sub"))).await.unwrap().trim(), world.text("sub"));
    let outside = pwd(Some("/tmp")).await.unwrap_err();
    assert_eq!(outside, Fault::new(Code::Invalid, "cwd must be inside the conversation workspace"));
    assert_eq!(world.events(&all()).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversations_commands_may_come_before_its_workspace() {
    let world = World::start().await;
    let (conversation, root) = (ConversationId::random(), world.text("not/yet/there"));
    let scope = Scope { workspace: Some(ScopedWorkspace { conversation, root: root.clone() }) };
    let request = ExecuteBashRequest { command: "pwd".into(), cwd: None, timeout: 5 };
    let call = BashCall::Start { scope: scope.clone(), request };
    let started: BashStarted = world.bash(call).await.unwrap();
    let outputs = world.ended(&scope, &started.command.id).await;
    assert_eq!(outputs[0].stdout.as_deref().map(str::trim), Some(root.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stamped_in_the_order_of_the_log() {
    let world = World::start().await;
    let commands = (0..40).map(|_| world.start_command("echo x", 30));
    let started = futures_util::future::join_all(commands).await;
    for started in &started {
        world.ended(&all(), &started.command.id).await;
    }
    let events = world.events(&all()).await;
    // A command whose end comes late has told its output before.
    assert!(events.len() >= 80, "{}", events.len());
    assert!(events.windows(2).all(|pair| pair[0].timestamp() < pair[1].timestamp()));
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_counts_the_events_and_running_commands_go_on() {
    let world = World::start().await;
    world.execute("echo one", 30).await;
    let started = world.start_command("while [ ! -e go ]; do sleep 0.02; done; echo late", 60).await;

    let cleared: BashCleared = world.bash(BashCall::Clear { scope: all() }).await.unwrap();
    assert_eq!(cleared.cleared_count, 3);
    assert_eq!(world.events(&all()).await, []);

    std::fs::write(world.path("go"), "").unwrap();
    let outputs = world.ended(&all(), &started.command.id).await;
    assert_eq!(outputs.last().unwrap().stdout.as_deref(), Some("late\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_worker_ends_commands_at_once() {
    let world = World::start().await;
    let started = world.start_command("(sleep 60; true) & echo $! $$; wait", 300).await;
    let outputs = eventually(async || world.outputs(&all(), &started.command.id).await.pop()).await;
    let pids = outputs.stdout.unwrap();

    let begun = Instant::now();
    world.stop().await;

    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for pid in pids.split_whitespace() {
        eventually(async || (!is_alive(pid)).then_some(())).await;
    }
    assert!(world.outputs(&all(), &started.command.id).await.iter().all(|output| output.exit_code.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_forgotten_and_young_ones_stay() {
    let mut world = World::start().await;
    let log = LogId::bash(&SandboxId::shared(), types::BashScope::Sandbox);
    let hour = Duration::from_secs(3_600);
    let old = |id: &str| {
        BashEvent::BashOutput(BashOutput {
            id: id.into(),
            timestamp: utc_ago(2 * hour),
            command_id: "an older one".into(),
            order: 0,
            exit_code: Some(0),
            stdout: None,
            stderr: None,
        })
    };
    let records = ["1", "2"].map(|id| serde_json::to_vec(&old(id)).unwrap().into()).to_vec();
    world.ports.log.append(&log, Seq::ZERO, records).await.unwrap();
    let young = world.execute("echo young", 30).await;
    assert_eq!(world.events(&all()).await.len(), 4);
    world.stop().await;

    (world.shutdown, world.tracker) = Default::default();
    world.serve(Some(hour)).await;

    let left = eventually(async || {
        let events = world.events(&all()).await;
        (events.len() == 2).then_some(events)
    })
    .await;
    assert_eq!(left[1], BashEvent::BashOutput(young[0].clone()));
    world.execute("echo more", 30).await;
    assert_eq!(world.events(&all()).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_moves_no_record_and_keeps_older_workers_out() {
    let mut world = World::start().await;
    world.execute("echo 1", 5).await;
    let young = world.execute("echo 2", 5).await;
    let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    let store = world.ports.log.clone();
    let entries = async || store.read_all(&log, Seq::ZERO).await.unwrap();
    let before = entries().await;

    let cleared: BashCleared = world.bash(BashCall::Clear { scope: all() }).await.unwrap();
    assert_eq!((cleared.cleared_count, young.len()), (4, 1));
    let after = entries().await;
    assert_eq!(after.len(), 1, "a fence is left");
    assert!(after[0].seq > before.last().unwrap().seq, "positions are never used again");

    world.stop().await;
    (world.shutdown, world.tracker) = Default::default();
    world.epoch = Epoch(0);
    world.serve(None).await;
    let request = ExecuteBashRequest { command: "true".into(), cwd: None, timeout: 5 };
    let call = BashCall::Start { scope: all(), request };
    assert_eq!(world.bash::<BashStarted>(call).await.unwrap_err(), Reason::Superseded.into());
    assert_eq!(entries().await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_a_worker_that_was_killed_are_closed_and_nothing_of_them_runs() {
    let mut world = World::start().await;
    world.stop().await;
    let id = "5a502812f4634d7eafd6bc0b11d74ecf";
    let left = std::process::Command::new("/bin/sh")
        .args(["-c", "sleep 1000; true"])
        .env("MANYHANDS_COMMAND", id)
        .spawn();
    let mut left = left.unwrap();
    let command = BashEvent::BashCommand(BashCommand {
        command: "sleep 1000".into(),
        cwd: None,
        timeout: 5_000,
        id: id.into(),
        timestamp: utc_ago(Duration::from_secs(60)),
    });
    let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    let record = serde_json::to_vec(&command).unwrap().into();
    world.ports.log.append(&log, Seq::ZERO, vec![record]).await.unwrap();

    (world.shutdown, world.tracker) = Default::default();
    world.serve(None).await;

    let outputs = world.ended(&all(), id).await;
    assert_eq!((outputs[0].exit_code, outputs[0].order), (Some(-1), 0));
    let signal = std::os::unix::process::ExitStatusExt::signal(&left.wait().unwrap());
    assert_eq!(signal, Some(9));
    world.stop_command(id).await.unwrap();
    assert_eq!(world.outputs(&all(), id).await.len(), 1, "it ends once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_one_stream_does_not_hide_the_other() {
    let world = World::start().await;
    let started = world.start_command("yes & sleep 0.1; echo here >&2; wait", 60).await;
    let id = &started.command.id;
    eventually(async || world.outputs(&all(), id).await.into_iter().find(|output| output.stderr.is_some()))
        .await;
    world.stop_command(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_the_log_stores_nothing_twice() {
    let faults = Arc::new(Faults::default());
    let world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    faults.lose_answers.store(2, Ordering::SeqCst);

    let outputs = world.execute("echo once", 30).await;

    assert_eq!(outputs[0].stdout.as_deref(), Some("once\n"));
    assert_eq!(world.events(&all()).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_arrives_after_its_answer_was_given_up_is_stored_once() {
    let faults = Arc::new(Faults::default());
    let world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    for late in 1..4 {
        faults.late.store(late, Ordering::SeqCst);
        let outputs = world.execute("echo once", 30).await;
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        assert_eq!(world.events(&all()).await.len(), 2 * late, "a command and its output each time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_worker_stores_no_bash_events() {
    let world = World::start().await;
    world.execute("true", 5).await;
    let log = LogId::bash(&SandboxId::shared(), types::BashScope::Sandbox);
    let fence = br#"{"control":{"type":"fence","epoch":7}}"#;
    let tail = world.ports.log.tail(&log).await.unwrap();
    let fenced = world.ports.log.append(&log, tail, vec![fence.to_vec().into()]).await.unwrap().tail();

    for _ in 0..2 {
        let request = ExecuteBashRequest { command: "true".into(), cwd: None, timeout: 5 };
        let call = BashCall::Start { scope: all(), request };
        let refused = world.bash::<BashStarted>(call).await.unwrap_err();
        assert_eq!(refused, Reason::Superseded.into());
    }
    assert_eq!(world.ports.log.tail(&log).await.unwrap(), fenced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_begins_once_it_is_stored_and_not_before() {
    let faults = Arc::new(Faults::default());
    let world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    faults.full.store(true, Ordering::SeqCst);
    let request = ExecuteBashRequest { command: "touch begun".into(), cwd: None, timeout: 60 };

    let refused = world.bash::<BashStarted>(BashCall::Start { scope: all(), request }).await.unwrap_err();

    assert_eq!(refused.code, Code::Unavailable);
    faults.full.store(false, Ordering::SeqCst);
    assert_eq!(world.execute("true", 5).await[0].exit_code, Some(0));
    let Some(BashEvent::BashCommand(first)) = world.events(&all()).await.into_iter().next() else {
        panic!("a log begins with a command")
    };
    let outputs = world.ended(&all(), &first.id).await;
    assert!(outputs[0].stderr.as_deref().unwrap().contains("was not begun"), "{outputs:?}");
    assert!(!world.path("begun").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_an_end_whatever_its_log_refuses() {
    let faults = Arc::new(Faults::default());
    let world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    *faults.forbidden.lock().unwrap() = Some("never");

    let outputs = world.execute("printf 'nev%s' er; exec sleep 60", 60).await;

    assert_eq!((outputs.len(), outputs[0].exit_code), (1, Some(-1)), "{outputs:?}");
    let text = outputs[0].stderr.as_deref().unwrap();
    assert!(text.contains("could not be stored") && !text.contains("/var/lib"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_has_written_is_kept_however_long_the_log_takes() {
    let faults = Arc::new(Faults::default());
    let world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    let command =
        "echo $$ > pid; until [ -e go ]; do sleep 0.01; done; head -c 1500000 /dev/zero | tr '\\0' x";
    let started = world.start_command(command, 60).await;
    let pid = eventually(async || {
        std::fs::read_to_string(world.path("pid")).ok().filter(|pid| pid.ends_with('\n'))
    })
    .await;
    faults.stuck.store(true, Ordering::SeqCst);
    std::fs::write(world.path("go"), "").unwrap();
    eventually(async || (!is_alive(pid.trim())).then_some(())).await;
    // Longer than background children are waited for: what is in the pipe is no child's.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    faults.stuck.store(false, Ordering::SeqCst);

    let outputs = world.ended(&all(), &started.command.id).await;

    let printed: usize = outputs.iter().filter_map(|output| output.stdout.as_deref()).map(str::len).sum();
    assert_eq!((printed, outputs.last().unwrap().exit_code), (1_500_000, Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_a_command_does_not_bring_a_removed_log_back() {
    let world = World::start().await;
    let started = world.start_command("echo $$ > pid; while echo more; do sleep 0.01; done", 60).await;
    eventually(async || world.outputs(&all(), &started.command.id).await.pop()).await;
    let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);

    world.ports.log.delete(&log).await.unwrap();

    let pid = world.sh("cat pid");
    eventually(async || (!is_alive(&pid)).then_some(())).await;
    assert_eq!(world.ports.log.tail(&log).await.unwrap(), Seq::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_somebody_else_deleted_is_begun_anew() {
    let world = World::start().await;
    world.execute("echo 1", 30).await;
    world.ports.log.delete(&LogId::bash(&SandboxId::shared(), types::BashScope::Sandbox)).await.unwrap();
    assert_eq!(world.execute("echo 2", 30).await[0].stdout.as_deref(), Some("2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_a_nul_byte_is_refused() {
    let world = World::start().await;
    let request = ExecuteBashRequest { command: "echo \0".into(), cwd: None, timeout: 5 };
    let refused = world.bash::<BashStarted>(BashCall::Start { scope: all(), request }).await.unwrap_err();
    assert_eq!(refused.code, Code::Invalid);
    let request = ExecuteBashRequest { command: "true".into(), cwd: Some("/tmp\0".into()), timeout: 5 };
    let started: BashStarted = world.bash(BashCall::Start { scope: all(), request }).await.unwrap();
    assert_eq!(world.ended(&all(), &started.command.id).await[0].exit_code, Some(-1));
}
