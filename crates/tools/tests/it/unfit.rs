//! A shell may be made unfit for anything: a command runs once, and is never reported as done when it did not run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use manyhands_tools::{Catalogue, NoSecrets, Secrets, ToolContext, ToolSet};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

pub struct Bench {
    pub set: ToolSet,
    pub folder: TempDir,
}

#[derive(Debug)]
pub struct Seen {
    pub text: String,
    pub exit_code: i64,
    pub prefix: String,
    pub suffix: String,
    pub directory: String,
}

impl Bench {
    pub fn new() -> Self {
        Self::knowing(Arc::new(NoSecrets))
    }

    pub fn knowing(secrets: Arc<dyn Secrets>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        let params = json!({"env": {"HOME": place}});
        let spec = ToolSpec { name: "terminal".to_owned(), params: params.as_object().unwrap().clone() };
        let context = ToolContext { secrets, ..ToolContext::new(&place, place.join("state")) };
        Self { set: ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap(), folder }
    }

    pub async fn run(&self, command: &str) -> Seen {
        self.call(json!({"command": command})).await
    }

    pub async fn call(&self, arguments: Value) -> Seen {
        let parsed = self.set.parse("terminal", arguments.as_object().unwrap()).unwrap();
        let run = self.set.run("terminal", &parsed.action, CancellationToken::new());
        let seen =
            tokio::time::timeout(Duration::from_secs(60), run).await.expect("the call returns").unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Seen {
            text: text(&seen["content"][0]["text"]),
            exit_code: seen["exit_code"].as_i64().unwrap(),
            prefix: text(&seen["metadata"]["prefix"]),
            suffix: text(&seen["metadata"]["suffix"]),
            directory: seen["metadata"]["working_dir"].as_str().unwrap_or_default().to_owned(),
        }
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

/// What a command may do to every word that runs the next one, and to whatever tells how it ended.
const UNFIT: [&str; 52] = [
    "builtin() { :; }",
    "builtin() { return 1; }",
    "alias builtin=:",
    "enable -n builtin",
    "shopt -s extdebug; trap '[[ $BASH_COMMAND != builtin\\ printf* ]]' DEBUG",
    "shopt -s extdebug; trap '[[ $BASH_COMMAND != *printf* ]]' DEBUG",
    "shopt -s extdebug; trap false DEBUG",
    "trap 'exit 7' DEBUG",
    "trap 'return 7' ERR",
    "eval() { :; }",
    "alias eval=:",
    "enable -n eval",
    "printf() { :; }",
    "alias printf=:",
    "enable -n printf",
    "enable -n test",
    "enable -n declare unset",
    "enable -n eval printf declare test set shopt",
    "enable -n enable builtin",
    "test() { return 1; }; declare() { :; }; unset() { :; }; set() { :; }; exec() { :; }; shopt() { :; }",
    "alias if=: then=: fi=: {=:",
    "alias case=: in=:",
    "readonly PS1= PROMPT_COMMAND=",
    "readonly PS1='> ' PS2='> '",
    "declare -u PS1 PROMPT_COMMAND",
    "declare -l PS1 PROMPT_COMMAND; declare -i PS2",
    "declare -n PS1=NOWHERE",
    "unset PS1 PS2 PROMPT_COMMAND",
    "PROMPT_COMMAND=(false exit)",
    "shopt -u promptvars; readonly PROMPT_COMMAND=",
    "readonly __prompt_n",
    "readonly __prompt_x= __prompt_y=",
    "readonly __prompt_z=z",
    "unset -f __prompt_r",
    "set -n",
    "set -e; set -u",
    "set -o pipefail; set -f; set -C; set -B; set -m",
    "set -k",
    "set -v; set -x",
    "set -o posix",
    "set -t",
    "set +m; set +o monitor",
    "IFS=0123456789/_; readonly IFS",
    "kill -STOP $$",
    "exec 0<&- 1>&- 2>&-",
    "exec 0<&- 1>&- 2>&- 255>&-; sleep 0.5; echo done > done",
    "exec 3</dev/null 4>&1 9>/dev/null",
    "stty raw -echo -opost",
    "stty -icanon min 0 time 0",
    "ulimit -n 3",
    "ulimit -f 0; trap '' XFSZ",
    "shopt -s expand_aliases extglob nocasematch failglob nullglob compat44; LC_ALL=C",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_whatever_the_one_before_has_done_to_its_shell() {
    for unfit in UNFIT {
        let bench = Bench::new();
        bench.run("cd .").await;
        let begun = Instant::now();
        let did = bench.run(unfit).await;
        assert!(!did.suffix.contains("still running"), "{unfit}: {did:?}");
        if unfit.contains("> done") {
            assert_eq!(bench.file("done"), "done\n", "{unfit}: {did:?}");
        }
        let seen = bench.run("command echo once >> log; command echo ran; (exit 3)").await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{unfit}: {:?}", begun.elapsed());
        let log = bench.file("log");
        if unfit.contains("-f 0") {
            // Nothing can be written then.
            assert!(log.is_empty() && seen.text.contains("ran"), "{unfit}: {did:?} {seen:?}");
        } else {
            assert_eq!(log, "once\n", "{unfit}: {did:?} {seen:?}");
        }
        assert!(seen.text.contains("ran"), "{unfit}: {did:?} {seen:?}");
        assert_eq!(seen.exit_code, 3, "{unfit}: {did:?} {seen:?}");
        if seen.prefix.contains("new one") {
            assert_eq!(bench.run("echo again; true").await.text, "again", "{unfit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_not_run_is_reported_as_not_known_and_not_as_done() {
    let bench = Bench::new();
    bench.run("trap 'shopt -s extdebug; [[ $BASH_COMMAND != *zebra* ]]' DEBUG").await;
    let seen = bench.run("echo zebra > log").await;
    assert_eq!((seen.exit_code, bench.file("log").as_str()), (-1, ""), "{seen:?}");
    assert!(seen.suffix.contains("not known whether it ran"), "{seen:?}");
    assert_eq!(bench.run("echo next").await.text, "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_says_no_more_when_a_command_is_over_is_ended_and_the_terminal_goes_on() {
    for command in [
        "enable -n builtin; PROMPT_COMMAND= PS1=; echo last",
        "enable -n builtin; readonly PS1= PROMPT_COMMAND=; echo last",
    ] {
        let bench = Bench::new();
        bench.run("cd .").await;
        let seen = bench.run(command).await;
        assert_eq!(seen.exit_code, -1, "{command}: {seen:?}");
        assert!(seen.suffix.contains("its exit code is not known"), "{command}: {seen:?}");
        assert!(seen.text.starts_with("last"), "{command}: {seen:?}");
        assert_eq!(bench.run("echo next").await.text, "next", "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_waits_for_input_is_not_taken_for_a_shell_that_is_ready() {
    let bench = Bench::new();
    for (reader, shown) in [
        ("read -r line; echo \"got $line\"", "got it"),
        ("mapfile -n 1 lines; echo \"got ${lines[0]}\"", "got it"),
        ("select one in it; do echo \"got $one\"; break; done", "got"),
        ("source /dev/tty", ""),
        ("cat", "it"),
    ] {
        let seen = bench.call(json!({"command": reader, "timeout": 2.5})).await;
        assert!(seen.suffix.contains("still running"), "{reader}: {seen:?}");
        let input = if reader.starts_with("source") { ":" } else { "it" };
        let seen = bench.call(json!({"command": input, "is_input": true, "timeout": 1.5})).await;
        assert!(seen.text.contains(shown), "{reader}: {seen:?}");
        if seen.exit_code == -1 {
            bench.call(json!({"command": "C-d", "is_input": true})).await;
        }
        assert_eq!(bench.run("echo next").await.text, "next", "{reader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_has_ended_keeps_its_number_until_all_of_its_session_is_gone() {
    let bench = Bench::new();
    let stays = "(trap '' HUP TERM; exec sleep 60) & disown; echo $$ $! > pids; exit 0";
    bench.run("cd .").await;
    let end = bench.run(stays);
    let look = async {
        let pids = loop {
            let pids = bench.file("pids");
            if pids.ends_with('\n') {
                break pids;
            }
            tokio::task::yield_now().await;
        };
        let (shell, stayed) = pids.trim().split_once(' ').unwrap();
        let exists = |pid: &str| std::path::Path::new("/proc").join(pid).exists();
        while exists(shell) {
            tokio::task::yield_now().await;
        }
        let stat = std::fs::read_to_string(format!("/proc/{stayed}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let (seen, session_went_first) = tokio::join!(end, look);
    assert_eq!(seen.exit_code, 0, "{seen:?}");
    assert!(session_went_first);
}

/// The shell finds the end of its input then, and goes: before it is given the next command, or in that moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_after_one_that_lets_reads_come_back_empty() {
    let bench = Bench::new();
    for round in 0..20 {
        bench.run("stty -icanon min 0 time 0").await;
        let seen = bench.run(&format!("echo {round} >> ran; echo yes")).await;
        assert_eq!((seen.text.as_str(), seen.exit_code), ("yes", 0), "round {round}: {seen:?}");
    }
    let all: String = (0..20).map(|round| format!("{round}\n")).collect();
    assert_eq!(bench.file("ran"), all);
}

const ONE_KEY: &str = "import os, termios, tty
modes = termios.tcgetattr(0)
tty.setraw(0)
print('any key?', flush=True)
os.read(0, 1)
termios.tcsetattr(0, termios.TCSADRAIN, modes)";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_and_is_told_after_a_program_that_left_some_of_its_input_unread() {
    let deaf = "echo 'any key?'; until [ -e go ]; do sleep 0.01; done";
    for (program, input) in [
        ("python3 one_key.py", "y"),
        (deaf, "UP"),
        (deaf, "ESC"),
        (deaf, "HOME"),
        (deaf, "echo INJECTED; touch log"),
        (deaf, "cat"),
        (deaf, "exit"),
        (deaf, "C-d"),
        (deaf, "one\ntwo 'and\nthree"),
        ("read -n 1 -p 'any key?' key", "yes"),
        ("python3 one_key.py", "it's"),
        ("python3 one_key.py", "y # yes"),
        ("python3 one_key.py", "y("),
        ("stty raw; echo 'any key?'; until [ -e go ]; do sleep 0.01; done", "exit"),
        ("stty -isig; echo 'any key?'; until [ -e go ]; do sleep 0.01; done", "C-c"),
    ] {
        let bench = Bench::new();
        std::fs::write(bench.folder.path().join("one_key.py"), ONE_KEY).unwrap();
        bench.run("KEPT=yes").await;
        let mut asks = bench.call(json!({"command": program, "timeout": 0.2})).await;
        while !asks.text.contains("any key?") {
            asks = bench.call(json!({"command": "", "is_input": true, "timeout": 0.2})).await;
        }
        let mut ended = bench.call(json!({"command": input, "is_input": true, "timeout": 0.5})).await;
        std::fs::write(bench.folder.path().join("go"), "").unwrap();
        while ended.exit_code == -1 {
            ended = bench.call(json!({"command": "", "is_input": true, "timeout": 10})).await;
        }
        assert_eq!(ended.exit_code, 0, "{program}: {ended:?}");
        let seen = bench.run("echo once >> log; echo ran $KEPT; (exit 3)").await;
        assert_eq!(seen.text, "ran yes", "{program} {input}: {seen:?}");
        assert_eq!((seen.exit_code, seen.prefix.as_str()), (3, ""), "{program} {input}: {seen:?}");
        assert_eq!(bench.file("log"), "once\n", "{program} {input}");
        assert_eq!(bench.run("echo next $KEPT").await.text, "next yes", "{program} {input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_that_the_shell_could_not_keep_is_reported_as_not_known() {
    for command in [
        "ulimit -n 4; false",
        "set -r; (exit 3)",
        "readonly __prompt_s; true",
        "set -u; unset __prompt_y; true",
    ] {
        let bench = Bench::new();
        bench.run("cd .").await;
        let seen = bench.run(command).await;
        assert_eq!(seen.exit_code, -1, "{command}: {seen:?}");
        assert!(seen.suffix.contains("exit code, which is not known"), "{command}: {seen:?}");
        let seen = bench.run("echo ran; (exit 3)").await;
        assert_eq!((seen.text.as_str(), seen.exit_code), ("ran", 3), "{command}: {seen:?}");
        assert!(seen.prefix.contains("new one"), "{command}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_has_lost_its_words_still_says_how_the_command_ended() {
    for command in ["builtin() { :; }; (exit 4)", "readonly __prompt_t; exec 2>/dev/null; (exit 4)"] {
        let bench = Bench::new();
        bench.run("cd .").await;
        let seen = bench.run(command).await;
        assert_eq!(seen.exit_code, 4, "{command}: {seen:?}");
        assert!(!seen.suffix.contains("not known"), "{command}: {seen:?}");
        assert!(bench.run("echo next").await.text.starts_with("next"), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_inside_of_the_shell_is_not_taken_for_a_command_that_is_over() {
    for exported in ["set -a", "set -a; export PS1 __prompt_n __prompt_s", "export PS1 __prompt_n __prompt_s"]
    {
        let bench = Bench::new();
        bench.run(exported).await;
        let seen = bench.call(json!({"command": "bash --norc", "timeout": 1.5})).await;
        assert!(seen.suffix.contains("still running"), "{exported}: {seen:?}");
        let seen = bench.call(json!({"command": "exit 5", "is_input": true, "timeout": 10})).await;
        assert_eq!(seen.exit_code, 5, "{exported}: {seen:?}");
        assert_eq!(bench.run("echo next").await.text, "next", "{exported}");
    }
}
