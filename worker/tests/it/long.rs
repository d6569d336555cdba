//! A measurement, not a promise: what a conversation costs by its length. Prints a table; see CONTRIBUTING.md.

use std::time::{Duration, Instant};

use crate::support::{World, finish, terminal};
use bytes::Bytes;
use serde_json::{Value, json};
use types::log::LogRecord;
use types::{ConversationId, Seq};

const MESSAGES: usize = 40;
const STEPS: usize = 20;
/// Steps between two condensations.
const CONDENSED: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn what_a_conversation_costs_by_its_length() {
    println!("events   opened cold   RSS grew   message p50/p95   after a rest p50/p95   step");
    for events in [50, 20_000, 100_000] {
        let mut world = World::start().await;
        let id = world.create_with(|copy| copy.max_iterations = 10_000);
        grow(&world, id, events).await;
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
            "{events:>6}   {opened:>11.1?}   {grew:>5} MiB   {:>7.1?}/{:.1?}   {:>7.1?}/{:.1?}   {step:.1?}",
            at_once.0, at_once.1, rested.0, rested.1
        );
    }
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
    let ended = world.ended_runs(id).await;
    let begun = Instant::now();
    world.say(id, "go", true).await.unwrap();
    let asked = world.model.requests().len();
    while world.model.requests().len() < asked + STEPS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed() / u32::try_from(STEPS).unwrap();
    while world.ended_runs(id).await == ended {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    for at in 0.. {
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
            let forgotten = std::mem::take(&mut since);
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
