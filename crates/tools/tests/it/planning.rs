//! The promises of the editor of agents that plan.

use std::fs;
use std::os::unix::fs::symlink;

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::{Value, json};
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

use crate::bench::{Bench, error, text};

const TOOL: &str = "planning_file_editor";

async fn replace(bench: &Bench, path: &std::path::Path, old: &str, new: &str) -> Value {
    bench.call(TOOL, json!({"command": "str_replace", "path": path, "old_str": old, "new_str": new})).await
}

#[tokio::test]
async fn the_plan_is_made_when_it_is_used_and_only_it_is_changed() {
    let bench = Bench::new();
    let other = bench.write("a.txt", "one\n");
    let plan = bench.path(".agents_tmp/PLAN.md");
    assert!(!plan.exists(), "to make the tool makes no file");
    let seen = bench.call(TOOL, json!({"command": "view", "path": plan})).await;
    assert_eq!(seen["kind"], "PlanningFileEditorObservation");
    assert!(
        text(&seen).contains("# 1. OBJECTIVE") && text(&seen).contains("# 5. TESTING AND VALIDATION"),
        "{seen}"
    );
    assert!(text(&bench.call(TOOL, json!({"command": "view", "path": other})).await).contains("one"));

    let seen = replace(&bench, &plan, "# 1. OBJECTIVE\n", "# 1. OBJECTIVE\n\nDo it.\n").await;
    assert_eq!(seen["is_error"], false, "{seen}");
    assert!(bench.read(".agents_tmp/PLAN.md").contains("Do it."));
    let refused = |command: &str, path: &std::path::Path| {
        format!(
            "Operation '{command}' is not allowed on file '{}'. Only the following files can be edited: ['{}']",
            path.display(),
            plan.display()
        )
    };
    assert_eq!(error(&replace(&bench, &other, "one", "two").await), refused("str_replace", &other));
    let beside = bench.path("PLAN.md");
    let seen = bench.call(TOOL, json!({"command": "create", "path": beside, "file_text": "x"})).await;
    assert_eq!(error(&seen), refused("create", &beside));
    assert!(!beside.exists());
    symlink(&other, bench.path(".agents_tmp/link.md")).unwrap();
    error(&replace(&bench, &bench.path(".agents_tmp/link.md"), "one", "two").await);
    assert_eq!(bench.read("a.txt"), "one\n");

    let seen = bench.call(TOOL, json!({"command": "undo_edit", "path": plan})).await;
    assert_eq!(seen["is_error"], false, "{seen}");
    assert!(!bench.read(".agents_tmp/PLAN.md").contains("Do it."));
}

#[tokio::test]
async fn a_plan_of_before_is_gone_on_with_and_another_place_can_be_named() {
    let bench = Bench::new();
    let plan = bench.write("PLAN.md", "old plan\n");
    assert_eq!(replace(&bench, &plan, "old", "new").await["is_error"], false);
    assert_eq!(bench.read("PLAN.md"), "new plan\n");
    assert!(!bench.path(".agents_tmp").exists());

    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("deep/plan.txt");
    let bench = Bench::with(&json!({TOOL: {"plan_path": named}}));
    assert_eq!(replace(&bench, &named, "# 2.", "# two:").await["is_error"], false);
    assert!(fs::read_to_string(&named).unwrap().contains("# two: CONTEXT SUMMARY"));

    let spec = ToolSpec {
        name: TOOL.to_owned(),
        params: json!({"plan_path": "plan.md"}).as_object().unwrap().clone(),
    };
    let made = ToolSet::new(&Catalogue::standard(), &[spec], &[], &ToolContext::new("/tmp", "/tmp"));
    assert!(made.err().unwrap().to_string().contains("must be an absolute path"));
}

#[tokio::test]
async fn where_no_plan_can_be_made_all_can_still_be_viewed() {
    let bench = Bench::new();
    let file = bench.write(".agents_tmp", "no folder\n");
    assert!(text(&bench.call(TOOL, json!({"command": "view", "path": file})).await).contains("no folder"));
    assert!(error(&replace(&bench, &file, "no", "a").await).starts_with("The plan could not be made: "));
    let definitions = bench.set.definitions();
    let told = &definitions.iter().find(|tool| tool.name == TOOL).unwrap().description;
    assert!(told.contains(&bench.path(".agents_tmp/PLAN.md").display().to_string()), "{told}");
}

#[tokio::test]
async fn a_plan_that_is_a_link_is_not_written() {
    let bench = Bench::new();
    let outside = bench.root.with_file_name("profile");
    fs::write(&outside, "one\n").unwrap();
    fs::create_dir(bench.path(".agents_tmp")).unwrap();
    let plan = bench.path(".agents_tmp/PLAN.md");
    symlink(&outside, &plan).unwrap();
    let edit = json!({"command": "str_replace", "path": plan, "old_str": "one", "new_str": "two"});
    let seen = bench.call(TOOL, edit.clone()).await;
    assert!(error(&seen).contains("PLAN.md is a link"), "{seen}");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "one\n");

    fs::remove_dir_all(bench.path(".agents_tmp")).unwrap();
    let elsewhere = bench.root.with_file_name("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, bench.path(".agents_tmp")).unwrap();
    error(&bench.call(TOOL, edit).await);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}
