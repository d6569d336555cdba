//! Nothing runs that has to be confirmed and was not.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
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
