//! The usual course of things.

use serde_json::json;
use types::calls::WorkingCopy;
use types::conversation::Status;
use types::event::EventBody;
use types::{Content, Message, Role};

use super::sim::{Sim, observation};
use super::support::{call, completion, copy, finish, shell, think};
use crate::protocol::{Input, Refusal, ToolOutcome};

#[test]
fn a_text_answer_ends_the_run() {
    let mut sim = Sim::started(copy());
    sim.answer("Hi.", vec![]);
    assert_eq!(sim.news(), ["usage", "Message(agent)", "stats", "status=finished", "run_ended"]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn several_calls_run_one_after_another_and_are_answered_in_order() {
    let mut sim = Sim::started(copy());
    sim.answer("Two at once.", vec![shell("c1", "echo 1"), shell("c2", "echo 2")]);
    assert_eq!(sim.news(), ["usage", "Action(terminal)", "Action(terminal)", "stats"]);
    assert_eq!(sim.running.len(), 1);
    sim.observe("1");
    assert_eq!(sim.news(), ["Observation(c1)"]);
    sim.observe("2");
    assert_eq!(sim.news(), ["Observation(c2)"]);
    assert_eq!(
        sim.conversation(),
        ["system", "user: Hello.", "assistant: Two at once.[c1 c2]", "c1: 1", "c2: 2"]
    );
}

#[test]
fn only_the_first_action_of_an_answer_carries_its_thought() {
    let mut sim = Sim::started(copy());
    sim.answer("Two at once.", vec![shell("c1", "echo 1"), shell("c2", "echo 2")]);
    let thoughts: Vec<usize> = sim
        .events()
        .filter_map(|event| match &event.body {
            EventBody::ActionEvent(action) => Some(action.thought.len()),
            _ => None,
        })
        .collect();
    assert_eq!(thoughts, [1, 0]);
}

#[test]
fn with_a_higher_limit_calls_run_side_by_side_and_results_keep_the_order() {
    let mut copy = copy();
    copy.agent["tool_concurrency_limit"] = json!(2);
    let mut sim = Sim::started(copy);
    let edit = call("c2", "file_editor", json!({"command": "view", "path": "/a"}));
    sim.answer("", vec![shell("c1", "sleep 1"), edit, shell("c3", "echo 3")]);
    assert_eq!(sim.running.len(), 2);
    sim.news();
    let (editor, ..) = sim.running.remove(1);
    sim.finish_tool(editor, ToolOutcome::Observed(observation("2")));
    assert_eq!(sim.news(), Vec::<String>::new());
    assert_eq!(sim.running.len(), 1, "a second command waits for the first");
    sim.observe("1");
    assert_eq!(sim.news(), ["Observation(c1)", "Observation(c2)"]);
    sim.observe("3");
    assert_eq!(sim.conversation()[3..], ["c1: 1", "c2: 2", "c3: 3"]);
}

#[test]
fn think_is_answered_at_once_and_the_model_goes_on() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![think("c1")]);
    assert_eq!(sim.news(), ["usage", "Action(think)", "stats", "Observation(c1)"]);
    assert_eq!(sim.conversation()[3], "c1: Your thought has been logged.");
}

#[test]
fn calls_behind_a_finish_are_closed_without_being_run() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![finish("c1"), shell("c2", "echo 2")]);
    let log = [
        "usage",
        "Action(finish)",
        "Action(terminal)",
        "AgentError(c2)",
        "stats",
        "Observation(c1)",
        "status=finished",
        "run_ended",
    ];
    assert_eq!(sim.news(), log);
    sim.say("More.");
    sim.run();
    assert!(sim.running.is_empty());
    assert_eq!(sim.conversation()[2], "assistant: [c1 c2]");
}

#[test]
fn an_invalid_call_between_valid_ones_keeps_the_history_in_order() {
    let mut sim = Sim::started(copy());
    let invalid = call("c2", "terminal", json!({"cmd": "ls"}));
    sim.answer("", vec![shell("c1", "echo 1"), invalid, shell("c3", "echo 3")]);
    let log = [
        "usage",
        "Action(terminal)",
        "Action(terminal, invalid)",
        "AgentError(c2)",
        "Action(terminal)",
        "stats",
    ];
    assert_eq!(sim.news(), log);
    sim.observe("1");
    sim.observe("3");
    let error = "c2: Error validating tool 'terminal': \"command\" is required. Parameters provided: ['cmd']";
    assert_eq!(sim.conversation()[2..], ["assistant: [c1 c2 c3]", "c1: 1", error, "c3: 3"]);
}

#[test]
fn equal_or_missing_call_ids_are_told_apart() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c", "echo 1"), shell("c", "echo 2"), shell("", "echo 3")]);
    (1..=3).for_each(|n| sim.observe(&n.to_string()));
    let call_ids = "assistant: [c call_1_chatcmpl-000001 call_2_chatcmpl-000001]";
    assert_eq!(sim.conversation()[2], call_ids);
}

#[test]
fn answers_of_a_server_that_never_changes_its_response_id_stay_apart() {
    let mut sim = Sim::started(copy());
    for n in ["c1", "c2"] {
        sim.model(Ok(super::support::completion("same", "", vec![shell(n, n)])));
        sim.observe("ok");
    }
    assert_eq!(sim.conversation()[2..], ["assistant: [c1]", "c1: ok", "assistant: [c2]", "c2: ok"]);
}

#[test]
fn a_message_during_the_run_is_taken_up_even_if_the_step_then_finishes() {
    let mut sim = Sim::started(copy());
    sim.say("And this too.");
    assert_eq!(sim.news(), ["Message(user)", "last_user_message_id"]);
    sim.answer("", vec![finish("c1")]);
    assert_eq!(sim.news(), ["usage", "Action(finish)", "stats", "Observation(c1)", "Message(environment)"]);
    sim.answer("Both done.", vec![]);
    assert_eq!(sim.status(), Status::Finished);
}

#[test]
fn a_message_during_the_last_allowed_step_leaves_the_conversation_idle() {
    let mut copy = copy();
    copy.max_iterations = 1;
    let mut sim = Sim::started(copy);
    sim.say("And this too.");
    sim.answer("Done.", vec![]);
    assert_eq!(sim.status(), Status::Idle);
    assert_eq!(sim.shapes().last().unwrap(), "run_ended");
}

#[test]
fn a_second_run_is_refused_while_one_is_active() {
    let mut sim = Sim::started(copy());
    assert_eq!(sim.input(Input::Run), Err(Refusal::AlreadyRunning));
}

#[test]
fn a_run_on_a_finished_conversation_only_says_that_it_ended() {
    let mut sim = Sim::started(copy());
    sim.answer("Done.", vec![]);
    sim.news();
    sim.run();
    assert_eq!(sim.news(), ["run_ended"]);
    sim.say("More.");
    assert_eq!(sim.news(), ["status=idle", "Message(user)", "last_user_message_id"]);
}

#[test]
fn an_image_for_a_blind_model_is_declined_without_a_call() {
    let mut sim = Sim::new(copy());
    let image =
        Content::Image { cache_prompt: false, image_urls: vec!["data:image/png;base64,AA==".to_owned()] };
    let message =
        Message { role: Role::User, content: vec![Content::text("What?"), image], ..Message::default() };
    sim.input(Input::Message { message, sender: None, id: None }).unwrap();
    sim.news();
    sim.run();
    assert_eq!(sim.news(), ["status=running", "Message(agent)", "status=finished", "run_ended"]);
    sim.say("Then a text.");
    sim.run();
    assert!(sim.calling.is_some());
}

#[test]
fn secrets_are_hidden_in_what_the_agent_and_its_tools_say() {
    let mut sim = Sim::started(copy());
    sim.answer("It is hunter2.", vec![shell("c1", "echo $PASSWORD")]);
    sim.observe("hunter2\n");
    assert_eq!(sim.conversation()[2..], ["assistant: It is <secret-hidden>.[c1]", "c1: <secret-hidden>\n"]);
    sim.answer("", vec![shell("c2", "boom")]);
    let (running, ..) = sim.running.remove(0);
    sim.finish_tool(running, ToolOutcome::Failed("hunter2".to_owned()));
    assert_eq!(sim.conversation()[5], "c2: Error executing tool 'terminal': <secret-hidden>");
}

#[test]
fn a_question_beside_a_run_sees_a_paired_history_and_stores_nothing() {
    let mut sim = Sim::started(copy());
    sim.answer("", vec![shell("c1", "sleep 9")]);
    let before = sim.log.len();
    let request = sim.agent.ask("What are you doing?");
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::User]);
    assert_eq!(request.tools.len(), 4);
    assert_eq!(sim.log.len(), before);
}

#[test]
fn only_users_may_send_messages() {
    let mut sim = Sim::new(copy());
    let message = Message::new(Role::System, "Obey.");
    assert!(matches!(
        sim.input(Input::Message { message, sender: None, id: None }),
        Err(Refusal::Invalid(_))
    ));
    assert!(sim.log.is_empty());
}

#[test]
fn every_message_of_the_user_carries_the_configured_suffix() {
    let mut copy = copy();
    copy.agent["agent_context"] = json!({"user_message_suffix": "Be brief."});
    let sim = Sim::started(copy);
    assert_eq!(sim.conversation()[1], "user: Hello.\nBe brief.");
}

#[test]
fn switching_the_model_is_announced_without_its_secrets() {
    let mut sim = Sim::started(copy());
    let llm = types::agent::LlmConfig {
        model: "openai/other".to_owned(),
        api_key: Some("sk-new".to_owned()),
        usage_id: "other".to_owned(),
        ..Default::default()
    };
    sim.input(Input::SwitchLlm { llm, vision: true }).unwrap();
    assert_eq!(sim.news(), ["agent", "models"]);
    let value = sim.last(|body| match body {
        EventBody::ConversationStateUpdateEvent(update) if update.key == "agent" => update.value.clone(),
        _ => None,
    });
    assert_eq!(
        (&value["llm"]["model"], &value["llm"]["api_key"]),
        (&json!("openai/other"), &json!("**********"))
    );
    assert!(value["llm"].get("base_url").is_none(), "nulls are left out");
    sim.answer("", vec![think("c1")]);
    assert_eq!(sim.calling.as_ref().unwrap().1, "other");
}

#[test]
fn a_signed_thought_with_a_secret_reaches_no_client() {
    let mut sim = Sim::started(copy());
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": "signed"});
    let mut answer = completion("resp-1", "", vec![think("c1")]);
    answer.message.thinking_blocks = vec![thought("the key is hunter2"), thought("nothing of it")];
    sim.model(Ok(answer));
    let shown = sim.last(|body| match body {
        EventBody::ActionEvent(action) => Some(action.thinking_blocks.clone()),
        _ => None,
    });
    assert_eq!(shown, [thought("nothing of it")]);
    assert!(!format!("{:?}", sim.log).contains("hunter2"));
    assert!(
        !serde_json::to_string(sim.agent.past()).unwrap().contains("hunter2"),
        "nor what is kept of the log"
    );
}

#[test]
fn a_signed_thought_with_a_secret_goes_back_to_the_provider_as_it_was() {
    let mut sim = Sim::started(copy());
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": "signed"});
    let thoughts = vec![thought("the key is hunter2"), thought("nothing of it")];
    let mut answer = completion("resp-1", "", vec![think("c1")]);
    answer.message.thinking_blocks = thoughts.clone();
    let sent = |sim: &Sim| {
        let (_, _, request) = sim.calling.as_ref().unwrap();
        request.messages.iter().flat_map(|message| message.thinking_blocks.clone()).collect::<Vec<_>>()
    };
    sim.model(Ok(answer));
    assert_eq!(sent(&sim), thoughts);
    sim.answer("", vec![think("c2")]);
    assert_eq!(sent(&sim), thoughts, "with every request");
    let llm = types::agent::LlmConfig { model: "anthropic/other".to_owned(), ..Default::default() };
    sim.input(Input::SwitchLlm { llm, vision: true }).unwrap();
    sim.answer("", vec![think("c3")]);
    assert!(sent(&sim).is_empty(), "another model has not signed it");
}

#[test]
fn what_a_call_says_that_is_not_run_is_hidden_too() {
    let mut sim = Sim::started(copy());
    sim.answer(
        "",
        vec![
            call("c1", "finish", json!({"message": "it is hunter2"})),
            call("c2", "no_such_tool", json!({"text": "hunter2"})),
            call("c3", "finish", json!({"message": "done"})),
            shell("c4", "echo hunter2"),
        ],
    );
    let log = format!("{:?}", sim.log);
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn thinking_goes_back_to_the_model_that_signed_it_and_to_no_other() {
    let mut sim = Sim::started(WorkingCopy { stuck_detection: false, ..copy() });
    let thinks = |sim: &mut Sim, id: &str| {
        let mut answer = completion(&format!("resp-{id}"), "", vec![think(id)]);
        answer.message.thinking_blocks =
            vec![json!({"type": "thinking", "thinking": "hm", "signature": format!("by-{id}")})];
        sim.model(Ok(answer));
    };
    let sent = |sim: &Sim| {
        let (_, _, request) = sim.calling.as_ref().unwrap();
        let blocks = request.messages.iter().flat_map(|message| &message.thinking_blocks);
        blocks.map(|block| block["signature"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let switch = |sim: &mut Sim, model: &str, temperature: f64| {
        let llm = types::agent::LlmConfig {
            model: model.to_owned(),
            temperature: Some(temperature),
            ..Default::default()
        };
        sim.input(Input::SwitchLlm { llm, vision: true }).unwrap();
    };
    thinks(&mut sim, "c1");
    assert_eq!(sent(&sim), ["by-c1"]);
    switch(&mut sim, "anthropic/other", 0.1);
    thinks(&mut sim, "c2");
    assert_eq!(sent(&sim), ["by-c2"]);
    switch(&mut sim, "anthropic/other", 0.9);
    thinks(&mut sim, "c3");
    assert_eq!(sent(&sim), ["by-c2", "by-c3"], "it is the same model still");

    sim.copy.agent["llm"]["model"] = "anthropic/other".into();
    sim.crash();
    sim.run();
    assert_eq!(sent(&sim), ["by-c2", "by-c3"], "as the log says it");

    // A switch was cut off that the log has, and the record has not; or a copy was made meanwhile.
    sim.copy.agent["llm"]["model"] = "openai/scripted".into();
    sim.crash();
    sim.run();
    assert!(sent(&sim).is_empty(), "another model is asked");
    thinks(&mut sim, "c4");
    sim.crash();
    sim.run();
    assert_eq!(sent(&sim), ["by-c4"], "that is said once");
}
