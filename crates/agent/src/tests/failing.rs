//! Models that fail, misbehave or go round in circles.

use serde_json::json;
use types::conversation::Status;
use types::event::{Classification, EventBody};
use types::model::FailureKind;

use crate::protocol::{Input, LogItem};

use super::sim::Sim;
use super::support::{call, completion, copy, failure, shape, shell, think};

#[test]
fn a_failed_model_call_is_an_error_the_user_sees_and_the_next_run_goes_on() {
    let mut sim = Sim::started(copy());
    sim.model(Err(failure(FailureKind::Other, "LLMRateLimitError")));
    assert_eq!(sim.news(), ["status=error", "Error(LLMRateLimitError)", "run_ended"]);
    let error = sim.last(|body| match body {
        EventBody::ConversationErrorEvent(error) => Some(error.clone()),
        _ => None,
    });
    assert_eq!(error.classification, Some(Classification::new("rate_limit", true, "retry")));
    sim.run();
    assert_eq!(sim.news(), ["status=running"]);
    assert_eq!(sim.conversation(), ["system", "user: Hello."]);
}

#[test]
fn a_secret_that_cannot_be_had_ends_every_run_until_the_model_is_given_anew() {
    let mut copy = copy();
    copy.broken_secret = Some("The key is lost.".to_owned());
    let mut sim = Sim::new(copy);
    sim.say("Hello.");
    sim.news();
    sim.run();
    assert!(sim.calling.is_none());
    assert_eq!(sim.news(), ["status=running", "status=error", "Error(SecretUnavailable)", "run_ended"]);
    let llm = types::agent::LlmConfig::default();
    sim.input(Input::SwitchLlm { llm, vision: true }).unwrap();
    sim.news();
    sim.run();
    assert_eq!(sim.news(), ["status=running"]);
    assert!(sim.calling.is_some());
}

#[test]
fn the_iteration_limit_ends_a_run_and_the_next_one_counts_anew() {
    let mut copy = copy();
    copy.max_iterations = 2;
    let mut sim = Sim::started(copy);
    for round in 0..2 {
        for n in [1, 2] {
            sim.answer("", vec![shell(&format!("c{round}{n}"), &format!("echo {round}{n}"))]);
            sim.news();
            sim.observe("ok");
        }
        let observed = format!("Observation(c{round}2)");
        assert_eq!(sim.news(), [&observed, "status=error", "Error(MaxIterationsReached)", "run_ended"]);
        sim.run();
        sim.news();
    }
    let detail = sim.last(|body| match body {
        EventBody::ConversationErrorEvent(error) => Some(error.detail.clone()),
        _ => None,
    });
    assert_eq!(detail, "Agent reached maximum iterations limit (2).");
}

#[test]
fn an_unknown_tool_is_told_to_the_model() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![call("c1", "no_such_tool", json!({"a": 1}))]);
    assert_eq!(sim.news(), ["usage", "Action(no_such_tool, invalid)", "AgentError(c1)", "stats"]);
    assert_eq!(
        sim.conversation()[3],
        "c1: Tool 'no_such_tool' not found. Available: ['terminal', 'file_editor', 'finish', 'think']"
    );
}

#[test]
fn an_empty_answer_is_asked_about_and_three_in_a_row_are_stuck() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![]);
    assert_eq!(sim.news(), ["usage", "Message(agent)", "stats", "Message(environment)"]);
    assert_eq!(sim.conversation().len(), 2, "empty answers are not sent back");
    sim.answer(" \n", vec![]);
    sim.answer("", vec![]);
    assert_eq!(sim.status(), Status::Stuck);
    assert!(!sim.agent.is_running());
}

#[test]
fn the_same_command_with_the_same_result_is_stuck_at_the_fourth_time() {
    let mut sim = Sim::started(copy());
    for n in 0..4 {
        sim.answer("", vec![shell(&format!("c{n}"), "echo same")]);
        sim.news();
        sim.observe("same");
    }
    assert_eq!(sim.news(), ["Observation(c3)", "status=stuck", "run_ended"]);
    sim.say("Try another way.");
    assert_eq!(sim.news(), ["status=idle", "Message(user)", "last_user_message_id"]);
    sim.run();
    assert!(sim.calling.is_some());
}

#[test]
fn the_same_invalid_call_is_nudged_after_the_third_and_stuck_after_the_fourth() {
    let mut sim = Sim::started(copy());
    for n in 0..3 {
        sim.answer("", vec![call(&format!("c{n}"), "terminal", json!({"cmd": "ls"}))]);
    }
    assert_eq!(sim.shapes().last().unwrap(), "Message(environment)");
    sim.news();
    sim.answer("", vec![call("c3", "terminal", json!({"cmd": "ls"}))]);
    let log = ["usage", "Action(terminal, invalid)", "AgentError(c3)", "stats", "status=stuck", "run_ended"];
    assert_eq!(sim.news(), log);
}

#[test]
fn circles_are_allowed_when_detection_is_off() {
    let mut copy = copy();
    copy.stuck_detection = false;
    let mut sim = Sim::started(copy);
    for n in 0..8 {
        sim.answer("", vec![shell(&format!("c{n}"), "echo same")]);
        sim.observe("same");
    }
    assert!(sim.calling.is_some());
}

#[test]
fn a_withheld_answer_is_rephrased_and_where_that_does_not_help_it_is_an_error() {
    let mut sim = Sim::started(copy());
    let withheld = || Err(failure(FailureKind::ContentPolicy, "LLMContentPolicyViolationError"));
    sim.model(withheld());
    assert_eq!(sim.news(), ["Message(environment)"]);
    sim.model(withheld());
    sim.answer("", vec![think("c1")]);
    sim.model(withheld());
    sim.model(withheld());
    sim.model(withheld());
    assert_eq!(sim.status(), Status::Running, "what may have caused it is left out");
    sim.model(withheld());
    sim.model(withheld());
    assert_eq!(sim.status(), Status::Error);
}

#[test]
fn no_answer_of_a_model_makes_an_event_above_the_frame_limit_of_clients() {
    const FRAME: usize = 1 << 20;
    let mut sim = Sim::started(copy());
    let long = |text: &str| text.repeat(1 << 20);
    let calls = vec![
        shell("c1", &long("x")),
        shell("c2", &long("\u{1}")),
        call("c3", "terminal", json!({long("key"): 1})),
        call("c4", "no_such_tool", json!({"text": long("é")})),
        call(&long("id"), "terminal", json!({"command": "true"})),
        shell("c6", "true"),
    ];
    let mut answer = completion(&long("chatcmpl"), &long("word "), calls);
    answer.message.reasoning_content = Some(long("thought "));
    answer.message.thinking_blocks = vec![json!({"signature": long("s")})];
    sim.model(Ok(answer));
    assert_eq!(sim.running.len(), 1, "the calls that are not too long are made");
    sim.observe("ok");
    sim.observe("ok");
    sim.answer(&long("done "), Vec::new());
    for item in &sim.log {
        let LogItem::Event(event) = item else { continue };
        let size = serde_json::to_string(event).unwrap().len();
        assert!(size < FRAME, "{size} bytes of {:?}", shape(item));
    }
    let complaints = sim.log.iter().filter(|item| shape(item).starts_with("AgentError("));
    assert_eq!(complaints.count(), 4);
}
