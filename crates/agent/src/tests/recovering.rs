//! After a crash.

use types::conversation::Status;
use types::event::{Classification, EventBody};

use super::sim::Sim;
use super::support::{copy, setup, shell};
use crate::agent::Agent;
use crate::protocol::{Effect, Input, LogItem};
use crate::recover::GivenUp;
use types::policy::ConfirmationPolicy;

#[test]
fn every_call_under_way_is_closed_and_the_run_is_an_error() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "echo 1"), shell("c2", "sleep 25"), shell("c3", "echo 3")]);
    sim.observe("1");
    sim.news();
    sim.crash();
    assert_eq!(sim.news(), ["status=error", "AgentError(c2)", "AgentError(c3)", "run_ended"]);
    let error = sim.last(|body| match body {
        EventBody::AgentErrorEvent(error) => Some(error.clone()),
        _ => None,
    });
    assert_eq!(error.classification, Some(Classification::new("internal", false, "none")));
    assert!(error.error.contains("outcome is unknown"));
    sim.crash();
    assert_eq!(sim.news(), Vec::<String>::new(), "recovering twice changes nothing");
    sim.say("Go on.");
    sim.run();
    assert!(sim.calling.is_some());
}

#[test]
fn a_crash_while_the_model_thought_is_an_error_without_closed_calls() {
    let mut sim = Sim::started(copy());
    sim.crash();
    assert_eq!(sim.news(), ["status=error", "run_ended"]);
}

#[test]
fn actions_that_wait_for_the_user_still_wait_after_a_crash() {
    let mut copy = copy();
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::started(copy);
    sim.answer("", vec![shell("c1", "echo 1")]);
    sim.news();
    sim.crash();
    assert_eq!(sim.news(), Vec::<String>::new());
    sim.run();
    assert_eq!(sim.running.len(), 1);
}

#[test]
fn a_paused_step_that_crashed_is_closed_and_stays_paused() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "sleep 25")]);
    sim.input(Input::Pause).unwrap();
    sim.news();
    sim.crash();
    assert_eq!(sim.news(), ["AgentError(c1)", "run_ended"]);
    assert_eq!(sim.status(), Status::Paused);
}

#[test]
fn an_untouched_conversation_needs_no_recovery() {
    let mut sim = Sim::new(copy());
    sim.crash();
    sim.say("Hello.");
    sim.news();
    sim.crash();
    assert_eq!(sim.news(), Vec::<String>::new());
}

/// What a log takes that is full.
const LITTLE: usize = 16 << 10;

#[test]
fn however_many_calls_are_under_way_the_end_of_a_run_fits_into_a_full_log() {
    let mut sim = Sim::new(copy());
    let objective = "o".repeat(8_000);
    sim.input(Input::StartGoal { objective, max_iterations: 3, id: None }).unwrap();
    sim.answer("", (0..40).map(|at| shell(&format!("c{at}"), &format!("echo {at}"))).collect());
    sim.running.clear();
    sim.agent = Agent::new(setup(sim.copy.clone(), &sim.log));
    let effects = sim.agent.give_up(&GivenUp::NoRoom("There is no room."), &mut sim.env);
    let sizes = effects.iter().map(|effect| match effect {
        Effect::Append(items) => items.iter().map(size).sum::<usize>(),
        other => panic!("{other:?}"),
    });
    assert!(sizes.clone().all(|size| size < LITTLE), "{:?}", sizes.collect::<Vec<_>>());
    sim.news();
    sim.perform(effects);
    let news = sim.news();
    assert_eq!(news.iter().filter(|one| one.starts_with("AgentError(")).count(), 40);
    assert_eq!(news[news.len() - 2..], ["run_ended", "goal"]);
}

fn size(item: &LogItem) -> usize {
    match item {
        LogItem::Event(event) => serde_json::to_vec(event).unwrap().len(),
        LogItem::Control(control) => serde_json::to_vec(control).unwrap().len(),
    }
}
