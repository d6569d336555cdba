//! The terminal's promises, kept by a real bash.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use manyhands_tools::{Boxed, Catalogue, NoSecrets, Screen, Secrets, ToolContext, ToolSet};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use testing::process::is_alive;
use testing::until;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

struct Bench {
    set: ToolSet,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(params: Value) -> Self {
        Self::knowing(params, Arc::new(NoSecrets))
    }

    fn knowing(params: Value, secrets: Arc<dyn Secrets>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let context = ToolContext { secrets, ..ToolContext::new(root, folder.path().join("state")) };
        let spec = ToolSpec { name: "terminal".to_owned(), params: params.as_object().unwrap().clone() };
        Self { set: ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap(), folder }
    }

    async fn call(&self, arguments: Value) -> Value {
        self.call_until(arguments, CancellationToken::new()).await.unwrap()
    }

    async fn call_until(&self, arguments: Value, cancel: CancellationToken) -> Result<Value, String> {
        let parsed = self.set.parse("terminal", arguments.as_object().unwrap()).unwrap();
        let run = self.set.run("terminal", &parsed.action, cancel);
        tokio::time::timeout(Duration::from_secs(60), run).await.expect("the call returns")
    }

    /// Runs a command and gives its text and exit code.
    async fn sh(&self, command: &str) -> (String, i64) {
        let seen = self.call(json!({"command": command})).await;
        (text(&seen), exit_code(&seen))
    }

    async fn input(&self, text: &str) -> Value {
        self.call(json!({"command": text, "is_input": true, "timeout": 10})).await
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn text(observation: &Value) -> String {
    observation["content"][0]["text"].as_str().unwrap().to_owned()
}

fn exit_code(observation: &Value) -> i64 {
    observation["exit_code"].as_i64().unwrap_or(i64::MIN)
}

fn suffix(observation: &Value) -> &str {
    observation["metadata"]["suffix"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_command_is_reported_field_by_field() {
    let bench = Bench::new();
    assert!(!bench.set.has_live_shell());
    let mut seen = bench.call(json!({"command": "echo a; (exit 3)"})).await;
    assert!(bench.set.has_live_shell());
    let metadata = seen["metadata"].as_object_mut().unwrap();
    assert!(metadata.remove("username").unwrap().is_string());
    assert!(metadata.remove("hostname").unwrap().is_string());
    assert!(metadata.remove("py_interpreter_path").unwrap().is_string());
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": "a"}],
        "is_error": false,
        "command": "echo a; (exit 3)",
        "exit_code": 3,
        "timeout": false,
        "metadata": {
            "exit_code": 3,
            "pid": -1,
            "working_dir": bench.path().canonicalize().unwrap(),
            "prefix": "",
            "suffix": "\n[The command completed with exit code 3.]",
        },
        "full_output_save_dir": bench.path().join("state/observations"),
        "kind": "TerminalObservation",
    });
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_lives_on_between_commands() {
    let bench = Bench::new();
    bench.sh("mkdir sub && cd sub && export GREETING=hello && f() { echo \"f:$1\"; }").await;
    let (out, _) = bench.sh("pwd; echo $GREETING; f x; false").await;
    assert_eq!(out, format!("{}\nhello\nf:x", bench.path().canonicalize().unwrap().join("sub").display()));
    assert_eq!(bench.sh("echo $?").await.0, "1");
    assert_eq!(bench.sh("echo $?").await.0, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_lines_run_as_one_script() {
    let bench = Bench::new();
    let script = "echo one\necho two\nfor i in 1 2; do\n  echo \"$i\"\ndone\n# comment\ncat <<EOF\nhere $((1+1))\nEOF\n";
    assert_eq!(bench.sh(script).await, ("one\ntwo\n1\n2\nhere 2".to_owned(), 0));
    assert_eq!(bench.sh("echo 'it'\"'\"'s' \\; \"a\\\\b\" '$x' !! `echo q`").await.0, "it's ; a\\b $x !! q");
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_survive_in_heredocs() {
    let bench = Bench::new();
    bench.sh("cat > f <<'EOF'\n\tone\ttwo\nEOF").await;
    assert_eq!(std::fs::read_to_string(bench.path().join("f")).unwrap(), "\tone\ttwo\n");
    assert_eq!(bench.sh("cat <<-EOF\n\tstripped\n\tEOF").await.0, "stripped");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_commands_and_odd_letters_arrive_whole() {
    let bench = Bench::new();
    let body = "zeile mit ü, 'quotes' and \\ and \u{3} \u{4} \u{1}\u{7f}\t$x 😀\n".repeat(4000);
    let (_, code) = bench.sh(&format!("cat > big <<'EOF'\n{body}EOF")).await;
    assert_eq!(code, 0);
    assert!(std::fs::read_to_string(bench.path().join("big")).unwrap() == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syntax_error_is_told_and_leaves_the_shell_usable() {
    let bench = Bench::new();
    for broken in [
        "echo 'abc",
        "if true; then",
        "echo )",
        "done",
        "cat <<EOF\nno end",
        "f() {",
        "echo x \\",
        "[[ a",
        "echo $(",
        "!",
    ] {
        let seen = bench.call(json!({"command": broken, "timeout": 5})).await;
        assert_ne!(exit_code(&seen), -1, "{broken}: {seen}");
        let seen = bench.call(json!({"command": "echo \"$?\"", "timeout": 5})).await;
        assert_eq!(exit_code(&seen), 0, "after {broken}: {seen}");
    }
    assert!(bench.sh("echo )").await.0.contains("syntax error"));
    assert_eq!(bench.sh("echo ok").await, ("ok".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_and_traces_of_the_machinery_stay_invisible() {
    let bench = Bench::new();
    assert_eq!(bench.sh("set -x; true").await.0, "++ true");
    let (traced, _) = bench.sh("echo hi").await;
    assert_eq!(traced, "++ echo hi\nhi");
    bench.sh("set +x").await;
    bench.sh("PS0='first> '; PS1='visible> '; PS2='more> '; PROMPT_COMMAND='echo custom'").await;
    assert_eq!(bench.sh("echo a\necho b").await.0, "a\nb");
    bench
        .sh("set -u; IFS=,; set -C; shopt -s nocasematch; printf() { echo mine; }; unset PROMPT_COMMAND")
        .await;
    assert_eq!(bench.sh("echo still").await.0, "still");
    assert_eq!(bench.sh("history; echo \"[${HISTFILE-}]\"").await.0, "[]");
    assert!(!bench.sh("set; declare -p").await.0.contains("exit code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn errexit_ends_the_shell_and_the_next_command_gets_a_new_one() {
    let bench = Bench::new();
    assert_eq!(bench.sh("set -e; ! true; false || echo handled").await.0, "handled");
    assert_eq!(bench.sh("if false; then :; fi; echo alive").await, ("alive".to_owned(), 0));
    let seen = bench.call(json!({"command": "echo last; false; echo never"})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("last", 1));
    assert!(suffix(&seen).contains("The shell has ended"), "{seen}");
    assert_eq!(bench.sh("echo $-").await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_ends_the_shell_and_the_next_one_starts_in_the_same_directory() {
    let bench = Bench::new();
    bench.sh("mkdir deep && cd deep && X=1").await;
    let seen = bench.call(json!({"command": "echo bye; exit 7"})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("bye", 7));
    assert!(!bench.set.has_live_shell());
    let (out, _) = bench.sh("basename \"$PWD\"; echo \"[${X-}]\"").await;
    assert_eq!(out, "deep\n[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_reaches_a_running_command() {
    let bench = Bench::new();
    let command = "for i in 1 2; do read -p 'name? ' x; echo \"got $x\"; done; echo finished";
    let seen = bench.call(json!({"command": command, "timeout": 0.3})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("name?", -1));
    assert_eq!(seen["metadata"]["prefix"], "");
    assert!(suffix(&seen).starts_with("\n[The command timed out after 0.3 seconds. "), "{seen}");
    assert_eq!(seen["timeout"], false);

    let seen = bench.call(json!({"command": "alice", "is_input": true, "timeout": 0.3})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("got alice\nname?", -1));
    assert_eq!(seen["metadata"]["prefix"], "[Below is the output of the previous command.]\n");

    let seen = bench.input("bob").await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("got bob\nfinished", 0));
    assert_eq!(seen["metadata"]["prefix"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_command_polls() {
    let bench = Bench::with(json!({"no_change_timeout_seconds": 0.2}));
    let seen = bench.call(json!({"command": "echo begin; read x; echo woke"})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("begin", -1));
    assert!(suffix(&seen).starts_with("\n[The command has no new output after 0.2 seconds. "), "{seen}");
    let seen = bench.call(json!({"command": ""})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("", -1));
    assert_eq!(bench.input("x").await["exit_code"], 0);

    bench.call(json!({"command": "echo 1; while [ ! -e go ]; do sleep 0.01; done; echo 2"})).await;
    std::fs::write(bench.path().join("go"), "").unwrap();
    let seen = bench.call(json!({"command": "", "timeout": 10})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("2", 0));
    let seen = bench.call(json!({"command": ""})).await;
    assert_eq!(text(&seen), "No previous running command to retrieve logs from.");
    assert_eq!((seen["is_error"].clone(), seen.get("exit_code")), (json!(true), None));
    let seen = bench.input("hello").await;
    assert_eq!(text(&seen), "No previous running command to interact with.");
    assert_eq!(bench.sh("echo in step").await, ("in step".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_counted_from_the_last_output() {
    let bench = Bench::with(json!({"no_change_timeout_seconds": 0.5}));
    let chatty = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done";
    assert_eq!(bench.sh(chatty).await.1, 0);
    let seen = bench.call(json!({"command": "sleep 0.8; echo done", "timeout": 20})).await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("done", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_command_is_refused_while_one_is_running() {
    let bench = Bench::new();
    bench.call(json!({"command": "echo begin; read x", "timeout": 0.2})).await;
    let seen = bench.call(json!({"command": "echo while busy", "timeout": 2})).await;
    assert_eq!((seen["is_error"].clone(), exit_code(&seen), text(&seen)), (json!(true), -1, String::new()));
    assert!(suffix(&seen).starts_with("\n[Your command \"echo while busy\" is NOT executed. "), "{seen}");
    assert_eq!(seen["metadata"]["prefix"], "[Below is the output of the previous command.]\n");
    assert_eq!(exit_code(&bench.input("C-d").await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_and_keeps_the_shell() {
    let bench = Bench::new();
    bench.sh("KEPT=yes").await;
    for endless in ["echo begin; sleep 60", "echo begin; while true; do :; done", "echo begin; cat"] {
        let seen = bench.call(json!({"command": endless, "timeout": 0.3})).await;
        assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("begin", -1), "{endless}");
        let seen = bench.input("C-c").await;
        assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("", 130), "{endless}");
        assert_eq!(suffix(&seen), "\n[The command completed with exit code 130. CTRL+C was sent.]");
        assert_eq!(bench.sh("echo $? $KEPT").await.0, "130 yes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_d_ends_input_and_ctrl_z_suspends() {
    let bench = Bench::new();
    bench.call(json!({"command": "cat > copy", "timeout": 0.1})).await;
    bench.call(json!({"command": "line", "is_input": true, "timeout": 0.1})).await;
    assert_eq!(exit_code(&bench.input("c-d").await), 0);
    assert_eq!(std::fs::read_to_string(bench.path().join("copy")).unwrap(), "line\n");

    bench.call(json!({"command": "sleep 50", "timeout": 0.1})).await;
    let seen = bench.input("C-z").await;
    assert_eq!(exit_code(&seen), 148);
    assert!(text(&seen).contains("Stopped"), "{seen}");
    assert!(bench.sh("jobs").await.0.contains("sleep 50"));
    assert_eq!(bench.sh("kill %1; echo gone").await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_unwatched_command_is_not_lost() {
    let bench = Bench::new();
    let command = "while [ ! -e go ]; do sleep 0.01; done; echo tail; (exit 9)";
    bench.call(json!({"command": command, "timeout": 0.1})).await;
    let ended = bench.path().join("ended");
    bench.call(json!({"command": "", "timeout": 0.1})).await;
    std::fs::write(bench.path().join("go"), "").unwrap();
    // The refusal stops as soon as the command has ended.
    let mut seen = json!({"is_error": true});
    let deadline = Instant::now() + Duration::from_secs(10);
    while seen["is_error"] == true && Instant::now() < deadline {
        seen = bench.call(json!({"command": "echo next; : > ended"})).await;
    }
    assert!(ended.exists());
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("next", 0));

    bench.call(json!({"command": "while [ -e go ]; do sleep 0.01; done; (exit 9)", "timeout": 0.1})).await;
    std::fs::remove_file(bench.path().join("go")).unwrap();
    let seen = bench.input("late words").await;
    assert_eq!(exit_code(&seen), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_removed_its_folder_gets_a_shell_there_again() {
    let bench = Bench::new();
    let folder = bench.folder.path().canonicalize().unwrap();
    bench.sh("rm -rf \"$PWD\"").await;
    assert!(!folder.exists());
    bench.call(json!({"command": "", "reset": true})).await;
    assert_eq!(bench.sh("pwd -P").await, (folder.display().to_string(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_gives_a_fresh_shell_in_the_working_directory() {
    let bench = Bench::new();
    bench.sh("mkdir sub; cd sub; X=1; sleep 300 &").await;
    bench.call(json!({"command": "sleep 300", "timeout": 0.1})).await;
    let seen = bench.call(json!({"command": "", "reset": true})).await;
    assert_eq!((seen["command"].clone(), exit_code(&seen)), (json!("[RESET]"), 0));
    let seen = bench.call(json!({"command": "echo \"[${X-}]\"; pwd", "reset": true})).await;
    assert_eq!(seen["command"], "[RESET] echo \"[${X-}]\"; pwd");
    assert_eq!(text(&seen), format!("[]\n{}", bench.path().canonicalize().unwrap().display()));
    let both = json!({"command": "x", "reset": true, "is_input": true});
    let both = bench.call_until(both, CancellationToken::new());
    assert!(both.await.unwrap_err().contains("is_input"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_interrupts_the_command_and_keeps_the_shell() {
    let bench = Bench::new();
    bench.sh("KEPT=yes").await;
    let cancel = CancellationToken::new();
    let call = bench.call_until(json!({"command": ": > started; echo x; sleep 60"}), cancel.clone());
    let stop = async {
        until(async || bench.path().join("started").exists()).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(call, stop);
    assert_eq!(result, Err("interrupted".to_owned()));
    assert_eq!(bench.sh("echo $KEPT").await, ("yes".to_owned(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn background_children_die_with_close() {
    let bench = Bench::new();
    let (pids, _) = bench
        .sh("sleep 300 & echo $! > pids; (trap '' HUP TERM INT; exec sleep 300) & echo $! >> pids; \
             nohup sleep 300 >/dev/null 2>&1 & echo $! >> pids; cat pids; echo $$")
        .await;
    let pids: Vec<_> = pids.lines().filter(|line| line.parse::<u32>().is_ok()).map(str::to_owned).collect();
    assert_eq!(pids.len(), 4, "{pids:?}");
    assert!(pids.iter().all(is_alive));
    bench.set.close().await;
    assert!(!bench.set.has_live_shell());
    assert!(!pids.iter().any(is_alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_tools_ends_every_process() {
    let bench = Bench::new();
    let (pids, _) = bench.sh("(trap '' HUP; exec sleep 300) & echo $! > p; cat p; echo $$").await;
    let pids: Vec<_> = pids.lines().filter(|line| line.parse::<u32>().is_ok()).map(str::to_owned).collect();
    assert_eq!(pids.len(), 2);
    let Bench { set, folder } = bench;
    drop(set);
    until(async || !pids.iter().any(is_alive)).await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_answers_a_waiting_call() {
    let bench = Bench::new();
    let call = bench.call(json!({"command": ": > started; sleep 60"}));
    let stop = async {
        until(async || bench.path().join("started").exists()).await;
        bench.set.close().await;
    };
    let (seen, ()) = tokio::join!(call, stop);
    assert!(suffix(&seen).contains("The shell has ended"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_secrets_are_not_in_the_shells_environment() {
    // Every variable of this very process stands in for the server's. The user's own profile may set others.
    let bench = Bench::with(json!({"env": {"HOME": "/nonexistent"}}));
    let (names, _) = bench.sh("compgen -e").await;
    let inherited: Vec<String> =
        child_environment::inherited().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let own = "PATH LANG TERM PAGER GIT_PAGER AI_AGENT MANYHANDS_SHELL PWD OLDPWD SHLVL _";
    let own: Vec<&str> = own.split(' ').collect();
    for name in names.lines() {
        let known = own.contains(&name) || name == "MANYHANDS_SHELL";
        assert!(known || inherited.iter().any(|passed| passed == name), "{name}");
    }
    let hidden =
        std::env::vars().filter(|(name, _)| !inherited.contains(name) && !own.contains(&name.as_str()));
    assert!(hidden.count() > 0, "the test needs something to hide");
    assert_eq!(bench.sh("echo $AI_AGENT $PAGER $GIT_PAGER").await.0, "openhands cat cat");
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_secrets_reach_programs_and_are_never_shown() {
    const SECRET: &str = "s3c'r$t\\ \n\"ü`x`";
    let bench = Bench::knowing(
        json!({}),
        Arc::new(Known(&[("MY_TOKEN", SECRET), ("bad name", "letter-x"), ("1X", "letter-y")])),
    );
    bench.sh("set -x").await;
    let seen = bench.call(json!({"command": "env -0 > env; true $?"})).await;
    assert!(!seen.to_string().contains("s3c"), "{seen}");
    let environment = std::fs::read_to_string(bench.path().join("env")).unwrap();
    assert!(environment.split('\0').any(|entry| entry == format!("MY_TOKEN={SECRET}")));
}

/// Secrets that every command gets, and that are hidden from the first letter on.
struct Known(&'static [(&'static str, &'static str)]);

impl Secrets for Known {
    fn exports<'a>(&'a self, _command: &'a str) -> Boxed<'a, Vec<(String, String)>> {
        let exports = self.0.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Box::pin(std::future::ready(exports.collect()))
    }

    fn screen(&self) -> Box<dyn Screen> {
        Box::new(Held { values: self.0, text: String::new() })
    }
}

/// Holds everything back until the end.
struct Held {
    values: &'static [(&'static str, &'static str)],
    text: String,
}

impl Screen for Held {
    fn push(&mut self, piece: &str) -> String {
        self.text.push_str(piece);
        String::new()
    }

    fn finish(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.values.iter().fold(text, |text, (_, value)| text.replace(value, "<hidden>"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_hidden_before_an_output_is_cut_or_saved() {
    // Long enough to be cut in two, with a secret where the first cut would go.
    let bench = Bench::knowing(json!({}), Arc::new(Known(&[("KEY", "open-sesame-open-sesame")])));
    let command = "for i in {1..4000}; do printf '%s ' \"$KEY\"; done";
    let (shown, code) = bench.sh(command).await;
    assert_eq!(code, 0);
    assert!(shown.contains("characters cut") && shown.contains("<hidden>"), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
    let saved = std::fs::read_dir(bench.path().join("state/observations")).unwrap().next().unwrap().unwrap();
    let saved = std::fs::read_to_string(saved.path()).unwrap();
    assert!(saved.contains("<hidden>") && !saved.contains("sesame"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5_mb_output_is_cut_and_saved_whole() {
    let bench = Bench::new();
    let begun = Instant::now();
    let (shown, code) = bench.sh("seq 1 750000").await;
    let took = begun.elapsed();
    assert_eq!(code, 0);
    assert!(shown.chars().count() <= 30_000 && shown.starts_with("1\n2\n") && shown.ends_with("\n750000"));
    let folder = bench.path().join("state/observations");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert!(shown.contains(file.to_str().unwrap()));
    let whole: String = (1..=750_000).map(|number| format!("{number}\n")).collect();
    assert!(whole.len() > 5_000_000 && std::fs::read_to_string(file).unwrap() == whole);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_clean_text() {
    let bench = Bench::new();
    assert_eq!(
        bench.sh("printf '\\033[31mred\\033[0m\\n 10%%\\r100%%\\nbad\\377byte\\n'").await.0,
        "red\n100%\nbad\u{fffd}byte"
    );
    assert_eq!(bench.sh("stty onlcr echo; printf 'a\\nb\\n'").await.0, "a\nb");
    assert_eq!(bench.sh("echo echo is off again").await.0, "echo is off again");
    assert_eq!(bench.sh("stty raw -echo; echo x").await.0, "x");
    assert_eq!(bench.sh("echo mended").await.0, "mended");
    assert_eq!(bench.sh("tput cols 2>/dev/null || stty size").await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_take_turns() {
    let bench = Bench::new();
    let (one, two, three) =
        tokio::join!(bench.sh("echo one; sleep 0.1"), bench.sh("echo two"), bench.sh("echo three"));
    assert_eq!((one.0.as_str(), two.0.as_str(), three.0.as_str()), ("one", "two", "three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_leaves_the_command_to_be_polled() {
    let bench = Bench::new();
    bench.sh("true").await;
    let call = bench.call(json!({"command": "echo early; read x; echo late"}));
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    let seen = bench.input("x").await;
    assert_eq!((text(&seen).as_str(), exit_code(&seen)), ("early\nlate", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_made_is_told() {
    let context = ToolContext::new("/proc/no/such/place", "/tmp/none");
    let spec = ToolSpec { name: "terminal".to_owned(), params: Map::new() };
    let set = ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap();
    let parsed = set.parse("terminal", json!({"command": "true"}).as_object().unwrap()).unwrap();
    let error = set.run("terminal", &parsed.action, CancellationToken::new()).await.unwrap_err();
    assert!(error.contains("/proc/no/such/place"), "{error}");
}
