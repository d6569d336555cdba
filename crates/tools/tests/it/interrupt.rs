//! An interrupted terminal is ready for the next command, whenever the interrupt came.

use std::time::{Duration, Instant};

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::{ToolAction, Toolbox as _};

use crate::unfit::Bench;

fn action(tools: &ToolSet, command: &str) -> ToolAction {
    let arguments = json!({"command": command});
    tools.parse("terminal", arguments.as_object().unwrap()).unwrap().action
}

#[tokio::test]
async fn the_next_command_runs_after_an_interrupt_between_two_programs() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_path_buf();
    let context = ToolContext::new(&place, &place);
    let spec = ToolSpec { name: "terminal".to_owned(), params: serde_json::Map::new() };
    let tools = ToolSet::new(&Catalogue::standard(), &[spec], &[], &context).unwrap();
    for round in 0..20 {
        let begun = place.join(format!("begun{round}"));
        let cancel = CancellationToken::new();
        let interrupt = async {
            while !begun.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            cancel.cancel();
        };
        let between = action(&tools, &format!("touch begun{round}; sleep 30"));
        let (outcome, ()) = tokio::join!(tools.run("terminal", &between, cancel.clone()), interrupt);
        assert_eq!(outcome.unwrap_err(), "interrupted");

        let started = Instant::now();
        let next = action(&tools, "echo next $?");
        let next = tools.run("terminal", &next, CancellationToken::new()).await.unwrap();
        assert!(next.to_string().contains("next 130"), "round {round}: {next}");
        assert!(started.elapsed() < Duration::from_secs(5), "round {round} took {:?}", started.elapsed());
    }
    tools.close().await;
}

#[tokio::test]
async fn a_command_that_is_cancelled_before_its_turn_does_not_begin() {
    let bench = Bench::new();
    bench.run("echo ready").await;
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    for round in 0..10 {
        let command = action(&bench.set, &format!("touch begun{round}"));
        assert_eq!(bench.set.run("terminal", &command, cancelled.clone()).await.unwrap_err(), "interrupted");
    }
    assert_eq!(bench.run("ls -d begun*").await.text, "ls: cannot access 'begun*': No such file or directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_cancelled_while_it_is_typed_runs_whole_or_not() {
    let command = format!(": > begun\n{}: > ended", format!("# {}\n", "filler ".repeat(14)).repeat(1000));
    for trap in ["trap '' INT", "trap 'echo caught' INT"] {
        for round in 0..8 {
            let bench = Bench::new();
            bench.run(trap).await;
            let parsed =
                bench.set.parse("terminal", json!({"command": command}).as_object().unwrap()).unwrap();
            let cancel = CancellationToken::new();
            let stop = async {
                tokio::time::sleep(Duration::from_millis(1 << round)).await;
                cancel.cancel();
            };
            let (_, ()) = tokio::join!(bench.set.run("terminal", &parsed.action, cancel.clone()), stop);
            let next = bench.run("echo next").await;
            assert_eq!(next.text, "next", "{trap}, {round}");
            let exists = |name: &str| bench.folder.path().join(name).exists();
            let was_killed = next.prefix.contains("ended with its shell");
            assert!(was_killed || exists("begun") == exists("ended"), "{trap}, {round}");
        }
    }
}
