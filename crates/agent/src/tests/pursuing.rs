//! Working towards a goal.

use serde_json::{Value, json};
use types::conversation::Status;
use types::event::EventBody;
use types::model::FailureKind;
use types::policy::ConfirmationPolicy;

use super::sim::Sim;
use super::support::{copy, failure, finish, shell};
use crate::protocol::{Input, Refusal};

fn start(sim: &mut Sim, max_iterations: u32) {
    let objective = "All tests pass.".to_owned();
    sim.input(Input::StartGoal { objective, max_iterations, id: None }).unwrap();
}

fn started(max_iterations: u32) -> Sim {
    let mut sim = Sim::new(copy());
    start(&mut sim, max_iterations);
    sim
}

/// The judge under way says so.
fn judge(sim: &mut Sim, complete: bool, missing: &str) {
    assert!(sim.is_judging());
    let score = if complete { 1.0 } else { 0.25 };
    sim.answer(&json!({"score": score, "complete": complete, "missing": missing}).to_string(), vec![]);
}

/// The newest that is told of the goal.
fn told(sim: &Sim) -> Value {
    sim.last(|body| match body {
        EventBody::ConversationStateUpdateEvent(update) if update.key == "goal" => update.value.clone(),
        _ => None,
    })
}

fn standing(sim: &Sim) -> (String, bool, u64) {
    let told = told(sim);
    let status = told["status"].as_str().unwrap().to_owned();
    (status, told["active"].as_bool().unwrap(), told["iteration"].as_u64().unwrap())
}

fn is(status: &str, active: bool, iteration: u64) -> (String, bool, u64) {
    (status.to_owned(), active, iteration)
}

#[test]
fn a_goal_is_worked_on_round_after_round_until_it_is_reached() {
    let mut sim = started(3);
    let begun = ["SystemPrompt", "models", "goal", "Message(user)", "last_user_message_id", "status=running"];
    assert_eq!(sim.news(), begun);
    assert_eq!(sim.conversation(), ["system", "user: All tests pass."]);
    assert_eq!(standing(&sim), is("running", true, 0));
    sim.answer("", vec![shell("c1", "cargo test")]);
    sim.observe("1 failed");
    sim.answer("", vec![finish("c2")]);
    let asked = sim.conversation();
    assert!(
        asked[1].contains("<goal>\nAll tests pass.\n</goal>") && asked[1].contains("1 failed"),
        "{asked:?}"
    );
    sim.news();
    judge(&mut sim, false, "One test fails.");
    let followed =
        ["usage", "stats", "goal", "status=idle", "Message(user)", "last_user_message_id", "status=running"];
    assert_eq!(sim.news(), followed);
    assert_eq!(standing(&sim), is("running", true, 1));
    assert_eq!(
        told(&sim)["verdict"],
        json!({"score": 0.25, "complete": false, "missing": "One test fails."})
    );
    assert!(sim.conversation().last().unwrap().contains("One test fails."));
    sim.answer("Now they do.", vec![]);
    judge(&mut sim, true, "");
    assert_eq!(standing(&sim), is("complete", false, 2));
    assert!(!sim.agent.is_running());
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn a_goal_that_is_not_reached_is_capped_and_cannot_be_gone_on_with() {
    let mut sim = started(1);
    sim.answer("I tried.", vec![]);
    judge(&mut sim, false, "Everything.");
    assert_eq!(standing(&sim), is("capped", false, 1));
    assert_eq!(sim.input(Input::ResumeGoal), Err(Refusal::Invalid("no_resumable_goal".to_owned())));
}

#[test]
fn a_run_that_is_stuck_is_judged() {
    let mut sim = started(3);
    for at in 0..3 {
        sim.answer(" ", vec![]);
        assert_eq!(sim.is_judging(), at == 2);
    }
    assert_eq!(sim.status(), Status::Stuck);
    judge(&mut sim, false, "Say something.");
    assert_eq!(sim.status(), Status::Running);
}

#[test]
fn whatever_stops_a_run_interrupts_its_goal() {
    type Stop = fn(&mut Sim);
    let stops: [(Stop, Status); 4] = [
        (|sim| sim.input(Input::Pause).unwrap(), Status::Paused),
        (|sim| sim.input(Input::Interrupt).unwrap(), Status::Paused),
        (|sim| sim.model(Err(failure(FailureKind::Other, "Broken"))), Status::Error),
        (Sim::crash, Status::Error),
    ];
    for (stop, status) in stops {
        let mut sim = started(3);
        stop(&mut sim);
        assert_eq!((standing(&sim), sim.status()), (is("interrupted", false, 0), status));
    }
    let mut copy = copy();
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::new(copy);
    start(&mut sim, 3);
    sim.answer("", vec![shell("c1", "rm -r /")]);
    assert_eq!(standing(&sim), is("interrupted", false, 0), "the user alone confirms");
    assert_eq!(sim.status(), Status::WaitingForConfirmation);
}

#[test]
fn whatever_comes_while_the_judge_thinks_ends_its_thinking() {
    let inputs = [Input::Pause, Input::Interrupt, Input::StopGoal];
    for input in inputs {
        let mut sim = started(3);
        sim.answer("Done.", vec![]);
        assert!(sim.is_judging());
        sim.input(input).unwrap();
        assert!(sim.calling.is_none() && !sim.agent.is_running());
        assert_eq!(standing(&sim), is("interrupted", false, 0));
    }
    let mut sim = started(3);
    sim.answer("Done.", vec![]);
    sim.say("Something else, please.");
    assert_eq!(standing(&sim), is("interrupted", false, 0));
    sim.run();
    assert!(sim.conversation().last().unwrap().contains("Something else"));

    let mut sim = started(3);
    sim.answer("Done.", vec![]);
    sim.model(Err(failure(FailureKind::Other, "Broken")));
    assert_eq!((standing(&sim), sim.status()), (is("interrupted", false, 0), Status::Finished));
}

#[test]
fn a_judge_whose_model_takes_less_is_given_less_and_one_that_fails_says_why() {
    let mut sim = started(3);
    sim.answer("Done.", vec![]);
    sim.news();
    for _ in 0..3 {
        sim.model(Err(failure(FailureKind::ContextWindow, "LLMContextWindowExceedError")));
        assert!(sim.is_judging());
    }
    assert_eq!(sim.news(), Vec::<String>::new());
    sim.model(Err(failure(FailureKind::ContextWindow, "LLMContextWindowExceedError")));
    assert_eq!(sim.news(), ["Error(LLMContextWindowExceedError)", "goal"]);
    assert_eq!(standing(&sim), is("interrupted", false, 0));
}

#[test]
fn a_message_of_the_user_ends_the_goal_and_not_the_run() {
    let mut sim = started(3);
    sim.say("Wait, first this.");
    assert_eq!(standing(&sim), is("interrupted", false, 0));
    sim.answer("One more look.", vec![]);
    sim.answer("All done.", vec![]);
    assert!(!sim.agent.is_running(), "nobody judges");
}

#[test]
fn while_a_goal_is_worked_on_no_other_is_started() {
    let mut sim = started(3);
    let again = || Input::StartGoal { objective: "Another.".to_owned(), max_iterations: 1, id: None };
    assert_eq!(sim.input(again()), Err(Refusal::AlreadyRunning));
    sim.answer("Done.", vec![]);
    assert!(sim.is_judging());
    for input in [again(), Input::ResumeGoal, Input::Run] {
        assert_eq!(sim.input(input), Err(Refusal::AlreadyRunning));
    }
    judge(&mut sim, true, "");
    sim.input(again()).unwrap();
    assert_eq!(told(&sim)["objective"], "Another.");
}

#[test]
fn a_goal_goes_on_where_it_was_after_a_kill() {
    let mut sim = started(3);
    sim.answer("A beginning.", vec![]);
    judge(&mut sim, false, "The rest.");
    sim.answer("Perhaps.", vec![]);
    assert!(sim.is_judging());
    sim.crash();
    assert_eq!(standing(&sim), is("interrupted", false, 1));
    sim.news();
    sim.crash();
    assert_eq!(sim.news(), Vec::<String>::new(), "it is noted once");
    sim.input(Input::ResumeGoal).unwrap();
    assert_eq!(standing(&sim), is("running", true, 1));
    assert!(sim.conversation().last().unwrap().contains("Go on with the goal"));
    sim.answer("Done.", vec![]);
    judge(&mut sim, false, "Still something.");
    sim.answer("Done.", vec![]);
    judge(&mut sim, false, "Still something.");
    assert_eq!(standing(&sim), is("capped", false, 3));
}

#[test]
fn a_goal_needs_words_and_there_is_nothing_to_go_on_with_at_first() {
    let mut sim = Sim::new(copy());
    let blank = Input::StartGoal { objective: " \n".to_owned(), max_iterations: 1, id: None };
    assert_eq!(sim.input(blank), Err(Refusal::Invalid("Goal objective must not be empty.".to_owned())));
    assert_eq!(sim.input(Input::ResumeGoal), Err(Refusal::Invalid("no_resumable_goal".to_owned())));
    sim.input(Input::StopGoal).unwrap();
    assert_eq!(sim.news(), Vec::<String>::new());
}

#[test]
fn while_actions_wait_for_the_user_no_goal_is_begun_or_gone_on_with() {
    let mut copy = copy();
    copy.confirmation_policy = ConfirmationPolicy::AlwaysConfirm;
    let mut sim = Sim::new(copy);
    start(&mut sim, 3);
    sim.answer("", vec![shell("c1", "rm -r /")]);
    sim.news();
    let begin = Input::StartGoal { objective: "Another.".to_owned(), max_iterations: 1, id: None };
    for input in [Input::ResumeGoal, begin] {
        assert_eq!(sim.input(input), Err(Refusal::AwaitsConfirmation));
    }
    assert_eq!((sim.news(), sim.running.len()), (Vec::new(), 0), "the user has said nothing");
    sim.input(Input::Respond { accept: false, reason: "No.".to_owned(), actions: None }).unwrap();
    sim.input(Input::ResumeGoal).unwrap();
    assert_eq!(standing(&sim), is("running", true, 0));
}
