//! What a command costs beside what it does itself. Counted, not timed: a busy machine is slower, not different.

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

const COMMANDS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_does_nothing_starts_no_program_and_is_a_few_calls_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let context = ToolContext::new(folder.path(), folder.path());
    let spec = ToolSpec { name: "terminal".to_owned(), params: Map::new() };
    let set = ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap();
    let run = async |command: &str| {
        let arguments = json!({"command": command});
        let action = set.parse("terminal", arguments.as_object().unwrap()).unwrap().action;
        let seen = set.run("terminal", &action, CancellationToken::new()).await.unwrap();
        assert_eq!(seen["exit_code"], 0);
        seen["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let pid = run("echo $$").await;
    let before = Costs::of(&pid);
    for _ in 0..COMMANDS {
        run("true").await;
    }
    let after = Costs::of(&pid);
    assert_eq!(after.of_children, before.of_children, "a program was started");
    let calls = after.calls - before.calls;
    println!("{calls} reads and writes for {COMMANDS} commands");
    assert!(calls <= 4 * COMMANDS, "{calls} reads and writes for {COMMANDS} commands");
    run("/bin/true").await;
    assert!(Costs::of(&pid).of_children > after.of_children, "a program that was started shows");
    set.close().await;
}

struct Costs {
    /// Page faults of all programs that it has started and that have ended.
    of_children: usize,
    /// Reads and writes.
    calls: usize,
}

impl Costs {
    fn of(pid: &str) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let of_children = fields.split(' ').nth(8).unwrap().parse().unwrap();
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let count = |name: &str| -> usize {
            let line = io.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        Self { of_children, calls: count("syscr:") + count("syscw:") }
    }
}
