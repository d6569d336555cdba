//! Histories that are too long.

use types::conversation::Status;
use types::event::{Condensation, EventBody};
use types::model::FailureKind;

use super::sim::Sim;
use super::support::{condensing_copy, copy, failure, finish, shell, think};
use crate::protocol::{Input, Refusal};

fn too_long() -> Result<types::model::Completion, types::model::ModelFailure> {
    Err(failure(FailureKind::ContextWindow, "LLMContextWindowExceedError"))
}

fn steps(sim: &mut Sim, count: usize) {
    for n in 1..=count {
        sim.answer("", vec![shell(&format!("c{n}"), &format!("echo {n}"))]);
        sim.observe(&format!("{n}"));
    }
}

fn condensation(sim: &Sim) -> Condensation {
    sim.last(|body| match body {
        EventBody::Condensation(condensation) => Some(condensation.clone()),
        _ => None,
    })
}

#[test]
fn a_prompt_that_is_too_long_is_condensed_and_the_run_goes_on() {
    let mut sim = Sim::started(condensing_copy(80, 4));
    steps(&mut sim, 7);
    sim.news();
    sim.model(too_long());
    assert_eq!(sim.news(), ["CondensationRequest"]);
    let (_, usage_id, request) = sim.calling.clone().unwrap();
    assert_eq!((usage_id.as_str(), request.tools.len(), request.messages.len()), ("condenser", 0, 2));
    sim.answer("A summary.", vec![]);
    assert_eq!(sim.news(), ["usage", "Condensation", "stats"]);
    let made = condensation(&sim);
    assert_eq!((made.forgotten_event_ids.len(), made.summary_offset), (10, Some(4)));
    let heading = "user: Earlier parts of this conversation were left out to save space. What happened in them:\n\nA summary.";
    assert_eq!(
        sim.conversation(),
        ["system", "user: Hello.", "assistant: [c1]", "c1: 1", heading, "assistant: [c7]", "c7: 7"]
    );
    sim.answer("", vec![finish("f")]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn many_events_are_condensed_before_they_are_too_long_and_again_later() {
    let mut sim = Sim::started(condensing_copy(8, 2));
    steps(&mut sim, 4);
    assert_eq!(sim.calling.as_ref().unwrap().1, "condenser");
    sim.answer("First.", vec![]);
    assert_eq!(condensation(&sim).summary_offset, Some(2));
    steps(&mut sim, 3);
    assert_eq!(sim.calling.as_ref().unwrap().1, "condenser");
    let asked = types::content::joined_text(&sim.calling.as_ref().unwrap().2.messages[1].content);
    assert!(asked.contains("<earlier_summary>") && asked.contains("First."), "{asked}");
    sim.answer("Second.", vec![]);
    let view = sim.conversation().join("\n");
    assert!(view.contains("Second.") && !view.contains("First."), "{view}");
}

#[test]
fn without_a_condenser_a_long_prompt_is_an_error() {
    let mut sim = Sim::started(copy());
    sim.model(too_long());
    assert_eq!(sim.news(), ["status=error", "Error(LLMContextWindowExceedError)", "run_ended"]);
}

#[test]
fn a_prompt_that_stays_too_long_ends_in_an_error() {
    let mut sim = Sim::started(condensing_copy(80, 4));
    steps(&mut sim, 7);
    for _ in 0..2 {
        sim.model(too_long());
        sim.answer("A summary.", vec![]);
    }
    for _ in 0..8 {
        if sim.calling.is_some() {
            sim.model(too_long());
        }
    }
    assert_eq!(sim.status(), Status::Error);
}

#[test]
fn a_failing_condenser_is_put_up_with_where_the_run_can_go_on_without() {
    let mut sim = Sim::started(condensing_copy(8, 2));
    steps(&mut sim, 4);
    sim.news();
    sim.model(Err(failure(FailureKind::Other, "LLMTimeoutError")));
    assert_eq!(sim.news(), Vec::<String>::new());
    assert_eq!(sim.calling.as_ref().unwrap().1, "agent");
    sim.answer("", vec![think("t")]);
    assert_eq!(sim.calling.as_ref().unwrap().1, "agent");
}

#[test]
fn a_failing_condenser_is_an_error_where_it_is_needed() {
    let mut sim = Sim::started(condensing_copy(80, 4));
    steps(&mut sim, 7);
    sim.model(too_long());
    sim.news();
    sim.model(Err(failure(FailureKind::Other, "LLMTimeoutError")));
    assert_eq!(sim.news(), ["status=error", "Error(LLMTimeoutError)", "run_ended"]);
    sim.run();
    assert_eq!(sim.calling.as_ref().unwrap().1, "condenser", "the request is still unanswered");
}

#[test]
fn the_user_can_ask_for_a_condensation_between_runs() {
    let mut sim = Sim::started(condensing_copy(80, 2));
    steps(&mut sim, 5);
    sim.answer("Done.", vec![]);
    sim.news();
    sim.input(Input::Condense).unwrap();
    assert_eq!(sim.news(), ["CondensationRequest"]);
    sim.answer("A summary.", vec![]);
    assert_eq!(sim.news(), ["usage", "Condensation", "stats"]);
    assert_eq!((sim.status(), sim.agent.is_running()), (Status::Finished, false));
}

#[test]
fn a_run_that_comes_while_the_history_is_condensed_starts_behind_it() {
    let mut sim = Sim::started(condensing_copy(80, 2));
    steps(&mut sim, 5);
    sim.answer("Done.", vec![]);
    sim.input(Input::Condense).unwrap();
    sim.say("More.");
    sim.run();
    sim.news();
    sim.answer("A summary.", vec![]);
    assert_eq!(sim.calling.as_ref().unwrap().1, "agent");
    assert_eq!(sim.status(), Status::Running);
}

#[test]
fn with_actions_that_wait_the_condensation_comes_with_the_next_step() {
    let mut copy = condensing_copy(80, 2);
    copy.confirmation_policy = types::policy::ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::started(copy);
    sim.answer("", vec![shell("c1", "ls")]);
    sim.news();
    sim.input(Input::Condense).unwrap();
    assert_eq!(sim.news(), ["CondensationRequest"]);
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
    sim.run();
    sim.observe("a b");
    assert_eq!(sim.calling.as_ref().unwrap().1, "condenser");
}

#[test]
fn condensing_is_refused_where_there_is_nothing_to_do_it_with() {
    let mut sim = Sim::started(copy());
    assert!(matches!(sim.input(Input::Condense), Err(Refusal::Invalid(_))));
    let mut sim = Sim::new(condensing_copy(80, 2));
    assert!(matches!(sim.input(Input::Condense), Err(Refusal::Invalid(_))));
}

#[test]
fn a_condensed_history_is_the_same_after_a_restart() {
    let mut sim = Sim::started(condensing_copy(80, 4));
    steps(&mut sim, 7);
    sim.model(too_long());
    sim.answer("A summary.", vec![]);
    let before = sim.agent.ask("?").messages;
    sim.crash();
    assert_eq!(sim.agent.ask("?").messages, before);
}
