//! Input that a command has not read: none of it is run by the shell, calculated, or read by a later command.

use std::sync::Arc;
use std::time::Duration;

use manyhands_tools::{Boxed, Screen, Secrets};
use serde_json::json;

use crate::unfit::{Bench, Seen};

/// Reads nothing of what it is sent.
const DEAF: &str = "echo 'any key?'; until [ -e go ]; do sleep 0.01; done";
/// How often at most a command that is to end is waited for.
const WAITS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_very_long_input_is_run_by_the_shell() {
    // Ever so many lines are in the terminal at once where most are empty.
    let exits = ("\n\n\n\n\n\n\n\nexit", 3_000);
    for (line, lines) in [("echo x>>injected", 13_000), exits, exits, exits] {
        let bench = Bench::new();
        bench.run("KEPT=yes").await;
        begin(&bench, DEAF).await;
        let typed = type_in(&bench, &vec![line; lines].join("\n")).await;
        assert!(!typed.prefix.contains("not sent"), "{line}: {}", typed.prefix);
        assert_eq!(end(&bench, typed).await.exit_code, 0, "{line}");
        assert_eq!(bench.run("echo next $KEPT").await.text, "next yes", "{line}");
        assert_eq!(bench.file("injected"), "", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_too_long_to_wait_is_told_and_no_part_of_it_sent() {
    let bench = Bench::new();
    begin(&bench, "echo 'any key?'; read -r line; echo \"got $line\"").await;
    let typed = type_in(&bench, &"x".repeat(257 * 1024)).await;
    assert!(typed.prefix.contains("The input was not sent"), "{}", typed.prefix);
    let seen = bench.call(json!({"command": "it", "is_input": true, "timeout": 10})).await;
    assert_eq!((seen.text.as_str(), seen.exit_code), ("got it", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_was_not_read_is_no_input_of_a_later_command() {
    for program in [DEAF.to_owned(), format!("stty -icanon; {DEAF}"), format!("stty raw; {DEAF}")] {
        let bench = Bench::new();
        bench.run("echo file > file").await;
        begin(&bench, &program).await;
        let typed = type_in(&bench, "one\ntwo\nthree").await;
        assert_eq!(end(&bench, typed).await.exit_code, 0, "{program}");
        assert_eq!(bench.run("read -r line < file; echo $line").await.text, "file", "{program}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_was_not_read_is_not_calculated() {
    for variable in ["_", "__prompt_z"] {
        let bench = Bench::new();
        std::fs::write(bench.folder.path().join("deaf"), DEAF).unwrap();
        begin(&bench, &format!("declare -i {variable}; bash deaf")).await;
        let typed = type_in(&bench, "x[$(touch calculated)]").await;
        end(&bench, typed).await;
        assert_eq!(bench.run("echo next").await.text, "next", "{variable}");
        assert!(!bench.folder.path().join("calculated").exists(), "{variable}");
    }
}

/// What is printed keeps the terminal's task from writing for longer than the silence after which the shell takes its input
/// for wholly thrown away.
#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_half_sent_when_the_command_ends_is_not_run() {
    for round in 0..3 {
        let bench = Bench::knowing(Arc::new(Slow));
        begin(&bench, &format!("(while sleep 0.01; do echo x; done) & {DEAF}")).await;
        let line = format!("echo x >> injected{}", " ".repeat(80));
        let typed = type_in(&bench, &vec![line.as_str(); 300].join("\n")).await;
        assert_eq!(end(&bench, typed).await.exit_code, 0, "{round}");
        let seen = bench.run("kill %1; echo next").await;
        assert!(seen.text.contains("next"), "{round}: {} {}", seen.prefix, seen.suffix);
        assert_eq!(bench.file("injected"), "", "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_that_is_a_letter_costs_no_input() {
    let bench = Bench::new();
    begin(&bench, &format!("stty raw -isig; {DEAF}; head -c 5 > got")).await;
    type_in(&bench, "abc").await;
    let typed = type_in(&bench, "C-c").await;
    assert_eq!(end(&bench, typed).await.exit_code, 0);
    assert_eq!(bench.file("got"), "abc\r\u{3}");
}

async fn begin(bench: &Bench, program: &str) {
    let mut seen = bench.call(json!({"command": program, "timeout": 0.2})).await;
    for _ in 0..100 {
        if seen.text.contains("any key?") {
            return;
        }
        seen = bench.call(json!({"command": "", "is_input": true, "timeout": 0.2})).await;
    }
    panic!("{program} did not begin: {seen:?}");
}

async fn type_in(bench: &Bench, input: &str) -> Seen {
    bench.call(json!({"command": input, "is_input": true, "timeout": 0.3})).await
}

async fn end(bench: &Bench, mut seen: Seen) -> Seen {
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    for _ in 0..WAITS {
        if !seen.suffix.contains("still running") {
            break;
        }
        seen = bench.call(json!({"command": "", "is_input": true, "timeout": 10})).await;
    }
    seen
}

/// No secrets, which it takes some time to find.
struct Slow;

impl Secrets for Slow {
    fn exports<'a>(&'a self, _command: &'a str) -> Boxed<'a, Vec<(String, String)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn screen(&self) -> Box<dyn Screen> {
        Box::new(Self)
    }
}

impl Screen for Slow {
    fn push(&mut self, piece: &str) -> String {
        std::thread::sleep(Duration::from_millis(60));
        piece.to_owned()
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}
