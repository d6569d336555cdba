//! Histories that a provider refuses: no run fails as the one before it.

use serde_json::json;
use types::content::{Content, Message, Role};
use types::conversation::Status;
use types::event::{Condensation, EventBody};
use types::model::{Completion, FailureKind, ModelFailure};

use super::sim::Sim;
use super::support::{condensing_copy, copy, failure, finish, shell};
use crate::protocol::Input;

fn no(kind: FailureKind) -> Result<Completion, ModelFailure> {
    Err(failure(kind, "LLMBadRequestError"))
}

fn steps(sim: &mut Sim, count: usize) {
    for n in 1..=count {
        sim.answer("", vec![shell(&format!("c{n}"), &format!("echo {n}"))]);
        sim.observe(&format!("output {n} {}", "x".repeat(1_000)));
    }
}

fn condensation(sim: &Sim) -> Condensation {
    sim.last(|body| match body {
        EventBody::Condensation(condensation) => Some(condensation.clone()),
        _ => None,
    })
}

fn error(sim: &Sim) -> String {
    sim.last(|body| match body {
        EventBody::ConversationErrorEvent(error) => Some(error.code.clone()),
        _ => None,
    })
}

#[test]
fn what_is_new_becomes_words_where_the_provider_refuses_it_and_that_is_noted_once_it_has_helped() {
    for kind in [FailureKind::Refused, FailureKind::MalformedHistory] {
        let mut sim = Sim::started(copy());
        steps(&mut sim, 3);
        sim.news();
        sim.model(no(kind));
        assert_eq!(sim.news(), Vec::<String>::new(), "nothing is noted yet");
        let said = sim.conversation();
        assert_eq!(said[..6].join("|").matches("assistant").count(), 2);
        assert!(said[6].starts_with("user: Earlier parts") && said[6].contains("output 3"), "{}", said[6]);
        assert!(said[6].contains("has refused this part as it was (LLMBadRequestError happened.)"));
        let asked = said.clone();
        sim.answer("", vec![shell("c4", "ls")]);
        assert_eq!(sim.news()[..2], ["Condensation", "usage"]);
        assert_eq!(condensation(&sim).forgotten_event_ids.len(), 2);
        sim.observe("a");
        assert_eq!(sim.conversation()[..7], asked[..], "and stays so");
        let known = sim.agent.ask("?").messages;
        sim.crash();
        assert_eq!(sim.agent.ask("?").messages, known, "also for the next worker");
    }
}

#[test]
fn where_the_newest_part_is_not_what_is_refused_all_of_it_becomes_words() {
    let mut sim = Sim::started(copy());
    steps(&mut sim, 3);
    sim.model(no(FailureKind::Refused));
    sim.model(no(FailureKind::Refused));
    let said = sim.conversation();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!((1..=3).all(|n| said[1].contains(&format!("output {n}"))), "{}", said[1]);
    sim.answer("", vec![finish("f")]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn what_has_not_helped_has_changed_nothing() {
    let mut sim = Sim::started(copy());
    steps(&mut sim, 3);
    let before = sim.conversation();
    sim.news();
    for _ in 0..3 {
        sim.model(no(FailureKind::Refused));
    }
    assert_eq!(sim.news(), ["status=error", "Error(LLMBadRequestError)", "run_ended"]);
    sim.run();
    assert_eq!(sim.conversation(), before);
    sim.model(no(FailureKind::Refused));
    sim.model(Err(failure(FailureKind::Other, "LLMRateLimitError")));
    assert_eq!(error(&sim), "LLMRateLimitError", "what came in between is told");
}

#[test]
fn plain_words_of_the_user_are_not_made_words_again() {
    let mut sim = Sim::started(copy());
    sim.model(no(FailureKind::Refused));
    assert_eq!(sim.status(), Status::Error);
}

#[test]
fn a_message_with_an_image_that_is_refused_becomes_words() {
    let mut sim = Sim::new(copy());
    sim.input(Input::SwitchLlm { llm: types::agent::LlmConfig::default(), vision: true }).unwrap();
    let image =
        Content::Image { cache_prompt: false, image_urls: vec!["data:image/png;base64,AA==".to_owned()] };
    let message = Message { content: vec![Content::text("Look."), image], ..Message::new(Role::User, "") };
    sim.input(Input::Message { message, sender: None, id: None }).unwrap();
    sim.run();
    sim.model(no(FailureKind::Refused));
    assert!(sim.conversation()[1].contains("<user>\nLook."), "{:?}", sim.conversation());
    sim.answer("I cannot see it.", vec![]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn without_a_condenser_a_long_history_loses_its_beginning() {
    let mut sim = Sim::started(copy());
    steps(&mut sim, 8);
    sim.model(no(FailureKind::ContextWindow));
    let said = sim.conversation();
    assert!(said.len() > 4 && said[1].contains("echo 1") && said.last().unwrap().contains("output 8"));
    sim.model(no(FailureKind::ContextWindow));
    assert!(sim.conversation().len() < said.len());
    sim.answer("", vec![finish("f")]);
    assert_eq!(sim.status(), Status::Finished);
    let made = condensation(&sim);
    assert!(made.forgotten_event_ids.len() > 8, "{made:?}");
}

#[test]
fn a_result_that_makes_a_history_too_long_is_cut_and_the_rest_stays() {
    let mut sim = Sim::started(copy());
    steps(&mut sim, 2);
    sim.answer("", vec![shell("c9", "cat all")]);
    sim.observe(&"y".repeat(60_000));
    sim.model(no(FailureKind::ContextWindow));
    let said = sim.conversation();
    assert_eq!(said.len(), 7, "{said:?}");
    assert!(said[6].contains("yyy") && said[6].len() < 10_000);
}

#[test]
fn a_message_that_is_too_long_for_the_model_by_itself_does_not_end_the_conversation() {
    let mut sim = Sim::new(copy());
    sim.say(&format!("Read this: {}", "z".repeat(100_000)));
    sim.run();
    sim.model(no(FailureKind::ContextWindow));
    let said = sim.conversation();
    assert!(said[1].contains("Read this: zzz") && said[1].len() < 5_000, "{}", said[1].len());
    sim.answer("It is too long for me.", vec![]);
    sim.say("Then leave it.");
    sim.run();
    assert!(sim.conversation().join("").len() < 6_000);
}

#[test]
fn what_a_provider_forbids_is_left_out_when_rephrasing_does_not_help() {
    let mut sim = Sim::started(copy());
    steps(&mut sim, 2);
    for _ in 0..3 {
        sim.model(no(FailureKind::ContentPolicy));
    }
    let said = sim.conversation();
    assert!(said.len() == 5 && !said[4].contains("output 2"), "{said:?}");
    assert!(said[4].contains("so it was left out"));
    sim.model(no(FailureKind::ContentPolicy));
    assert_eq!(sim.conversation().len(), 2);
    sim.model(no(FailureKind::ContentPolicy));
    assert_eq!(sim.status(), Status::Error);
}

#[test]
fn a_condenser_that_will_never_answer_is_done_without() {
    for kind in [FailureKind::Other, FailureKind::ContentPolicy, FailureKind::Refused] {
        let mut sim = Sim::started(condensing_copy(80, 4));
        steps(&mut sim, 7);
        sim.model(no(FailureKind::ContextWindow));
        assert_eq!(sim.calling.as_ref().unwrap().1, "condenser");
        sim.model(Err(failure(kind, "LLMAuthenticationError")));
        let (_, who, request) = sim.calling.clone().unwrap();
        assert_eq!((who.as_str(), request.messages.len()), ("agent", 16), "{kind:?}");
        sim.model(no(FailureKind::ContextWindow));
        assert!(sim.conversation().len() < 16);
        sim.answer("", vec![finish("f")]);
        sim.say("More.");
        sim.run();
        assert_eq!(sim.calling.as_ref().unwrap().1, "agent", "the wish is fulfilled");
    }
}

#[test]
fn a_message_that_comes_while_it_is_tried_is_not_lost() {
    let mut sim = Sim::started(copy());
    steps(&mut sim, 2);
    sim.model(no(FailureKind::Refused));
    sim.say("Stop that.");
    sim.answer("Done.", vec![]);
    let said = sim.conversation();
    assert!(said.iter().any(|line| line.contains("Stop that.")), "{said:?}");
    assert_eq!(json!(sim.status()), "running");
}
