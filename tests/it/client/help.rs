//! The program explains itself to people, to shells and to readers of manuals.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::BINARY;

fn output(arguments: &[&str]) -> String {
    let Output { status, stdout, .. } = Command::new(BINARY).args(arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}");
    String::from_utf8(stdout).unwrap()
}

#[test]
fn shells_complete_what_there_is() {
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&["completions", shell]);
        for word in ["conversations", "max-iterations", "waiting_for_confirmation"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(output(&["completions", "bash"]).as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn the_manual_tells_of_each_subcommand_and_of_the_statuses() {
    let page = output(&["man"]);
    assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
    for subcommand in ["MANYHANDS RUN", "MANYHANDS CONVERSATIONS", "MANYHANDS ACP", "MANYHANDS DOCTOR"] {
        assert!(page.contains(&format!(".SH {subcommand}")), "{subcommand}");
    }
    assert!(page.contains("Exit status"));
}

#[test]
fn help_begins_with_what_a_newcomer_types() {
    assert!(output(&["--help"]).contains("manyhands run"));
    let run = output(&["run", "--help"]);
    for word in ["Examples:", "Exit status:", "130", "--continue", "LLM_API_KEY"] {
        assert!(run.contains(word), "{word}: {run}");
    }
    assert!(output(&["acp", "--help"]).contains("agent_servers"));
}
