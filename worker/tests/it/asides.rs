//! What a model is asked beside the run: titles, and questions about the conversation.

use ports::rpc::Code;
use serde_json::json;
use testing::script::Turn;
use types::calls::Command;
use types::log::{Control, LogRecord};

use crate::support::{World, sleep, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_names_the_conversation() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.autotitle = true);
    world.model.will_title(Turn::text("\"Mend the roof\""));
    world.model.will([Turn::text("It is mended."), Turn::text("You are welcome.")]);
    world.say(id, "please mend the roof", true).await.unwrap();
    until(async || world.records.lock().unwrap().titles.contains_key(&id)).await;
    assert_eq!(world.records.lock().unwrap().titles[&id], "Mend the roof");
    world.wait_status(id, "finished").await;
    let untitled = world.model.requests().iter().filter(|request| request["tools"].is_null()).count();
    world.say(id, "thanks", true).await.unwrap();
    until(async || world.kinds(id, "MessageEvent").await.len() == 4).await;
    assert_eq!(world.model.requests().iter().filter(|request| request["tools"].is_null()).count(), untitled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_title_is_asked_of_the_model_for_titles_with_the_clients_words() {
    let world = World::start().await;
    let llm = json!({"model": "openai/for-titles", "api_key": "sk-titles", "base_url": world.model.base_url(), "num_retries": 0});
    let id = world.create_with(|copy| {
        copy.autotitle = true;
        copy.title_llm = Some(llm);
        copy.title_prompt = Some("In {max_length}: {conversation_content}".to_owned());
    });
    world.model.will_title(Turn::text("Roof"));
    world.model.will([Turn::text("It is mended.")]);
    world.say(id, "please mend the roof", true).await.unwrap();
    until(async || world.records.lock().unwrap().titles.contains_key(&id)).await;
    assert_eq!(world.records.lock().unwrap().titles[&id], "Roof");
    let requests = world.model.requests();
    let asked = requests.iter().find(|request| request["tools"].is_null()).unwrap();
    assert!(asked["model"].as_str().unwrap().ends_with("for-titles"), "{asked}");
    assert!(asked.to_string().contains("In 50: please mend the roof"), "{asked}");
    let is_counted = |events: Vec<serde_json::Value>| {
        events.iter().any(|event| event["key"] == "stats" && event.to_string().contains("title-llm"))
    };
    until(async || is_counted(world.events(id).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_title_leaves_the_run_alone() {
    let world = World::start().await;
    let id = world.create_with(|copy| copy.autotitle = true);
    world.model.will_title(Turn::failure(400, "scripted failure"));
    world.say(id, "please mend the roof", true).await.unwrap();
    until(async || world.kinds(id, "ConversationErrorEvent").await.len() == 1).await;
    world.wait_status(id, "finished").await;
    until(async || world.records.lock().unwrap().titles.contains_key(&id)).await;
    assert_eq!(world.records.lock().unwrap().titles[&id], "please mend the roof");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_during_a_run_and_only_counted() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([sleep(), Turn::text("I am asleep")]);
    world.say(id, "sleep", true).await.unwrap();
    world.wait_file(id, "begun").await;
    let done = world.call(id, Command::Ask { question: "what are you doing?".to_owned() }).await.unwrap();
    assert_eq!(done.text.as_deref(), Some("I am asleep"));
    let events = world.events(id).await;
    assert!(events.iter().all(|event| !event.to_string().contains("I am asleep")));
    let is_counted = |record: &LogRecord| matches!(record, LogRecord::Control(Control::Usage(usage)) if usage.usage_id == "ask-agent-llm");
    assert!(world.log_records(id).await.iter().any(is_counted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_the_model_does_not_answer_is_told_why() {
    let world = World::start().await;
    let id = world.create();
    world.model.will([Turn::failure(401, "scripted failure")]);
    let fault = world.call(id, Command::Ask { question: "well?".to_owned() }).await.unwrap_err();
    assert_eq!((fault.code, fault.cause.as_deref()), (Code::Upstream, None));
    assert!(fault.public.starts_with("LLMAuthenticationError: "), "{}", fault.public);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_whose_asker_has_gone_is_asked_once_counted_and_leaves_room_for_others() {
    let world = World::start().await;
    let id = world.create();
    world.say(id, "hello", false).await.unwrap();
    let before = world.model.asked();
    let is_counted = |record: &LogRecord| matches!(record, LogRecord::Control(Control::Usage(usage)) if usage.usage_id == "ask-agent-llm");
    // More than are asked at one time.
    for number in 1..=6 {
        world.model.will([Turn::text("Nobody hears this").after(200)]);
        let question = world.call(id, Command::Ask { question: "well?".to_owned() });
        let asked = until(async || world.model.asked() == before + number);
        tokio::select! {
            answered = question => panic!("it was waited for: {answered:?}"),
            () = asked => {}
        }
        until(async || {
            world.log_records(id).await.iter().filter(|record| is_counted(record)).count() == number
        })
        .await;
    }
    assert_eq!(world.model.asked(), before + 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_ends_does_not_wait_for_a_question_and_whoever_has_asked_is_told() {
    let mut world = World::start().await;
    let id = world.create();
    world.model.will([Turn::hang()]);
    let asking = world.call(id, Command::Ask { question: "well?".to_owned() });
    let ending = async {
        until(async || world.model.asked() == 1).await;
        world.let_worker_end();
    };
    let (fault, ()) = tokio::join!(asking, ending);
    assert_eq!(fault.unwrap_err().code, Code::Unavailable);
    world.stop_worker().await;
    assert_eq!(world.model.asked(), 1);
}

/// Defect C8 of the peer, with whom it takes minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_not_waited_for_without_end() {
    let patience = std::time::Duration::from_millis(300);
    let world = World::with(|config| config.aside_patience = patience, |_| {}).await;
    let id = world.create();
    world.model.will([Turn::hang()]);
    let fault = world.call(id, Command::Ask { question: "well?".to_owned() }).await.unwrap_err();
    assert_eq!(fault.code, Code::UpstreamSlow, "{}", fault.public);
    world.model.will([Turn::text("Here I am")]);
    let done = world.call(id, Command::Ask { question: "and now?".to_owned() }).await.unwrap();
    assert_eq!(done.text.as_deref(), Some("Here I am"));
}
