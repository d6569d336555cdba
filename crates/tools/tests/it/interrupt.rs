//! An interrupted terminal is ready for the next command, whenever the interrupt came.

use std::time::{Duration, Instant};

use manyhands_tools::{ToolContext, ToolSet};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;

fn action(command: &str) -> Value {
    json!({"kind": "TerminalAction", "command": command, "is_input": false, "reset": false, "timeout": null})
}

#[tokio::test]
async fn the_next_command_runs_after_an_interrupt_between_two_programs() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_path_buf();
    let context = ToolContext { working_dir: place.clone(), persistence_dir: place.clone() };
    let spec = ToolSpec { name: "terminal".to_owned(), params: serde_json::Map::new() };
    let tools = ToolSet::new(&[spec], &[], context).unwrap();
    for round in 0..20 {
        let begun = place.join(format!("begun{round}"));
        let cancel = CancellationToken::new();
        let interrupt = async {
            while !begun.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            cancel.cancel();
        };
        let between = action(&format!("touch begun{round}; sleep 30"));
        let (outcome, ()) = tokio::join!(tools.run("terminal", &between, &[], cancel.clone()), interrupt);
        assert_eq!(outcome.unwrap_err(), "interrupted");

        let started = Instant::now();
        let next =
            tools.run("terminal", &action("echo next $?"), &[], CancellationToken::new()).await.unwrap();
        assert!(next.to_string().contains("next 130"), "round {round}: {next}");
        assert!(started.elapsed() < Duration::from_secs(5), "round {round} took {:?}", started.elapsed());
    }
    tools.close().await;
}
