//! What a conversation costs by its length: the work always, the time when asked for (see CONTRIBUTING.md).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::counted::Counts;
use crate::support::{World, finish, message, terminal, until};
use bytes::Bytes;
use serde_json::{Value, json};
use types::log::LogRecord;
use types::{ConversationId, Seq};

const MESSAGES: usize = 40;
const STEPS: usize = 20;
/// Steps between two condensations.
const CONDENSED: u64 = 100;
/// Events from one condensation to the next. Lengths that differ by such leave a model with as much to read.
const CYCLE: u64 = 3 * CONDENSED + 1;
const SHORT: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_costs_no_more_work_when_it_is_long() {
    let short = work(SHORT).await;
    let long = work(SHORT + 20 * CYCLE).await;
    assert!(long.opening.0 <= 20 && long.opening.1 <= 6, "{long:?}");
    assert_eq!((long.going_on, long.step.0), ((0, 0), (0, 0)), "{long:?}");
    assert!(long.step.1 * 5 <= short.step.1 * 6, "{short:?} {long:?}");
}

/// Records and pages that were read.
type Read = (usize, usize);

#[derive(Debug)]
struct Work {
    /// By a worker that starts anew.
    opening: Read,
    /// For messages at once and after a rest.
    going_on: Read,
    /// And the bytes that its model was sent.
    step: (Read, usize),
}

async fn work(events: u64) -> Work {
    let counts = Arc::new(Counts::default());
    let read = || (counts.records(), counts.pages());
    let mut world = World::with(|config| config.remembered_from = 0, |ports| counts.count(ports)).await;
    let id = world.create_with(|copy| copy.max_iterations = 10_000);
    grow(&world, id, events).await;
    world.say(id, "has a snapshot made", false).await.unwrap();
    world.stop_worker().await;
    world.start_worker().await;
    read();
    world.say(id, "the first after a start", false).await.unwrap();
    let opening = read();
    world.say(id, "one more", false).await.unwrap();
    world.after_a_rest(id, || message("one more", false)).await;
    let going_on = read();
    world.model.will([terminal("echo 1"), finish()]);
    world.say(id, "go", true).await.unwrap();
    until(async || world.model.asked() == 2).await;
    let sent = world.model.requests().pop().unwrap().to_string().len();
    Work { opening, going_on, step: (read(), sent) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn what_a_conversation_costs_by_its_length() {
    println!("store   events   opened cold   RSS grew   message p50/p95   after a rest p50/p95   step");
    for events in [SHORT, SHORT + 67 * CYCLE, SHORT + 333 * CYCLE] {
        measure("files", World::start().await, events).await;
        measure("NATS ", World::on_nats(|_| {}, |_| {}).await, events).await;
    }
}

async fn measure(store: &str, mut world: World, events: u64) {
    let id = world.create_with(|copy| copy.max_iterations = 10_000);
    grow(&world, id, events).await;
    world.say(id, "has a snapshot made", false).await.unwrap();
    world.stop_worker().await;
    world.start_worker().await;
    let before = resident();
    let begun = Instant::now();
    world.say(id, "the first after a start", false).await.unwrap();
    let (opened, grew) = (begun.elapsed(), resident().saturating_sub(before));
    let at_once = messages(&world, id, Duration::ZERO).await;
    let rested = messages(&world, id, world.config.idle_after * 2).await;
    let step = step(&world, id).await;
    println!(
        "{store}   {events:>6}   {opened:>11.1?}   {grew:>5} MiB   {:>7.1?}/{:.1?}   {:>7.1?}/{:.1?}   {step:.1?}",
        at_once.0, at_once.1, rested.0, rested.1
    );
}

/// p50 and p95 of messages with a pause before each.
async fn messages(world: &World, id: ConversationId, pause: Duration) -> (Duration, Duration) {
    let mut took = Vec::new();
    for _ in 0..MESSAGES {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        world.say(id, "one more", false).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    (took[MESSAGES / 2], took[MESSAGES * 95 / 100])
}

/// The mean of the steps of a run.
async fn step(world: &World, id: ConversationId) -> Duration {
    world.model.will((0..STEPS).map(|at| terminal(&format!("echo {at}"))).chain([finish()]));
    let (asked, begun) = (world.model.asked(), Instant::now());
    world.say(id, "go", true).await.unwrap();
    while world.model.asked() <= asked + STEPS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed() / u32::try_from(STEPS).unwrap();
    world.wait_status(id, "finished").await;
    took
}

/// Fills the log with steps, condensed as a long conversation is.
async fn grow(world: &World, id: ConversationId, events: u64) {
    let log = world.log(id);
    let (mut n, mut tail, mut since) = (0, Seq::ZERO, Vec::new());
    let mut records = Vec::new();
    let mut add = |records: &mut Vec<Bytes>, event: Value| {
        records.push(LogRecord::event(n, &event).unwrap().encode().unwrap().into());
        n += 1;
        n
    };
    add(
        &mut records,
        event("prompt", "agent", "SystemPromptEvent", json!({"system_prompt": text("Do it.")})),
    );
    let message = json!({"llm_message": {"role": "user", "content": [text("A long task.")]}});
    add(&mut records, event("task", "user", "MessageEvent", message));
    for at in 0_u64.. {
        let (action, call, seen) = (format!("a{at}"), format!("call_{at}"), format!("o{at}"));
        let arguments = json!({"command": format!("grep -n {at} file")});
        add(
            &mut records,
            event(
                &action,
                "agent",
                "ActionEvent",
                json!({
            "thought": [text(&"I look into it. ".repeat(10))], "tool_name": "terminal", "tool_call_id": call,
            "action": {"kind": "TerminalAction", "command": format!("grep -n {at} file")},
            "tool_call": {"id": call, "name": "terminal", "arguments": arguments.to_string()},
            "llm_response_id": format!("r{at}")}),
            ),
        );
        add(
            &mut records,
            event(
                &seen,
                "environment",
                "ObservationEvent",
                json!({
            "tool_name": "terminal", "tool_call_id": call, "action_id": action,
            "observation": {"kind": "TerminalObservation", "is_error": false,
                "content": [text(&"a line of output\n".repeat(30))]}}),
            ),
        );
        since.extend([action, seen]);
        let stats = json!({"key": "stats", "value": {"usage_to_metrics": {}}});
        let now =
            add(&mut records, event(&format!("s{at}"), "environment", "ConversationStateUpdateEvent", stats));
        if at % CONDENSED == CONDENSED - 1 {
            let forgotten = std::mem::replace(&mut since, vec![format!("c{at}-summary")]);
            add(
                &mut records,
                event(
                    &format!("c{at}"),
                    "environment",
                    "Condensation",
                    json!({
                "forgotten_event_ids": forgotten, "summary": "Looked.", "summary_offset": 2,
                "llm_response_id": format!("c{at}")}),
                ),
            );
        }
        if records.len() > 500 || now >= events {
            let appended = world.ports.log.append(&log, tail, std::mem::take(&mut records)).await.unwrap();
            tail = *appended.seqs.last().unwrap();
        }
        if now >= events {
            return;
        }
    }
}

fn event(id: &str, source: &str, kind: &str, mut body: Value) -> Value {
    let head = [("id", id), ("source", source), ("kind", kind), ("timestamp", "2026-01-01T00:00:00.000001")];
    for (name, value) in head {
        body[name] = value.into();
    }
    body
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// MiB of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}
