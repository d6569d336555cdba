//! Which sandbox serves a call, and how its worker is woken.

use std::time::{Duration, Instant};

use crate::harness::cluster::{World, create_body, start, start_idle, start_on};
use crate::harness::noted::Noted;
use crate::harness::tokens::{bearer, token};
use crate::harness::worker::Script;
use crate::harness::{Config, until};
use control::placement::Policy;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use testing::socket::Socket;
use types::buckets::{ALLOCATIONS, LEASES, PLACES};
use types::calls::Command;
use types::placement::{Allocation, Want};
use types::{Epoch, SandboxId, Seq, subjects};

pub fn with_message(working_dir: &str, run: bool) -> Value {
    let mut body = create_body(working_dir);
    body["initial_message"] =
        json!({"role": "user", "content": [{"type": "text", "text": "go"}], "run": run});
    body
}

pub fn messages(world: &World, sandbox: &SandboxId) -> usize {
    let worker = world.supervisor.worker(sandbox).unwrap();
    worker.seen().iter().filter(|command| matches!(command, Command::Message { .. })).count()
}

/// How often a run was wished for.
pub fn runs(world: &World, sandbox: &SandboxId) -> usize {
    let is_run =
        |command: &&Command| matches!(command, Command::Run { .. } | Command::Message { run: true, .. });
    world.supervisor.worker(sandbox).unwrap().seen().iter().filter(is_run).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_starts_its_worker_and_waits_for_it() {
    let world = start(Policy::Shared).await;
    // Who saw the warm one taken may have named another, which nobody has started.
    let other = world.wanted(&SandboxId::shared()).await;
    assert!(other.as_ref().is_none_or(|other| other.want == Want::Paused), "{other:?}");
    assert_eq!(world.gateway().bash("/api", None).await, 200);
    assert_eq!(world.wanted(&SandboxId::shared()).await.unwrap().want, Want::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_is_told_at_once_and_with_its_reason() {
    let world = start(Policy::Shared).await;
    world.supervisor.fail_with("The image is not there.");
    let begun = Instant::now();
    let body = json!({"command": "true"});
    let request = world.gateway().request(Method::POST, "/api/bash/start_bash_command").json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["detail"], "The image is not there.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_wrote_at_its_end_is_told_to_administrators_alone() {
    let world = start_idle(Policy::Shared, 1, |config| config.site.bearer = Some(bearer())).await;
    world.supervisor.begin().await;
    world.supervisor.fail_with("The worker ended.");
    let ask = async |method: Method, path: &str, body: Option<&Value>, rights: &str| {
        let request = world.gateway().request(method, path).bearer_auth(token("default", rights));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let made = ask(Method::POST, "/api/conversations", Some(&create_body("/tmp/w")), "read write").await;
    let id = made.1["id"].as_str().unwrap().to_owned();
    let command = json!({"command": "true"});
    let path = "/api/bash/start_bash_command";
    let (status, answer) = ask(Method::POST, path, Some(&command), "read write").await;
    assert_eq!((status, &answer["detail"]), (503, &json!("The worker ended.")));
    for (rights, log) in [("read write", ""), ("read admin", "last line")] {
        let (_, why) = ask(Method::GET, &format!("/api/conversations/{id}/why"), None, rights).await;
        assert_eq!(why["failure"]["message"], "The worker ended.", "{why}");
        assert_eq!(why["failure"]["log"], log, "{rights}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_there_before_its_worker_and_gets_its_first_message_once() {
    let world = start_idle(Policy::Conversation, 2, |_| {}).await;
    let [first, second] = world.gateways.as_slice() else { panic!("two gateways") };
    let id = first.create_from(with_message("/tmp/w", false)).await;
    until(async || second.get(&format!("/api/conversations/{id}")).await.0 == 200).await;
    let events = format!("/api/conversations/{id}/events");
    assert_eq!(second.get(&format!("{events}/search")).await.1["items"], json!([]));

    let more = json!({"role": "user", "content": [{"type": "text", "text": "more"}], "run": false});
    let said = second.post(&events, more);
    let (said, ()) = tokio::join!(said, world.supervisor.begin());
    assert_eq!(said, (200, json!({"success": true})));

    until(async || world.record(&id).await.undelivered.is_none()).await;
    assert_eq!(first.messages(&id).await, ["go", "more"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_that_nobody_delivers_any_more_is_delivered_by_the_next_gateway() {
    let mut world = start_idle(Policy::Conversation, 1, |_| {}).await;
    world.supervisor.fail_with("The image is not there.");
    world.supervisor.begin().await;
    let id = world.gateway().create_from(with_message("/tmp/w", true)).await;
    let sandbox = world.sandbox_of(&id).await;
    // Neither its workspace could be made nor its message delivered.
    until(async || {
        let allocation: Option<Allocation> = world.read(ALLOCATIONS, sandbox.as_str()).await;
        allocation.is_some_and(|allocation| allocation.epoch >= Epoch(2))
    })
    .await;
    world.supervisor.recover();
    assert!(world.record(&id).await.undelivered.is_some());
    world.add_gateway(Policy::Conversation).await;
    until(async || world.record(&id).await.undelivered.is_none()).await;
    world.gateway().until_status(&id, "finished").await;
    assert_eq!((messages(&world, &sandbox), runs(&world, &sandbox)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_stays_while_a_child_of_its_conversation_is_in_it() {
    let world = start(Policy::Conversation).await;
    let gateway = world.gateway();
    let parent = gateway.create_from(create_body("/tmp/w")).await;
    let mut body = create_body("/tmp/w");
    body["parent_conversation_id"] = json!(parent);
    let child = gateway.create_from(body).await;
    let sandbox = world.sandbox_of(&parent).await;
    assert_eq!(world.sandbox_of(&child).await, sandbox);
    assert_eq!(gateway.delete(&format!("/api/conversations/{parent}")).await.0, 200);
    assert_ne!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
    assert_eq!(gateway.bash(&format!("/api/conversations/{child}"), None).await, 200);
    assert_eq!(gateway.delete(&format!("/api/conversations/{child}")).await.0, 200);
    assert_eq!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_that_want_the_same_warm_sandbox_one_gets_it() {
    let world = start_idle(Policy::Conversation, 2, |_| {}).await;
    let warm = world.supervisor.add_to_pool("warm").await;
    world.until_lease(&warm).await;
    let [first, second] = world.gateways.as_slice() else { panic!("two gateways") };
    let (one, other) =
        tokio::join!(first.create_from(create_body("/tmp/w")), second.create_from(create_body("/tmp/w")));
    let (one, other) = (world.record(&one).await, world.record(&other).await);
    assert_ne!(one.sandbox, other.sandbox);
    let owner = [&one, &other].into_iter().find(|record| record.sandbox == warm).expect("it was free");
    let wanted = world.wanted(&warm).await.unwrap();
    assert_eq!((wanted.tenant, wanted.place), (Some(owner.tenant.clone()), owner.id.hex()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_share_is_a_warm_sandbox_if_there_is_one() {
    let world = start_idle(Policy::Shared, 2, |_| {}).await;
    let warm = world.supervisor.add_to_pool("warm").await;
    world.until_lease(&warm).await;
    let [first, second] = world.gateways.as_slice() else { panic!("two gateways") };
    let (one, other) =
        tokio::join!(first.create_from(create_body("/tmp/w")), second.create_from(create_body("/tmp/w")));
    assert_eq!([world.sandbox_of(&one).await, world.sandbox_of(&other).await], [warm.clone(), warm.clone()]);
    assert!(world.wanted(&warm).await.unwrap().is_claimed, "whether there is room for it is not known yet");
    world.supervisor.begin().await;
    assert_eq!(first.bash("/api", None).await, 200);
    assert_eq!(world.wanted(&warm).await.unwrap().place, "default");
    // Who saw the warm one taken may have named another, which nobody has started.
    let other = world.wanted(&SandboxId::shared()).await;
    assert!(other.as_ref().is_none_or(|other| other.want == Want::Paused), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_that_few_use_takes_no_warm_sandbox_from_conversations() {
    let world = start_idle(Policy::Conversation, 1, |_| {}).await;
    let warm = world.supervisor.add_to_pool("warm").await;
    world.until_lease(&warm).await;
    let gateway = world.gateway();
    assert_eq!(gateway.get("/api/bash/bash_events/search").await.0, 200);
    let id = gateway.create_from(create_body("/tmp/w")).await;
    assert_eq!(world.sandbox_of(&id).await, warm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_agree_on_the_sandbox_of_a_place() {
    let world = start_idle(Policy::Workspace, 2, |_| {}).await;
    let [first, second] = world.gateways.as_slice() else { panic!("two gateways") };
    let (one, other) = tokio::join!(
        first.create_from(create_body("/workspace/a")),
        second.create_from(create_body("/workspace/a/b"))
    );
    let sandbox = world.sandbox_of(&one).await;
    assert_eq!(sandbox, world.sandbox_of(&other).await);
    assert_ne!(sandbox, SandboxId::shared());
    let elsewhere = first.create_from(create_body("/tmp")).await;
    assert_eq!(world.sandbox_of(&elsewhere).await, SandboxId::shared());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_has_a_sandbox_of_its_own_if_it_asks_for_one() {
    let world = start_idle(Policy::Shared, 1, |_| {}).await;
    let gateway = world.gateway();
    let (_, info) = gateway.get("/server_info").await;
    assert_eq!(info["conversation_runtime"], "local");
    assert_eq!(info["available_conversation_runtimes"], json!(["local", "docker"]));
    let mut sandboxes = Vec::new();
    for runtime in ["local", "local", "docker"] {
        let mut body = create_body("/workspace/a");
        body["conversation_runtime"] = json!(runtime);
        sandboxes.push(world.sandbox_of(&gateway.create_from(body).await).await);
    }
    assert_eq!(sandboxes[0], sandboxes[1]);
    assert_ne!(sandboxes[0], sandboxes[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scoped_calls_go_to_the_conversations_sandbox_and_others_to_the_default() {
    let world = start(Policy::Conversation).await;
    let gateway = world.gateway();
    let id = gateway.create_from(create_body("/workspace/a")).await;
    let own = world.sandbox_of(&id).await;
    world.until_lease(&own).await;
    let running =
        async |sandbox: &SandboxId| world.wanted(sandbox).await.is_some_and(|w| w.want == Want::Running);
    assert_eq!(gateway.bash(&format!("/api/conversations/{id}"), None).await, 200);
    assert!(!running(&SandboxId::shared()).await, "nobody has asked for the default sandbox");
    assert_eq!(gateway.bash("/api", Some("/workspace/a")).await, 200);
    assert!(running(&SandboxId::shared()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_by_their_working_directory_where_directories_have_sandboxes() {
    let world = start(Policy::Workspace).await;
    assert_eq!(world.gateway().bash("/api", Some("/workspace/a/b")).await, 200);
    let place: SandboxId = world.read(PLACES, "default.61").await.unwrap();
    world.until_lease(&place).await;
    assert!(world.wanted(&SandboxId::shared()).await.is_none(), "nobody has asked for the default one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_needs_no_worker_and_wakes_none() {
    let world = start_idle(Policy::Conversation, 1, |config| {
        if let control::Mode::Cluster(cluster) = &mut config.control.mode {
            cluster.patience = Duration::from_millis(10);
        }
    })
    .await;
    let id = world.gateway().create_from(create_body("/tmp/w")).await;
    let record = world.record(&id).await;
    let begun = Instant::now();
    assert_eq!(world.gateway().delete(&format!("/api/conversations/{id}")).await.0, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(world.wanted(&record.sandbox).await.unwrap().want, Want::Deleted);
    let place = world.ports.kv.list(PLACES).await.unwrap();
    assert!(place.is_empty(), "{place:?}");
    assert_eq!(world.gateway().get(&format!("/api/conversations/{id}")).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shared_sandbox_is_paused_with_its_last_conversation() {
    let world = start(Policy::Shared).await;
    let gateway = world.gateway();
    let (one, other) =
        (gateway.create_from(create_body("/tmp/w")).await, gateway.create_from(create_body("/tmp/w")).await);
    world.until_lease(&SandboxId::shared()).await;
    gateway.delete(&format!("/api/conversations/{one}")).await;
    assert_eq!(world.wanted(&SandboxId::shared()).await.unwrap().want, Want::Running);
    let epoch = world.until_lease(&SandboxId::shared()).await.epoch;
    gateway.delete(&format!("/api/conversations/{other}")).await;
    assert_eq!(world.wanted(&SandboxId::shared()).await.unwrap().want, Want::Running, "it may be at work");
    until(async || {
        world.supervisor.renew_idle(&SandboxId::shared(), epoch, 5).await;
        world.wanted(&SandboxId::shared()).await.unwrap().want == Want::Paused
    })
    .await;
    let wanted = world.wanted(&SandboxId::shared()).await.unwrap();
    assert_eq!(wanted.quiet_after, Some(0), "a call that comes at the same moment is not cut off");
    assert_eq!(gateway.bash("/api", None).await, 200, "and comes back when it is needed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_conversation_gives_its_worker_back_when_its_step_is_over() {
    let world = start(Policy::Conversation).await;
    let gateway = world.gateway();
    let id = gateway.create_from(with_message("/tmp/w", false)).await;
    let sandbox = world.sandbox_of(&id).await;
    let epoch = world.until_lease(&sandbox).await.epoch;
    assert_eq!(gateway.post(&format!("/api/conversations/{id}/pause"), json!({})).await.0, 200);
    assert_eq!(gateway.status(&id).await, "paused");
    assert_eq!(world.wanted(&sandbox).await.unwrap().want, Want::Running, "a step may still be under way");
    world.supervisor.renew(&sandbox, epoch).await;
    until(async || world.wanted(&sandbox).await.unwrap().want == Want::Paused).await;
    // This supervisor asks no worker whether it may end, so none must be called before the gateway knows of its end.
    let why = format!("/api/conversations/{id}/why");
    until(async || gateway.get(&why).await.1["lease"].is_null()).await;
    assert_eq!(gateway.post(&format!("/api/conversations/{id}/run"), json!({})).await.0, 200);
    gateway.until_status(&id, "finished").await;

    let epoch = world.until_lease(&sandbox).await.epoch;
    assert_eq!(gateway.post(&format!("/api/conversations/{id}/pause"), json!({})).await.0, 200);
    until(async || {
        world.supervisor.renew(&sandbox, epoch).await;
        world.wanted(&sandbox).await.unwrap().want == Want::Paused
    })
    .await;
    assert_eq!(gateway.status(&id).await, "finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_sandbox_rests_with_its_only_conversation_and_not_while_it_is_used() {
    let world = start(Policy::Shared).await;
    let (gateway, sandbox) = (world.gateway(), SandboxId::shared());
    let id = gateway.create_from(with_message("/tmp/w", false)).await;
    let epoch = world.until_lease(&sandbox).await.epoch;
    let other = gateway.create_from(with_message("/tmp/w", false)).await;
    let rested = async || world.wanted(&sandbox).await.unwrap().want == Want::Paused;
    assert_eq!(gateway.post(&format!("/api/conversations/{other}/pause"), json!({})).await.0, 200);
    world.supervisor.renew_idle(&sandbox, epoch, 5).await;
    let (status, _) = gateway.delete(&format!("/api/conversations/{other}")).await;
    assert!(status < 300 && !rested().await, "another conversation is in it");

    assert_eq!(gateway.post(&format!("/api/conversations/{id}/pause"), json!({})).await.0, 200);
    world.supervisor.renew(&sandbox, epoch).await;
    assert_eq!(gateway.bash("/api", None).await, 200);
    assert!(!rested().await, "a command was under way");
    until(async || {
        world.supervisor.renew_idle(&sandbox, epoch, 5).await;
        rested().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_worker_is_told_of_the_runs_its_predecessor_left() {
    let world = start(Policy::Shared).await;
    let gateway = world.gateway();
    let id = gateway.create_from(create_body("/tmp/w")).await;
    let sandbox = SandboxId::shared();
    world.until_lease(&sandbox).await;
    let worker = world.supervisor.worker(&sandbox).unwrap();
    worker.script(|script| script.takes = Duration::from_secs(3_600));
    assert_eq!(gateway.post(&format!("/api/conversations/{id}/run"), json!({})).await.0, 200);
    world.supervisor.kill(&sandbox, false).await;
    gateway.until_status(&id, "error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_took_is_made_again_and_a_taken_one_is_not() {
    let mut noted = None;
    let world = start_on(Policy::Shared, 1, |_| {}, |ports| noted = Some(Noted::within(ports))).await;
    let (gateway, sandbox) = (world.gateway(), SandboxId::shared());
    gateway.create_from(with_message("/tmp/w", false)).await;
    until(async || world.wanted(&sandbox).await.is_some_and(|wanted| wanted.want == Want::Running)).await;
    world.supervisor.lease(&sandbox).await;
    let calling = gateway.bash("/api", None);
    let (noted, subject) = (noted.unwrap(), subjects::command_to(&sandbox, Some(Epoch(1)), "bash"));
    let coming = async {
        until(async || noted.missed(&subject)).await;
        world.supervisor.start(&sandbox).await;
    };
    let (status, ()) = tokio::join!(calling, coming);
    assert_eq!(status, 200);
    until(async || messages(&world, &sandbox) > 0).await;
    until(async || {
        world.ports.log.tail(&types::LogId::bash(&sandbox, types::BashScope::Sandbox)).await.unwrap().0 > 0
    })
    .await;
    assert_eq!(messages(&world, &sandbox), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_frozen_worker_took_is_given_up_with_its_epoch_and_not_made_again() {
    let world = start_idle(Policy::Shared, 1, |_| {}).await;
    let (gateway, sandbox) = (world.gateway(), SandboxId::shared());
    gateway.create_from(with_message("/tmp/w", false)).await;
    until(async || world.wanted(&sandbox).await.is_some_and(|wanted| wanted.want == Want::Running)).await;
    let subject = subjects::command_to(&sandbox, Some(Epoch(1)), "bash");
    let mut frozen = world.ports.bus.subscribe(&subject, None).await.unwrap();
    world.supervisor.lease(&sandbox).await;
    let taken = async {
        frozen.next().await.unwrap();
        let begun = Instant::now();
        world.supervisor.start(&sandbox).await;
        begun
    };
    let body = json!({"command": "true"});
    let (answer, lost_at) = tokio::join!(gateway.post("/api/bash/start_bash_command", body), taken);
    assert_eq!(answer.0, 503, "{}", answer.1);
    assert!(answer.1["detail"].as_str().unwrap().contains("was lost"), "{}", answer.1);
    assert!(lost_at.elapsed() < Duration::from_secs(5), "{:?}", lost_at.elapsed());
    assert_eq!(gateway.bash("/api", None).await, 200);
    let log = types::LogId::bash(&sandbox, types::BashScope::Sandbox);
    let commands = world.ports.log.read_all(&log, Seq::ZERO).await.unwrap();
    let is_command = |entry: &&ports::Record| entry.payload.windows(11).any(|text| text == b"BashCommand");
    assert_eq!(commands.iter().filter(is_command).count(), 1, "the one that was made afterwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_worker_that_ends_is_told_so_within_seconds() {
    let world = start_idle(Policy::Shared, 1, |_| {}).await;
    let (gateway, sandbox) = (world.gateway(), SandboxId::shared());
    let ways: [fn(&mut Script); 2] = [|script| script.mute = true, |script| script.endless = true];
    for way in ways {
        world.supervisor.start(&sandbox).await;
        assert_eq!(gateway.bash("/api", None).await, 200);
        let worker = world.supervisor.worker(&sandbox).unwrap();
        worker.script(way);
        let (before, begun) = (worker.bash_calls(), Instant::now());
        let body = json!({"command": "true", "timeout": 3_600});
        let ending = async {
            until(async || worker.bash_calls() > before).await;
            world.supervisor.kill(&sandbox, false).await;
        };
        let ((status, answer), ()) =
            tokio::join!(gateway.post("/api/bash/execute_bash_command", body), ending);
        assert_eq!(status, 503, "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_worker_that_still_listens_is_asked_nothing() {
    let world = start(Policy::Shared).await;
    let (gateway, sandbox) = (world.gateway(), SandboxId::shared());
    let id = gateway.create_from(create_body("/tmp/w")).await;
    let first = world.until_lease(&sandbox).await.epoch;
    let stale = world.supervisor.worker(&sandbox).unwrap();
    let before = stale.seen().len();
    world.supervisor.start(&sandbox).await;
    until(async || world.until_lease(&sandbox).await.epoch > first).await;
    let said = json!({"role": "user", "content": [{"type": "text", "text": "hello"}], "run": false});
    for _ in 0..10 {
        let (status, _) = gateway.post(&format!("/api/conversations/{id}/events"), said.clone()).await;
        assert_eq!(status, 200);
    }
    assert_eq!((messages(&world, &sandbox), stale.seen().len()), (10, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_wakes_nobody() {
    let world = start_idle(Policy::Shared, 1, |_| {}).await;
    let gateway = world.gateway();
    for path in [
        "/api/conversations/search",
        "/api/conversations/count",
        "/api/bash/bash_events/search",
        "/ready",
        "/server_info",
    ] {
        assert_eq!(gateway.get(path).await.0, 200, "{path}");
    }
    let wanted = world.wanted(&SandboxId::shared()).await;
    assert!(wanted.is_none_or(|wanted| wanted.want == Want::Paused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_tells_whether_its_sandbox_is_at_hand() {
    let world = start_idle(Policy::Conversation, 1, |_| {}).await;
    let gateway = world.gateway();
    let id = gateway.create_from(with_message("/tmp/w", true)).await;
    let path = format!("/api/conversations/{id}");
    let runtime = async || gateway.get(&format!("{path}/runtime")).await.1;
    until(async || runtime().await["runtime_status"] == "starting").await;
    world.supervisor.begin().await;
    gateway.until_status(&id, "finished").await;
    until(async || runtime().await["runtime_status"] == "available").await;

    let sandbox = world.sandbox_of(&id).await;
    world.supervisor.fail_with("The disk is full.");
    world.supervisor.kill(&sandbox, false).await;
    gateway.bash(&path, None).await;
    let failed = json!({
        "runtime_status": "error",
        "can_resume": true,
        "runtime_error": {"code": "image_missing", "message": "The disk is full."},
    });
    until(async || runtime().await == failed).await;
    assert_eq!(gateway.get(&path).await.1["runtime_info"], failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_tells_what_a_conversation_waits_for() {
    let world = start_idle(Policy::Conversation, 1, |_| {}).await;
    let gateway = world.gateway();
    let id = gateway.create_from(with_message("/tmp/w", true)).await;
    let why = async || gateway.get(&format!("/api/conversations/{id}/why")).await.1;
    let sandbox = world.sandbox_of(&id).await;
    until(async || why().await["blocked_by"] == "worker_starting").await;
    world.supervisor.begin().await;
    gateway.until_status(&id, "finished").await;
    let found = why().await;
    assert_eq!((&found["blocked_by"], &found["status"]), (&Value::Null, &json!("finished")));
    assert_eq!((&found["sandbox"], &found["epoch"]), (&json!(sandbox), &json!(1)));
    assert_eq!(found["lease"]["epoch"], 1);

    let worker = world.supervisor.worker(&sandbox).unwrap();
    worker.script(|script| script.takes = Duration::from_secs(3_600));
    assert_eq!(gateway.post(&format!("/api/conversations/{id}/run"), json!({})).await.0, 200);
    let found = why().await;
    assert_eq!(found["blocked_by"], "model");
    assert!(found["since"].as_str().unwrap().ends_with('Z'));

    world.supervisor.fail_with("The disk is full.");
    world.supervisor.kill(&sandbox, false).await;
    gateway.bash(&format!("/api/conversations/{id}"), None).await;
    until(async || why().await["blocked_by"] == "start_failed").await;
    assert_eq!(why().await["failure"]["message"], "The disk is full.");
    assert_eq!(gateway.get(&format!("/api/conversations/{}/why", uuid::Uuid::nil())).await.0, 404);
    assert!(world.ports.kv.get(LEASES, sandbox.as_str()).await.unwrap().is_none(), "it was not woken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_ready_calls_no_run_running_that_is_over() {
    let mut world = start_idle(Policy::Shared, 1, |_| {}).await;
    let sandbox = SandboxId::shared();
    world.supervisor.start(&sandbox).await;
    let worker = world.supervisor.worker(&sandbox).unwrap();
    worker.script(|script| script.takes = Duration::from_secs(3_600));
    let id = world.gateway().create_from(with_message("/tmp/w", true)).await;
    world.gateway().until_status(&id, "running").await;
    world.supervisor.kill(&sandbox, false).await;
    world.add_gateway(Policy::Shared).await;
    let gateway = &world.gateways[1];
    assert_eq!(gateway.get("/ready").await.0, 503);
    world.supervisor.start(&sandbox).await;
    until(async || gateway.get("/ready").await.0 == 200).await;
    assert_eq!(gateway.status(&id).await, "error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_stays_open_however_long_its_message_waits_for_a_worker() {
    let often = |config: &mut Config| config.limits.ping_every = Duration::from_millis(50);
    let world = start_idle(Policy::Shared, 1, often).await;
    let gateway = world.gateway();
    let id = gateway.create_from(create_body("/tmp/w")).await;
    let mut socket = Socket::open(&format!("ws://{}/sockets/events/{id}", gateway.address)).await;
    socket.next().await;
    socket.send(json!({"role": "user", "content": "hi"}).to_string()).await;
    socket.until_pinged(5).await;
    world.supervisor.begin().await;
    socket.until(|frame| frame["kind"] == "MessageEvent").await;
}
