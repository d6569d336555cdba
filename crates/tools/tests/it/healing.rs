//! Whatever a command does to its shell, the next one runs; and stop means stop.

use std::path::Path;
use std::time::{Duration, Instant};

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::until;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

struct Bench {
    set: ToolSet,
    folder: TempDir,
}

impl Bench {
    /// A terminal whose user has this `~/.bashrc`.
    fn with_profile(profile: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("home")).unwrap();
        std::fs::write(place.join("home/.bashrc"), profile).unwrap();
        let params = json!({"env": {"HOME": place.join("home")}});
        let spec = ToolSpec { name: "terminal".to_owned(), params: params.as_object().unwrap().clone() };
        let context = ToolContext::new(&place, place.join("state"));
        Self { set: ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap(), folder }
    }

    fn new() -> Self {
        Self::with_profile("")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn call(&self, arguments: Value, cancel: CancellationToken) -> Result<Value, String> {
        let parsed = self.set.parse("terminal", arguments.as_object().unwrap()).unwrap();
        let run = self.set.run("terminal", &parsed.action, cancel);
        tokio::time::timeout(Duration::from_secs(90), run).await.expect("the call returns")
    }

    async fn run(&self, command: &str) -> Seen {
        let seen = self.call(json!({"command": command}), CancellationToken::new()).await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Seen {
            text: text(&seen["content"][0]["text"]),
            exit_code: seen["exit_code"].as_i64().unwrap(),
            prefix: text(&seen["metadata"]["prefix"]),
            suffix: text(&seen["metadata"]["suffix"]),
        }
    }

    /// Begins a command that makes the file `started` and stops it then; how long stopping took.
    async fn stop(&self, command: &str) -> Duration {
        let started = self.path().join("started");
        let _ = std::fs::remove_file(&started);
        let cancel = CancellationToken::new();
        let call = self.call(json!({"command": command}), cancel.clone());
        let stop = async {
            until(async || started.exists()).await;
            cancel.cancel();
            Instant::now()
        };
        let (outcome, begun) = tokio::join!(call, stop);
        assert_eq!(outcome.unwrap_err(), "interrupted");
        begun.elapsed()
    }
}

#[derive(Debug)]
struct Seen {
    text: String,
    exit_code: i64,
    prefix: String,
    suffix: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_command_runs_whatever_a_command_has_done_to_the_shell() {
    let rc = "export FROM_RC=yes\nset -o vi\nPS1='$ '\n";
    for (command, text, keeps) in [
        ("set -o vi", "", true),
        ("set -o emacs; echo on", "on", true),
        ("source ./rc; echo sourced", "sourced", true),
        ("declare -r PROMPT_COMMAND=:", "", true),
        ("PROMPT_COMMAND='echo mine' PS1='$ ' PS2='> '", "", true),
        ("PROMPT_COMMAND=(true true)", "", true),
        ("PS0='$(sleep 11)'", "", true),
        ("exec </dev/null", "", true),
        ("exec </dev/ptmx", "", true),
        ("exec >/dev/null", "", true),
        ("exec 2>/dev/null", "", true),
        ("exec 0<&- 1>&- 2>&-", "", true),
        ("stty -echo raw", "", true),
        ("trap '' INT TERM HUP", "", true),
        ("readonly PS1='$ '", "", false),
        ("readonly PS0='$ '", "", false),
        ("exit 0", "", false),
        ("kill -9 $$", "", false),
        ("exec true", "", false),
        ("set -r", "", false),
        ("ulimit -n 3", "", false),
    ] {
        let bench = Bench::new();
        std::fs::write(bench.path().join("rc"), rc).unwrap();
        bench.run("mkdir sub; cd sub; cp ../rc .; KEPT=yes").await;
        let seen = bench.run(command).await;
        if keeps {
            assert_eq!((seen.text.as_str(), seen.exit_code), (text, 0), "{command}: {seen:?}");
        }
        let told = seen.suffix;
        let begun = Instant::now();
        let seen = bench.run("echo \"ran in ${PWD##*/} ${KEPT-}\"; ls /nowhere").await;
        let expected = if keeps { "ran in sub yes\nls: " } else { "ran in sub \nls: " };
        assert!(seen.text.starts_with(expected), "after {command}: {seen:?}");
        assert_eq!(seen.exit_code, 2, "after {command}: {seen:?}");
        assert!(begun.elapsed() < Duration::from_secs(15), "after {command}: {:?}", begun.elapsed());
        if !keeps {
            let told = told + &seen.prefix;
            assert!(told.contains("new one") && told.contains("same directory"), "{command}: {told}");
        }
        assert_eq!(bench.run("echo again").await.text, "again", "after {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirected_input_and_output_of_the_shell_are_put_back_and_told() {
    let bench = Bench::new();
    let seen = bench.run("exec >log; echo into the log").await;
    assert!(seen.suffix.contains("back on the terminal"), "{seen:?}");
    assert_eq!(std::fs::read_to_string(bench.path().join("log")).unwrap(), "into the log\n");
    let seen = bench.run("echo seen").await;
    assert_eq!(
        (seen.text.as_str(), seen.suffix.as_str()),
        ("seen", "\n[The command completed with exit code 0.]")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_never_ran_is_never_reported_as_done() {
    for round in 0..60 {
        let bench = Bench::new();
        let end = ["kill -9 $$", "exit 0"][round % 2];
        // The shell ends by itself at about the time the next command is sent.
        let delay = (round as f64) * 0.0004;
        let ends = if end == "exit 0" {
            "set -t".to_owned()
        } else {
            format!("(sleep {delay}; {end}) & disown; true")
        };
        bench.run(&ends).await;
        let seen = bench.run("echo ran > mark.txt; (exit 3)").await;
        let ran = bench.path().join("mark.txt").exists();
        let reported = seen.exit_code == 3;
        assert!(ran || seen.exit_code != 0, "round {round}: {seen:?}");
        assert!(!reported || ran, "round {round}: {seen:?}");
        let next = bench.run("echo next").await;
        // On a busy machine the end comes as late as this.
        assert!(next.exit_code == 0 || seen.exit_code == 3, "round {round}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_although_its_shell_was_replaced() {
    let bench = Bench::new();
    bench.run("enable -n builtin").await;
    bench.run("echo once >> log").await;
    assert_eq!(std::fs::read_to_string(bench.path().join("log")).unwrap(), "once\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_program_is_gone_whatever_it_ignores() {
    let bench = Bench::new();
    let ignores = "import os, signal, time
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(one, signal.SIG_IGN)
open('pid', 'w').write(str(os.getpid())); open('started', 'w')
while True: time.sleep(1)";
    std::fs::write(bench.path().join("ignores.py"), ignores).unwrap();
    bench.run("KEPT=yes").await;
    let took = bench.stop("python3 ignores.py").await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    let pid = std::fs::read_to_string(bench.path().join("pid")).unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(bench.run("echo next $KEPT").await.text, "next yes", "the shell itself is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_prints_without_end_and_ignores_ctrl_c_is_stopped() {
    let bench = Bench::new();
    bench.run("KEPT=yes").await;
    let floods = "import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
open('started', 'w')
for _ in range(300_000): os.write(1, b'y\\n' * 2000)";
    std::fs::write(bench.path().join("floods.py"), floods).unwrap();
    let took = bench.stop("python3 floods.py").await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(bench.run("echo next $KEPT").await.text, "next yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_cannot_be_stopped_is_replaced_and_the_next_answer_says_so() {
    for command in [
        "trap '' INT; : > started; while :; do :; done",
        "unset PROMPT_COMMAND; trap '' INT TERM; PS1='$ '; : > started; while :; do :; done",
    ] {
        let bench = Bench::new();
        let took = bench.stop(command).await;
        assert!(took < Duration::from_secs(6), "{took:?}");
        let seen = bench.run("echo next").await;
        assert_eq!((seen.text.as_str(), seen.exit_code), ("next", 0), "{seen:?}");
        assert!(seen.prefix.contains("did not stop and was ended with its shell"), "{seen:?}");
        assert_eq!(bench.run("echo later").await.prefix, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_loses_the_prompt_and_is_stopped_keeps_its_shell() {
    let bench = Bench::new();
    for command in [
        "source <(echo 'set -o vi'); : > started; sleep 60",
        "unset PROMPT_COMMAND; PS1='$ '; : > started; sleep 60",
        "exec >/dev/null; : > started; sleep 60",
    ] {
        bench.run("KEPT=yes").await;
        bench.stop(command).await;
        let seen = bench.run("echo next $KEPT").await;
        assert_eq!(seen.text, "next yes", "after {command}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_cut_short_leaves_nothing_of_the_machinery_behind() {
    for command in [
        "set -x",
        "set -v",
        "PROMPT_COMMAND=; set -v",
        "PS1='> ' PS2='> '",
        "exec 2>/dev/null",
        "unset PROMPT_COMMAND; set -x",
    ] {
        let bench = Bench::new();
        let command = format!("{command}; : > started; sleep 60");
        let begun = bench.call(json!({"command": command, "timeout": 0.2}), CancellationToken::new()).await;
        until(async || bench.path().join("started").exists()).await;
        let ended = bench.call(json!({"command": "C-c", "is_input": true}), CancellationToken::new()).await;
        let (begun, ended) = (begun.unwrap(), ended.unwrap());
        assert_eq!(ended["exit_code"], 130, "{command}: {ended}");
        for seen in [begun, ended] {
            let text = seen["content"][0]["text"].as_str().unwrap();
            // With `set -v` on, bash shows the prompt command before it runs it.
            let is_own = |line: &str| {
                ["", "++ :", "++ sleep 60"].contains(&line)
                    || command.starts_with("set -v") && line.starts_with("{ \\__prompt_p; }")
            };
            assert!(text.lines().all(is_own), "{command}: {text}");
        }
        let seen = bench.run("{ set +x; } 2>/dev/null; ls /nowhere").await;
        assert!(seen.text.starts_with("ls: cannot access"), "after {command}: {seen:?}");
        assert_eq!((seen.exit_code, seen.prefix.as_str()), (2, ""), "after {command}: {seen:?}");
        assert_eq!(bench.run("echo again").await.text, "again", "after {command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_bashrc_is_read() {
    let bench = Bench::with_profile(
        "export FROM_RC=yes\ngreet() { echo hello; }\nset -o vi\ncd /\nPS1='$ '\nPROMPT_COMMAND='echo mine'",
    );
    let seen = bench.run("greet; echo $FROM_RC; pwd").await;
    let place = bench.path().canonicalize().unwrap();
    assert_eq!(seen.text, format!("hello\nyes\n{}", place.display()));
    assert_eq!((seen.prefix.as_str(), seen.exit_code), ("", 0));
    assert_eq!(bench.run("greet").await.text, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bashrc_that_keeps_the_shell_from_getting_ready_is_left_out() {
    for profile in ["exit 3", "exec true", "kill -9 $$"] {
        let bench = Bench::with_profile(profile);
        let seen = bench.run("echo here").await;
        assert_eq!((seen.text.as_str(), seen.exit_code), ("here", 0), "{profile}: {seen:?}");
        assert!(seen.prefix.contains("~/.bashrc"), "{profile}: {seen:?}");
        assert_eq!(bench.run("echo again").await.prefix, "");
    }
}
