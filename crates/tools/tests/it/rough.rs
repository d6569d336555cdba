//! Jobs that print without end, input that nobody reads, output that is cut off: none of it reaches into the next command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use manyhands_tools::{Boxed, Screen, Secrets};
use serde_json::json;

use crate::unfit::Bench;

/// Ended at the latest then, whatever the test finds.
const JOBS: [&str; 2] = ["timeout 20 yes", "timeout 20 seq 1 1000000000"];

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_beside_a_job_that_prints_without_end() {
    for job in JOBS {
        let bench = Bench::new();
        bench.run(&format!("{job} & echo $! > pid")).await;
        for round in 0..3 {
            let begun = Instant::now();
            let seen = bench.run("echo ran >> log; (exit 3)").await;
            assert_eq!((seen.exit_code, seen.prefix.as_str()), (3, ""), "{job}, {round}: {}", seen.suffix);
            assert!(begun.elapsed() < Duration::from_secs(8), "{job}, {round}: {:?}", begun.elapsed());
        }
        assert_eq!(bench.file("log"), "ran\n".repeat(3), "{job}");
        assert_eq!(bench.run("kill $(cat pid)").await.exit_code, 0, "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_or_alias_named_colon_changes_no_later_command() {
    for command in [":() { echo BOMB; }", "alias :='echo BOMB;'", "alias :=exit", ":() { exit 4; }"] {
        let bench = Bench::new();
        bench.run(command).await;
        for _ in 0..2 {
            let seen = bench.run("echo next; (exit 3)").await;
            assert_eq!((seen.text.as_str(), seen.exit_code), ("next", 3), "{command}: {seen:?}");
            assert_eq!(seen.prefix, "", "{command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_escape_or_letter_ends_with_its_command() {
    let bench = Bench::new();
    for (printed, shown) in [
        ("x\\033]", "x"),
        ("x\\033P", "x"),
        ("x\\033X", "x"),
        ("x\\033^", "x"),
        ("x\\033_", "x"),
        ("x\\033[3", "x"),
        ("x\\033", "x"),
        ("x\\033]8;;http://nowhere", "x"),
        ("x\\342\\202", "x\u{fffd}"),
        ("x\\r", "x"),
    ] {
        assert_eq!(bench.run(&format!("printf '{printed}'")).await.text, shown, "{printed}");
        assert_eq!(
            bench.run("printf 'next\\n'; printf 'and more'").await.text,
            "next\nand more",
            "{printed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_prints_hides_no_end_whatever_the_length_of_path() {
    // Wherever what the shell prints is cut in two, some of these have the end of a record there.
    for length in (780..1020).step_by(10).chain([5000]) {
        let bench = Bench::new();
        let place = bench.folder.path().canonicalize().unwrap();
        bench.run(&format!("PATH=/usr/bin:/bin:/{}", "p".repeat(length))).await;
        bench.run("(while :; do echo xxxxxxxx; done) & echo $! > pid").await;
        for round in 0..12 {
            let seen = bench.run("cd .; (exit 3)").await;
            assert_eq!((seen.exit_code, seen.prefix.as_str()), (3, ""), "{length}, {round}: {}", seen.suffix);
            assert_eq!(seen.directory, place.display().to_string(), "{length}, {round}");
        }
        assert_eq!(bench.run("kill $(cat pid)").await.exit_code, 0, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_known_while_a_job_prints_and_path_is_long() {
    let bench = Bench::new();
    let mut place = bench.folder.path().canonicalize().unwrap();
    bench.run(&format!("PATH=/usr/bin:/bin:/{}", "p".repeat(5000))).await;
    bench.run("(while :; do echo xxxxxxxx; done) & echo $! > pid").await;
    for round in 0..12 {
        place.push(format!("d{round}"));
        let seen = bench.run(&format!("mkdir d{round}; cd d{round}")).await;
        assert_eq!(seen.directory, place.display().to_string(), "{round}");
    }
    assert_eq!(bench.run("cd; kill $(cat pid)").await.exit_code, 0);
}

/// `yes` writes whole letters at once, but they are read in pieces.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_a_job_survives_the_end_of_a_command() {
    let bench = Bench::new();
    bench.run("timeout 20 yes \u{e9} & echo $! > pid").await;
    for round in 0..30 {
        let seen = bench.run("true").await;
        assert!(!(seen.text + &seen.prefix).contains('\u{fffd}'), "{round}");
    }
    assert_eq!(bench.run("kill $(cat pid)").await.exit_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_without_the_word_that_throws_input_away_says_nothing_of_it() {
    let bench = Bench::new();
    bench.run("enable -n read").await;
    for _ in 0..2 {
        let seen = bench.run("echo next; (exit 3)").await;
        assert_eq!((seen.text.as_str(), seen.exit_code), ("next", 3), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_shell_is_found_although_a_job_prints() {
    let bench = Bench::new();
    bench.run("(while :; do echo job; sleep 0.2; done) & disown").await;
    let mute = "enable -n builtin; PROMPT_COMMAND= PS1=; echo last";
    let seen = bench.call(json!({"command": mute, "timeout": 20})).await;
    assert!(seen.suffix.contains("its exit code is not known"), "{seen:?}");
    assert_eq!(bench.run("echo next").await.text, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_program_that_reads_none_of_much_input() {
    for lines in [60, 300] {
        let bench = Bench::new();
        bench.run("KEPT=yes").await;
        bench.call(json!({"command": "sleep 60; echo never", "timeout": 0.2})).await;
        let input = vec!["y".repeat(99); lines].join("\n");
        bench.call(json!({"command": input, "is_input": true, "timeout": 0.3})).await;
        let seen = bench.call(json!({"command": "C-c", "is_input": true, "timeout": 10})).await;
        assert_eq!((seen.exit_code, seen.text.as_str()), (130, ""), "{lines}: {}", seen.suffix);
        assert!(seen.suffix.contains("CTRL+C was sent"), "{lines}: {}", seen.suffix);
        assert_eq!(bench.run("echo next $KEPT").await.text, "next yes", "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_not_sent_as_nobody_reads_it_is_told() {
    let bench = Bench::new();
    bench.call(json!({"command": "sleep 60", "timeout": 0.2})).await;
    let input = vec!["y".repeat(99); 2000].join("\n");
    let first = bench.call(json!({"command": input, "is_input": true, "timeout": 0.3})).await;
    assert!(!first.prefix.contains("not sent"), "{}", first.prefix);
    let second = bench.call(json!({"command": input, "is_input": true, "timeout": 0.3})).await;
    assert!(second.prefix.contains("The input was not sent"), "{}", second.prefix);
    let ended = bench.call(json!({"command": "C-c", "is_input": true, "timeout": 10})).await;
    assert_eq!((ended.exit_code, ended.prefix.as_str()), (130, ""));
    assert_eq!(bench.run("echo next").await.text, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_that_says_exit_is_shown_where_the_shell_did_not_say_it() {
    let bench = Bench::new();
    assert_eq!(bench.run("echo exit; kill -9 $$").await.text, "exit");
    assert_eq!(bench.run("echo exit; exit 0").await.text, "exit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_whose_task_has_died_says_that_its_shell_is_gone() {
    let bench = Bench::knowing(Arc::new(Fragile));
    let command = "until [ -e go ]; do sleep 0.01; done; printf 'bre%s\\n' ak; sleep 60";
    bench.call(json!({"command": command, "timeout": 0.3})).await;
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    let seen = bench.call(json!({"command": "", "timeout": 20})).await;
    assert!(seen.suffix.contains("The shell has ended"), "{seen:?}");
    let seen = bench.run("echo next").await;
    assert_eq!((seen.text.as_str(), seen.exit_code), ("next", 0), "{seen:?}");
}

/// Secrets that a certain word in the output breaks.
struct Fragile;

impl Secrets for Fragile {
    fn exports<'a>(&'a self, _command: &'a str) -> Boxed<'a, Vec<(String, String)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn screen(&self) -> Box<dyn Screen> {
        Box::new(Self)
    }
}

impl Screen for Fragile {
    fn push(&mut self, piece: &str) -> String {
        assert!(!piece.contains("break"), "the word was printed");
        piece.to_owned()
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}
