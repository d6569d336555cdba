//! Stopping and going on.

use types::conversation::Status;

use super::sim::{Sim, observation};
use super::support::{copy, finish, shell};
use crate::protocol::{Input, ToolOutcome};

fn input(sim: &mut Sim, input: Input) {
    sim.input(input).unwrap();
}

#[test]
fn a_pause_before_anything_ran_is_stored_below_the_root() {
    let mut sim = Sim::new(copy());
    input(&mut sim, Input::Pause);
    assert_eq!(sim.news(), ["status=paused", "Pause", "run_ended"]);
    sim.say("Work.");
    assert_eq!(sim.status(), Status::Paused);
    sim.run();
    assert_eq!(sim.status(), Status::Running);
}

#[test]
fn a_pause_shows_at_once_and_the_step_in_flight_is_finished() {
    let mut sim = Sim::started(copy());
    input(&mut sim, Input::Pause);
    assert_eq!(sim.news(), ["status=paused", "Pause", "run_ended"]);
    assert!(sim.agent.is_running());
    sim.answer("", vec![shell("c1", "echo one")]);
    assert_eq!(sim.news(), ["usage", "Action(terminal)", "stats"]);
    sim.observe("one");
    assert_eq!(sim.news(), ["Observation(c1)", "run_ended"]);
    assert_eq!(sim.status(), Status::Paused);
    assert!(!sim.agent.is_running());
    input(&mut sim, Input::Pause);
    assert_eq!(sim.news(), ["run_ended"]);
}

#[test]
fn a_run_before_the_pause_took_effect_goes_on() {
    let mut sim = Sim::started(copy());
    input(&mut sim, Input::Pause);
    sim.news();
    sim.run();
    assert_eq!(sim.news(), ["status=running"]);
    sim.answer("", vec![shell("c1", "ls")]);
    sim.observe("a");
    assert!(sim.calling.is_some());
}

#[test]
fn a_step_that_ends_the_run_finishes_in_spite_of_a_pause() {
    let mut sim = Sim::started(copy());
    input(&mut sim, Input::Pause);
    sim.answer("", vec![finish("c1")]);
    assert_eq!(sim.status(), Status::Finished);
    sim.news();
    input(&mut sim, Input::Pause);
    assert_eq!(sim.news(), ["run_ended"]);
}

#[test]
fn an_interrupt_cancels_the_model() {
    let mut sim = Sim::started(copy());
    input(&mut sim, Input::Interrupt);
    assert_eq!(sim.news(), ["status=paused", "Interrupt", "run_ended"]);
    assert!(sim.calling.is_none());
    input(&mut sim, Input::Interrupt);
    assert_eq!(sim.news(), ["run_ended"]);
}

#[test]
fn an_interrupt_closes_every_open_call() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "echo 1"), shell("c2", "sleep 30"), shell("c3", "echo 3")]);
    sim.observe("1");
    let (running, ..) = sim.running[0].clone();
    sim.news();
    input(&mut sim, Input::Interrupt);
    assert_eq!(sim.news(), ["AgentError(c2)", "AgentError(c3)", "status=paused", "Interrupt", "run_ended"]);
    sim.finish_tool(running, ToolOutcome::Observed(observation("late")));
    assert_eq!(sim.news(), Vec::<String>::new(), "a late result is passed over");
    sim.run();
    let expected = [
        "c1: 1",
        "c2: Tool call interrupted before completion. The conversation was paused.",
        "c3: Tool call cancelled by interrupt.",
    ];
    assert_eq!(sim.conversation()[3..], expected);
}

#[test]
fn an_interrupt_during_a_pause_ends_the_step() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "sleep 30")]);
    input(&mut sim, Input::Pause);
    sim.news();
    input(&mut sim, Input::Interrupt);
    assert_eq!(sim.news(), ["AgentError(c1)", "Interrupt", "run_ended"]);
    assert!(!sim.agent.is_running());
}

#[test]
fn a_late_answer_is_counted_and_otherwise_passed_over() {
    let mut sim = Sim::started(copy());
    let (call, ..) = sim.calling.clone().unwrap();
    input(&mut sim, Input::Interrupt);
    sim.news();
    let late = super::support::completion("late", "Hi.", vec![]);
    input(&mut sim, Input::ModelAnswered { call, result: Ok(late) });
    assert_eq!(sim.news(), ["usage", "stats"]);
    assert_eq!(sim.status(), Status::Paused);
}
