//! HEAD is moved, and the conversation goes on from there.

use types::EventId;
use types::conversation::Status;
use types::event::EventBody;
use types::log::Control;
use types::policy::ConfirmationPolicy;

use super::sim::Sim;
use super::support::{condensing_copy, copy, finish, past_of, shell};
use crate::protocol::{Input, LogItem, Refusal};

/// The newest event that `pick` says yes to.
fn newest(sim: &Sim, pick: impl Fn(&EventBody) -> bool) -> EventId {
    sim.events().rev().find(|event| pick(&event.body)).expect("no such event").id.clone()
}

fn said(sim: &Sim) -> EventId {
    newest(sim, |body| matches!(body, EventBody::MessageEvent(_)))
}

fn called(sim: &Sim) -> EventId {
    newest(sim, |body| matches!(body, EventBody::ActionEvent(_)))
}

fn go_to(sim: &mut Sim, to: Option<&EventId>) -> Result<(), Refusal> {
    let past = past_of(&sim.log, to.map(EventId::as_str));
    sim.input(Input::Navigate { to: to.cloned(), past })
}

#[test]
fn an_agent_that_went_back_knows_nothing_of_the_branch_it_left() {
    let mut sim = Sim::started(copy());
    sim.answer("Hi.", vec![]);
    let hi = said(&sim);
    sim.say("Remember the blue door.");
    sim.run();
    sim.answer("I do.", vec![]);
    sim.news();
    go_to(&mut sim, Some(&hi)).unwrap();
    assert_eq!(sim.news(), ["head"]);
    sim.say("Which door?");
    sim.run();
    assert_eq!(sim.conversation(), ["system", "user: Hello.", "assistant: Hi.", "user: Which door?"]);
    sim.crash();
    sim.say("Again.");
    sim.run();
    let known = sim.conversation();
    assert!(!known.iter().any(|line| line.contains("blue")), "{known:?}");
    assert!(known.iter().any(|line| line.contains("Which door?")), "{known:?}");
}

#[test]
fn before_the_first_event_a_conversation_begins_anew() {
    let mut sim = Sim::started(copy());
    sim.answer("Hi.", vec![]);
    sim.news();
    go_to(&mut sim, None).unwrap();
    sim.say("Something else.");
    let begun = ["head", "SystemPrompt", "models", "status=idle", "Message(user)", "last_user_message_id"];
    assert_eq!(sim.news(), begun);
    sim.run();
    assert_eq!(sim.conversation(), ["system", "user: Something else."]);
}

#[test]
fn what_was_left_can_be_gone_back_to() {
    let mut sim = Sim::started(copy());
    sim.answer("Hi.", vec![]);
    let hi = said(&sim);
    sim.say("One.");
    let one = said(&sim);
    go_to(&mut sim, Some(&hi)).unwrap();
    sim.say("Two.");
    go_to(&mut sim, Some(&one)).unwrap();
    sim.run();
    assert_eq!(sim.conversation(), ["system", "user: Hello.", "assistant: Hi.", "user: One."]);
}

#[test]
fn an_open_call_of_a_left_branch_is_never_run() {
    let mut copy = copy();
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::started(copy);
    let hello = said(&sim);
    sim.answer("", vec![shell("c1", "rm -r /")]);
    go_to(&mut sim, Some(&hello)).unwrap();
    sim.crash();
    sim.input(Input::Respond { accept: true, reason: String::new(), actions: None }).unwrap();
    assert!(sim.running.is_empty(), "it is the model's turn");
    assert_eq!(sim.conversation(), ["system", "user: Hello."]);
}

#[test]
fn a_call_that_was_carried_out_is_not_carried_out_again_where_its_result_was_left() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "echo 1")]);
    let call = called(&sim);
    sim.observe("1");
    sim.answer("", vec![finish("c2")]);
    go_to(&mut sim, Some(&call)).unwrap();
    sim.news();
    sim.crash();
    assert_eq!(sim.news(), Vec::<String>::new(), "looking at it adds nothing");
    sim.say("Go on.");
    sim.run();
    assert!(sim.running.is_empty());
    let known = sim.conversation();
    assert!(known[3].starts_with("c1: ") && known[3].contains("not carried out now"), "{known:?}");
}

#[test]
fn a_call_that_was_gone_back_to_is_not_carried_out_after_a_condensation_either() {
    let mut sim = Sim::new(condensing_copy(80, 1));
    for at in 0..10 {
        sim.say(&format!("message {at}"));
    }
    sim.run();
    sim.answer("", vec![shell("c1", "echo 1")]);
    let call = called(&sim);
    sim.observe("1");
    sim.answer("", vec![finish("c2")]);
    go_to(&mut sim, Some(&call)).unwrap();
    sim.input(Input::Condense).unwrap();
    sim.run();
    sim.answer("A summary.", vec![]);
    sim.answer("", vec![shell("c3", "echo 2")]);
    let running: Vec<&EventId> = sim.running.iter().map(|(id, ..)| id).collect();
    assert!(running.len() == 1 && *running[0] != call, "{running:?}");
}

#[test]
fn head_is_not_moved_under_a_run() {
    let mut sim = Sim::started(copy());
    let hello = said(&sim);
    sim.news();
    assert_eq!(go_to(&mut sim, Some(&hello)), Err(Refusal::AlreadyRunning));
    assert_eq!(sim.news(), Vec::<String>::new());
}

#[test]
fn a_call_that_was_under_way_where_a_copy_was_made_is_not_carried_out_in_it() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "sleep 25")]);
    sim.running.clear();
    sim.log.push(LogItem::Control(Control::Forked { at: None, by: None }));
    sim.news();
    sim.crash();
    assert_eq!((sim.news(), sim.status()), (Vec::new(), Status::Idle));
    sim.run();
    assert!(sim.running.is_empty());
    assert!(sim.conversation()[3].contains("not carried out now"));
}

#[test]
fn who_goes_elsewhere_is_not_asked_any_more_what_waited() {
    let mut copy = condensing_copy(80, 1);
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::new(copy);
    for at in 0..10 {
        sim.say(&format!("message {at}"));
    }
    let first =
        sim.events().find(|event| matches!(event.body, EventBody::MessageEvent(_))).unwrap().id.clone();
    sim.run();
    sim.answer("", vec![shell("c1", "rm -r /")]);
    let waits = called(&sim);
    for to in [&first, &waits] {
        go_to(&mut sim, Some(&waits)).unwrap();
        sim.agent.status = Status::WaitingForConfirmation;
        sim.news();
        go_to(&mut sim, Some(to)).unwrap();
        assert_eq!(
            (sim.news(), sim.status()),
            (vec!["head".to_owned(), "status=idle".to_owned()], Status::Idle)
        );
    }
    sim.input(Input::Condense).unwrap();
    assert!(sim.calling.is_some(), "nothing keeps it waiting");
    assert!(sim.running.is_empty());
}
