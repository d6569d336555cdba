//! Actions that wait for the user.

use serde_json::json;
use types::EventId;
use types::conversation::Status;
use types::event::{EventBody, Risk};
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};

use super::sim::Sim;
use super::support::{call, copy, finish, shell, think};
use crate::protocol::{Input, Refusal};

fn asking() -> Sim {
    let mut copy = copy();
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    Sim::started(copy)
}

fn reject(sim: &mut Sim) {
    sim.input(Input::Respond { accept: false, reason: "Not that folder".to_owned(), actions: None }).unwrap();
}

fn accept(sim: &mut Sim) {
    sim.input(Input::Respond { accept: true, reason: String::new(), actions: None }).unwrap();
}

/// What waits, by the ids of its events.
fn waiting(sim: &Sim) -> Vec<EventId> {
    let actions = sim.events().filter(|event| matches!(event.body, EventBody::ActionEvent(_)));
    actions.map(|event| event.id.clone()).collect()
}

#[test]
fn a_refused_action_is_answered_with_the_reason_and_leaves_the_conversation_idle() {
    let mut sim = asking();
    sim.answer("", vec![shell("c1", "rm -rf build"), shell("c2", "ls")]);
    let log = [
        "usage",
        "Action(terminal)",
        "Action(terminal)",
        "stats",
        "status=waiting_for_confirmation",
        "run_ended",
    ];
    assert_eq!(sim.news(), log);
    reject(&mut sim);
    assert_eq!(sim.news(), ["status=idle", "Reject(c1)", "Reject(c2)"]);
    sim.run();
    assert_eq!(sim.conversation()[3], "c1: Action rejected: Not that folder");
}

#[test]
fn running_again_is_consent() {
    let mut sim = asking();
    sim.answer("", vec![shell("c1", "echo 1")]);
    sim.news();
    sim.run();
    assert_eq!(sim.news(), ["status=running"]);
    sim.observe("1");
    sim.answer("", vec![shell("c2", "echo 2")]);
    sim.news();
    accept(&mut sim);
    assert_eq!(sim.news(), ["status=running"]);
    accept(&mut sim);
    assert_eq!(sim.running.len(), 1, "accepting twice runs once");
}

#[test]
fn an_answer_that_names_actions_is_taken_only_while_these_wait_and_no_others() {
    let mut sim = asking();
    let answer = |sim: &mut Sim, accept, named: &[EventId]| {
        sim.input(Input::Respond { accept, reason: "No.".to_owned(), actions: Some(named.to_vec()) })
    };
    sim.answer(
        "",
        vec![shell("same", "echo 1"), call("x", "no_such_tool", json!({})), shell("c2", "echo 2")],
    );
    let all = waiting(&sim);
    let (first, third) = (all[0].clone(), all[all.len() - 1].clone());
    sim.news();
    for accept in [true, false] {
        for others in
            [&[first.clone()][..], &[], &[first.clone(), third.clone(), EventId("other".to_owned())]]
        {
            assert_eq!(answer(&mut sim, accept, others), Err(Refusal::OthersWait), "{others:?}");
        }
    }
    assert!(sim.running.is_empty() && sim.news().is_empty(), "nothing has changed");
    answer(&mut sim, true, &[third.clone(), first.clone()]).unwrap();
    assert_eq!(sim.status(), Status::Running);
    for named in [&[first.clone(), third][..], &[]] {
        assert_eq!(answer(&mut sim, true, named), Err(Refusal::OthersWait), "none waits");
    }
    sim.observe("1");
    sim.observe("2");
    sim.answer("", vec![shell("same", "rm -r /")]);
    assert_eq!(answer(&mut sim, true, &[first]), Err(Refusal::OthersWait), "it was another of that name");
    assert!(sim.running.is_empty());
    reject(&mut sim);
    for accept in [true, false] {
        assert_eq!(
            answer(&mut sim, accept, &[]),
            Err(Refusal::OthersWait),
            "nothing runs for the name of nothing"
        );
    }
    assert_eq!(sim.status(), Status::Idle);
}

#[test]
fn finish_or_think_alone_is_never_asked_about() {
    let mut sim = asking();
    sim.answer("", vec![think("c1")]);
    sim.answer("", vec![finish("c2")]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn a_batch_waits_as_a_whole() {
    let mut sim = asking();
    sim.answer("", vec![think("c1"), shell("c2", "ls")]);
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
    sim.news();
    sim.run();
    assert_eq!(sim.news(), ["status=running", "Observation(c1)"]);
    sim.observe("ls");
    assert!(sim.calling.is_some());
}

#[test]
fn refusing_when_nothing_waits_does_nothing() {
    let mut sim = asking();
    reject(&mut sim);
    assert_eq!(sim.news(), Vec::<String>::new());
    sim.answer("", vec![finish("c1")]);
    sim.news();
    reject(&mut sim);
    assert_eq!(sim.news(), Vec::<String>::new());
}

#[test]
fn a_message_while_actions_wait_does_not_cancel_them() {
    let mut sim = asking();
    sim.answer("", vec![shell("c1", "ls")]);
    sim.say("Wait, I changed my mind.");
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
    sim.run();
    sim.observe("a b");
    let expected = ["assistant: [c1]", "c1: a b", "user: Wait, I changed my mind."];
    assert_eq!(sim.conversation()[2..], expected, "the result stands with its call");
}

#[test]
fn the_models_own_estimate_decides_when_its_analyzer_is_set() {
    let mut sim = Sim::started(copy());
    sim.input(Input::SetSecurityAnalyzer(Some(SecurityAnalyzer::LLMSecurityAnalyzer))).unwrap();
    let risky = ConfirmationPolicy::ConfirmRisky { threshold: Risk::High, confirm_unknown: true };
    sim.input(Input::SetConfirmationPolicy(risky)).unwrap();
    assert_eq!(sim.news(), ["security_analyzer", "confirmation_policy"]);
    let rated = |id, risk| call(id, "terminal", json!({"command": id, "security_risk": risk}));

    sim.answer("", vec![rated("c1", "LOW")]);
    assert_eq!(sim.news(), ["usage", "Action(terminal)", "stats", "SecurityAnalysis"]);
    sim.observe("1");
    sim.answer("", vec![rated("c2", "HIGH")]);
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
    let (risks, action_id) = sim.last(|body| match body {
        EventBody::SecurityAnalysisEvent(analysis) => {
            Some((analysis.risks.clone(), analysis.risks.keys().next()?.clone()))
        }
        _ => None,
    });
    assert_eq!(risks[&action_id], json!("HIGH"));
    assert!(sim.events().any(|event| event.id.0 == action_id));
}

#[test]
fn without_an_analyzer_every_risk_is_unknown() {
    let mut copy = copy();
    copy.confirmation_policy =
        ConfirmationPolicy::ConfirmRisky { threshold: Risk::High, confirm_unknown: false };
    let mut sim = Sim::started(copy);
    sim.answer("", vec![call("c1", "terminal", json!({"command": "rm", "security_risk": "HIGH"}))]);
    assert_eq!(sim.running.len(), 1);
}

#[test]
fn a_changed_policy_is_remembered_by_the_log() {
    let mut sim = Sim::new(copy());
    sim.input(Input::SetConfirmationPolicy(ConfirmationPolicy::AlwaysConfirm)).unwrap();
    sim.crash();
    sim.say("Hello.");
    sim.run();
    sim.answer("", vec![shell("c1", "ls")]);
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
}
