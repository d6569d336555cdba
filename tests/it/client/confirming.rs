//! Nothing runs that has to be confirmed and was not.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use testing::proxy::Proxy;
use testing::script::Turn;
use testing::server::Start;

use super::{User, holds};

/// The user's end of a terminal in which a program runs.
struct Terminal {
    screen: File,
    shown: String,
    process: Child,
}

impl Terminal {
    fn of(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap();
        let theirs = File::from(open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let process = command.env("TERM", "xterm").spawn().unwrap();
        Self { screen: File::from(ours), shown: String::new(), process }
    }

    fn until_shown(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.shown.contains(text) {
            let read = self.screen.read(&mut bytes).unwrap_or_default();
            assert!(read > 0, "{text:?} is never shown: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn says(&mut self, text: &str) {
        self.shown.clear();
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    fn status(mut self) -> Option<i32> {
        let mut rest = Vec::new();
        // A terminal that nobody has open any more is an error to read from.
        let _ = self.screen.read_to_end(&mut rest);
        self.process.wait().unwrap().code()
    }
}

fn turns() -> Vec<Turn> {
    vec![
        Turn::terminal("call_1", "touch first"),
        Turn::terminal("call_2", "touch second"),
        Turn::finish("Done."),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_each_action_is_asked_for_and_a_reason_reaches_the_model() {
    let user = User::with(turns()).await;
    let mut terminal = Terminal::of(user.with_model(&["run", "--confirm", "Make files. [[task]]"]));
    terminal.until_shown("$ touch first");
    terminal.until_shown("or why not: ");
    terminal.says("y\n");
    terminal.until_shown("$ touch second");
    terminal.until_shown("or why not: ");
    assert!(holds(&user.work(), "first"));
    assert!(terminal.shown.contains("\u{1b}[36m"), "a terminal has colours: {:?}", terminal.shown);
    terminal.says("one is enough\n");
    terminal.until_shown("Done.");
    assert_eq!(terminal.status(), Some(0));
    assert!(!holds(&user.work(), "second"));
    assert!(user.model.requests().pop().unwrap().to_string().contains("one is enough"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_typed_before_a_question_is_no_answer_to_it() {
    let user = User::with(turns()).await;
    let mut terminal = Terminal::of(user.with_model(&["run", "--confirm", "Make files. [[task]]"]));
    terminal.until_shown("or why not: ");
    terminal.says("y\ny\n");
    terminal.until_shown("$ touch second");
    terminal.until_shown("or why not: ");
    terminal.says("n\n");
    terminal.until_shown("Done.");
    assert_eq!(terminal.status(), Some(0));
    assert!(holds(&user.work(), "first") && !holds(&user.work(), "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_something_to_a_conversation_that_waits_confirms_nothing() {
    let user = User::with(turns()).await;
    let server = Start::new(super::BINARY).start();
    let folder = user.work().display().to_string();
    let there = ["--server", &server.url];
    let arguments = [&["run", "--confirm", "-C", &folder, "Make files. [[task]]"], &there[..]].concat();
    let mut terminal = Terminal::of(user.with_model(&arguments));
    terminal.until_shown("or why not: ");
    testing::process::signal(terminal.process.id(), rustix::process::Signal::INT);
    assert_eq!(terminal.status(), Some(4));
    let listed = user.runs(&[&["conversations", "--json"], &there[..]].concat()).await.with(0).lines();
    let id = listed[0]["id"].as_str().unwrap();
    let sent =
        user.runs(&[&["conversations", "send", id, "No, not that."], &there[..]].concat()).await.with(2);
    assert!(sent.err.contains("waits for a confirmation"), "{}", sent.err);
    assert_eq!(
        server.client.get_ok(&format!("/api/conversations/{id}")).await["execution_status"],
        "waiting_for_confirmation"
    );
    assert!(!holds(&user.work(), "first"));
}

/// Runs at a terminal until the user is asked about the first action; the conversation.
async fn asked(user: &User, url: &str) -> (Terminal, String) {
    let folder = user.work().display().to_string();
    let arguments = ["run", "--confirm", "--server", url, "-C", &folder, "Make files. [[task]]"];
    let mut terminal = Terminal::of(user.with_model(&arguments));
    terminal.until_shown("or why not: ");
    let listed = user.runs(&["conversations", "--json", "--server", url]).await.with(0).lines();
    (terminal, listed[0]["id"].as_str().unwrap().to_owned())
}

fn path_of_answer(id: &str) -> String {
    format!("/api/conversations/{id}/events/respond_to_confirmation")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_on_what_was_shown_lets_nothing_run_that_waits_since() {
    // Models give the same name again and again.
    let touch = |name: &str| Turn::terminal("c", &format!("touch {name}"));
    let user = User::with(vec![touch("first"), touch("second"), Turn::finish("Done.")]).await;
    let server = Start::new(super::BINARY).start();
    let (mut terminal, id) = asked(&user, &server.url).await;
    server.client.post_ok(&path_of_answer(&id), &json!({"accept": true})).await;
    server.client.wait_for_status(&id, "waiting_for_confirmation").await;
    terminal.says("y\n");
    terminal.until_shown("something else waits by now");
    terminal.until_shown("$ touch second");
    terminal.until_shown("or why not: ");
    assert!(holds(&user.work(), "first") && !holds(&user.work(), "second"));
    terminal.says("y\n");
    assert_eq!(terminal.status(), Some(0));
    assert!(holds(&user.work(), "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_by_going_back_is_asked_about_no_more() {
    let touch = |name: &str| Turn::terminal("c", &format!("touch {name}"));
    let user = User::with(Vec::new()).await;
    user.model.will([touch("first"), touch("second"), Turn::finish("Done.")]);
    let server = Start::new(super::BINARY).start();
    let (mut terminal, id) = asked(&user, &server.url).await;
    let events = server.client.events(&id).await;
    let task = events.iter().find(|event| event["kind"] == "MessageEvent").unwrap()["id"].clone();
    let path = format!("/api/conversations/{id}");
    server.client.post_ok(&format!("{path}/navigate"), &json!({"event_id": task})).await;
    server.client.post_ok(&format!("{path}/run"), &json!({})).await;
    server.client.wait_for_status(&id, "waiting_for_confirmation").await;
    terminal.says("y\n");
    terminal.until_shown("$ touch second");
    terminal.until_shown("or why not: ");
    assert!(!terminal.shown.contains("touch first"), "{}", terminal.shown);
    terminal.says("y\n");
    assert_eq!(terminal.status(), Some(0));
    assert!(holds(&user.work(), "second") && !holds(&user.work(), "first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_names_its_actions_is_refused_where_it_is_not_these_that_wait() {
    let user = User::with(turns()).await;
    let server = Start::new(super::BINARY).start();
    let (terminal, id) = asked(&user, &server.url).await;
    let path = path_of_answer(&id);
    let events = server.client.events(&id).await;
    let action = events.iter().rfind(|event| event["kind"] == "ActionEvent").unwrap()["id"].clone();
    for (accept, named) in [(true, json!([])), (true, json!([action, "x"])), (false, json!(["x"]))] {
        let (status, answer) =
            server.client.post(&path, &json!({"accept": accept, "action_ids": named})).await;
        assert_eq!(status, 409, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains("Look at what waits"), "{answer}");
    }
    let info = server.client.get_ok(&format!("/api/conversations/{id}")).await;
    assert_eq!(info["execution_status"], "waiting_for_confirmation");
    server.client.post_ok(&path, &json!({"accept": true, "action_ids": [action]})).await;
    testing::until(async || holds(&user.work(), "first")).await;
    server.client.wait_for_status(&id, "waiting_for_confirmation").await;
    testing::process::signal(terminal.process.id(), rustix::process::Signal::INT);
    assert_eq!(terminal.status(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_stop_is_heard_while_what_waits_is_looked_at() {
    let user = User::with(turns()).await;
    let server = Start::new(super::BINARY).start();
    let (terminal, id) = asked(&user, &server.url).await;
    testing::process::signal(terminal.process.id(), rustix::process::Signal::INT);
    assert_eq!(terminal.status(), Some(4));
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    proxy.hold("/events/search");
    let url = format!("http://{}", proxy.address());
    let terminal = Terminal::of(user.with_model(&["run", "--continue", &id, "--server", &url]));
    testing::until(async || proxy.has_cut()).await;
    testing::process::signal(terminal.process.id(), rustix::process::Signal::INT);
    assert_eq!(terminal.status(), Some(4));
    assert!(!holds(&user.work(), "first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_at_a_question_that_somebody_else_has_answered_stops_what_runs() {
    let user = User::with(vec![Turn::terminal("c", "touch first"), Turn::hang()]).await;
    let server = Start::new(super::BINARY).start();
    let (terminal, id) = asked(&user, &server.url).await;
    server.client.post_ok(&path_of_answer(&id), &json!({"accept": true})).await;
    testing::until(async || user.model.asked() > 1).await;
    testing::process::signal(terminal.process.id(), rustix::process::Signal::INT);
    assert_eq!(terminal.status(), Some(130));
    let info = server.client.get_ok(&format!("/api/conversations/{id}")).await;
    assert_eq!(info["execution_status"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_nothing_runs_and_the_status_says_so() {
    let user = User::with(turns()).await;
    let ended = user.runs(&["run", "--confirm", "Make files. [[task]]"]).await.with(4);
    assert!(ended.err.contains("--yes"), "{}", ended.err);
    assert!(!holds(&user.work(), "first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn yes_beforehand_lets_everything_run() {
    let user = User::with(turns()).await;
    user.runs(&["run", "--confirm", "--yes", "Make files. [[task]]"]).await.with(0);
    assert!(holds(&user.work(), "first") && holds(&user.work(), "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_from_the_question_finds_it_again() {
    let user = User::with(turns()).await;
    let mut terminal = Terminal::of(user.with_model(&["run", "--confirm", "Make files. [[task]]"]));
    terminal.until_shown("or why not: ");
    testing::process::signal(terminal.process.id(), rustix::process::Signal::INT);
    assert_eq!(terminal.status(), Some(4));
    let listed = user.runs(&["conversations", "--json"]).await.with(0).lines();
    assert_eq!(listed[0]["execution_status"], "waiting_for_confirmation");
    let id = listed[0]["id"].as_str().unwrap();
    user.runs(&["run", "--continue", id, "Something else."]).await.with(2);
    let mut terminal = Terminal::of(user.with_model(&["run", "--continue", &id[..6]]));
    terminal.until_shown("$ touch first");
    assert!(!holds(&user.work(), "first"));
    terminal.until_shown("or why not: ");
    terminal.says("yes\n");
    terminal.until_shown("$ touch second");
    assert!(holds(&user.work(), "first"));
    terminal.until_shown("or why not: ");
    terminal.says("yes\n");
    assert_eq!(terminal.status(), Some(0));
}
