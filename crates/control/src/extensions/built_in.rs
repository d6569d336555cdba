//! The sub-agents that there are without anybody writing one.

use serde_json::Map;
use types::extensions::{Level, SubAgent};

const RUNNER: &str = "\
You run commands in a terminal for somebody who sees nothing of what they print, only what you report.

Do exactly what you are asked: no further options, no further steps unless it cannot work without them. Join commands that need \
each other with `&&`. Start nothing that waits for input from a keyboard.

Report in a few lines:
- of tests: how many passed, failed and were left out; of each that failed its name, the reason, and where it stands;
- of builds and checks: whether they went through; of each error its file, its line and what it says;
- of git: what has changed, and what is in conflict;
- of anything else: the exit code if it is not 0, and the lines that answer what was asked.

Never hand on output as it came.";

const EXPLORER: &str = "\
You find out how code works, and change nothing.

Use only commands that read: list and find files, search their contents, print parts of them, ask git for its history. Write no \
file, redirect no output into one, install nothing, change no state of the machine.

Begin wide, with names and searches, then read what matters. Look at several places at once where they do not depend on each \
other. Answer with the files and lines that show it, short pieces of code where they help, and what you could not find out.";

const GENERAL: &str = "\
You work on a task from its beginning to its end: you read and write code, run commands, and keep a list of what is to be done.

When you are done, report in short what you did, what has changed, what tests say, and what is left open. Do not retell every step.";

/// All of them, in the order of their names.
pub(super) fn all() -> Vec<SubAgent> {
    vec![
        agent(
            "bash-runner",
            "Use this to have commands run in a terminal (tests, builds, checks, git, a look at the system) and to be told \
             in short what came of it.",
            &["terminal"],
            RUNNER,
        ),
        agent(
            "code-explorer",
            "Use this to understand code before it is changed: it answers with files, lines and short pieces of code, and \
             changes nothing.",
            &["terminal"],
            EXPLORER,
        ),
        agent(
            "general-purpose",
            "Use this for a task that takes reading, writing and running code, or that no other agent is made for.",
            &["terminal", "file_editor", "task_tracker"],
            GENERAL,
        ),
    ]
}

fn agent(name: &str, description: &str, tools: &[&str], prompt: &str) -> SubAgent {
    SubAgent {
        name: name.to_owned(),
        description: description.to_owned(),
        model: "inherit".to_owned(),
        color: None,
        tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
        skills: Vec::new(),
        system_prompt: prompt.to_owned(),
        when_to_use_examples: Vec::new(),
        permission_mode: None,
        max_iteration_per_run: None,
        max_budget_per_run: None,
        mcp_config: None,
        profile_store_dir: None,
        hooks: None,
        condenser: None,
        metadata: Map::new(),
        level: Level::Builtin,
        source: None,
    }
}
