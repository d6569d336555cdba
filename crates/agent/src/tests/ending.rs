//! Answers that did not end by themselves.

use serde_json::json;
use types::conversation::Status;
use types::event::{Classification, EventBody};
use types::model::Ending;
use types::policy::ConfirmationPolicy;

use super::sim::Sim;
use super::support::{call, condensing_copy, copy, finish, shell, think};

const CUT: Ending = Ending::Cut { whole_calls: 0 };

fn cut_behind(whole_calls: usize) -> Ending {
    Ending::Cut { whole_calls }
}

fn error_of(sim: &Sim) -> (String, String) {
    sim.last(|body| match body {
        EventBody::ConversationErrorEvent(error) => Some((error.code.clone(), error.detail.clone())),
        _ => None,
    })
}

#[test]
fn a_call_that_was_cut_off_is_never_run_however_whole_it_looks() {
    let mut sim = Sim::started(copy());
    sim.answer_so(CUT, "Let me see.", vec![shell("c1", "rm -r build")]);
    assert_eq!(sim.news(), ["usage", "Action(terminal)", "AgentError(c1)", "stats"]);
    assert!(sim.running.is_empty());
    assert!(sim.conversation()[3].contains("cut at the output limit; this call was not run"));
}

#[test]
fn whole_calls_before_the_one_that_was_cut_off_are_run() {
    let mut sim = Sim::started(copy());
    let cut = call("c3", "terminal", json!({"cmd": 1}));
    sim.answer_so(cut_behind(1), "", vec![shell("c1", "echo 1"), shell("c2", "echo 2"), cut]);
    let log = [
        "usage",
        "Action(terminal)",
        "Action(terminal)",
        "AgentError(c2)",
        "Action(terminal, invalid)",
        "AgentError(c3)",
        "stats",
    ];
    assert_eq!(sim.news(), log);
    assert_eq!(sim.running.len(), 1);
    sim.observe("1");
    assert!(sim.conversation()[5].contains("this call was not run"), "{:?}", sim.conversation());
}

#[test]
fn a_cut_finish_call_finishes_nothing() {
    let mut sim = Sim::started(copy());
    sim.answer_so(CUT, "", vec![finish("f")]);
    assert_eq!(sim.status(), Status::Running);
    sim.answer_so(cut_behind(1), "", vec![finish("f2"), shell("c", "ls")]);
    assert_eq!(sim.status(), Status::Finished, "this one was whole");
}

#[test]
fn a_text_that_was_cut_off_is_gone_on_with() {
    let mut sim = Sim::started(copy());
    sim.answer_so(CUT, "The answer is fo", vec![]);
    assert_eq!(sim.news(), ["usage", "Message(agent)", "stats", "Message(environment)"]);
    let said = sim.conversation();
    assert_eq!(said[2], "assistant: The answer is fo");
    assert!(said[3].contains("Go on exactly where you stopped"), "{said:?}");
    sim.answer("rty-two.", vec![]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn an_answer_that_was_cut_off_before_it_said_anything_is_no_end() {
    let mut sim = Sim::started(copy());
    sim.answer_so(CUT, "", vec![]);
    assert_eq!(sim.status(), Status::Running);
    assert!(sim.conversation()[1].contains("before it said anything"), "{:?}", sim.conversation());
}

#[test]
fn three_cut_answers_in_a_row_are_an_error_that_says_what_to_do() {
    let mut sim = Sim::started(copy());
    sim.answer_so(CUT, "a", vec![]);
    sim.answer_so(CUT, "", vec![shell("c1", "ls")]);
    sim.answer_so(cut_behind(1), "", vec![think("t"), shell("c2", "ls")]);
    sim.answer_so(CUT, "", vec![]);
    sim.answer_so(CUT, "b", vec![]);
    assert_eq!(sim.status(), Status::Running, "something was done between them");
    sim.news();
    sim.answer_so(CUT, "", vec![finish("f")]);
    let log = [
        "usage",
        "Action(finish)",
        "AgentError(f)",
        "stats",
        "status=error",
        "Error(LLMOutputLimitError)",
        "run_ended",
    ];
    assert_eq!(sim.news(), log);
    let classified = sim.last(|body| match body {
        EventBody::ConversationErrorEvent(error) => error.classification.clone(),
        _ => None,
    });
    assert_eq!(classified, Classification::new("config", false, "settings"));
    sim.run();
    sim.answer_so(CUT, "", vec![]);
    assert_eq!(sim.status(), Status::Running, "the next run counts anew");
}

#[test]
fn calls_that_wait_for_the_user_are_the_whole_ones() {
    let mut copy = copy();
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::started(copy);
    sim.answer_so(cut_behind(1), "", vec![shell("c1", "echo 1"), shell("c2", "echo 2")]);
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
    sim.run();
    assert_eq!(sim.running.len(), 1);
    sim.observe("1");
    assert!(sim.calling.is_some());
}

#[test]
fn a_withheld_answer_never_finishes_a_task_and_none_of_its_calls_is_run() {
    let mut sim = Sim::started(copy());
    sim.answer_so(Ending::Withheld, "First you", vec![]);
    assert_eq!(sim.news(), ["usage", "Message(agent)", "stats", "Message(environment)"]);
    assert_eq!(sim.conversation()[2], "assistant: First you\n[The provider withheld the rest.]");
    sim.answer_so(Ending::Withheld, "", vec![shell("c1", "ls"), finish("f")]);
    assert!(sim.running.is_empty());
    assert_eq!(sim.status(), Status::Running);
    sim.answer_so(Ending::Withheld, "", vec![]);
    assert_eq!(sim.status(), Status::Error);
    assert_eq!(error_of(&sim).0, "LLMContentPolicyViolationError");
}

#[test]
fn a_paused_answer_is_kept_and_asked_for_the_rest_at_once_but_not_for_ever() {
    let mut sim = Sim::started(copy());
    sim.answer_so(Ending::Paused, "Searching", vec![]);
    assert_eq!(sim.news(), ["usage", "Message(agent)", "stats"]);
    assert_eq!(sim.conversation(), ["system", "user: Hello.", "assistant: Searching"]);
    for _ in 0..7 {
        sim.answer_so(Ending::Paused, "", vec![]);
        assert_eq!(sim.status(), Status::Running);
    }
    sim.answer_so(Ending::Paused, "", vec![]);
    assert_eq!(error_of(&sim).0, "LLMNoResponseError");
    sim.say("Go on.");
    sim.run();
    sim.answer_so(Ending::Paused, "", vec![shell("c1", "ls")]);
    assert_eq!(sim.running.len(), 1, "calls of a paused answer are whole");
}

#[test]
fn a_summary_that_was_cut_off_says_so_and_one_that_was_withheld_is_none() {
    let mut sim = Sim::started(condensing_copy(8, 2));
    for n in 0..4 {
        sim.answer("", vec![shell(&format!("c{n}"), &format!("echo {n}"))]);
        sim.observe("ok");
    }
    sim.answer_so(Ending::Withheld, "They ", vec![]);
    assert_eq!(sim.calling.as_ref().unwrap().1, "agent");
    sim.crash();
    sim.run();
    assert_eq!(sim.calling.as_ref().unwrap().1, "condenser");
    sim.answer_so(CUT, "They ran", vec![]);
    let summary = sim.last(|body| match body {
        EventBody::Condensation(condensation) => condensation.summary.clone(),
        _ => None,
    });
    assert_eq!(summary, "They ran\n[This summary was cut off here.]");
}
