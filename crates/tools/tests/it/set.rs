//! What the set tells the loop and clients, and how it reads calls.

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::Toolbox as _;

fn spec(name: &str) -> ToolSpec {
    ToolSpec { name: name.to_owned(), params: Map::new() }
}

fn context(folder: &std::path::Path) -> ToolContext {
    ToolContext::new(folder, folder.join("state"))
}

fn made(
    specs: &[ToolSpec],
    classes: &[&str],
    folder: &std::path::Path,
) -> Result<ToolSet, manyhands_tools::Error> {
    let classes: Vec<String> = classes.iter().map(|class| (*class).to_owned()).collect();
    ToolSet::new(&Catalogue::standard(), specs, &classes, &context(folder))
}

fn all_tools(folder: &std::path::Path) -> ToolSet {
    let specs = [spec("terminal"), spec("FileEditorTool"), spec("task_tracker")];
    made(&specs, &["FinishTool", "ThinkTool"], folder).unwrap()
}

fn parse(tool: &str, arguments: Value) -> Result<Value, String> {
    let parsed = all_tools("/tmp".as_ref()).parse(tool, arguments.as_object().unwrap());
    parsed.map(|parsed| parsed.described)
}

#[test]
fn tools_are_announced_in_the_form_clients_know() {
    let set = all_tools("/tmp".as_ref());
    let announced: Vec<Value> = set
        .definitions()
        .iter()
        .map(|definition| {
            assert!(definition.description.len() > 100);
            assert_eq!(definition.announced["description"], definition.description);
            let mut announced = definition.announced.clone();
            announced.as_object_mut().unwrap().remove("description");
            announced
        })
        .collect();
    let form = |name: &str, class: &str, hints: [bool; 4], titled: bool| {
        let mut annotations = json!({"readOnlyHint": hints[0], "destructiveHint": hints[1],
            "idempotentHint": hints[2], "openWorldHint": hints[3]});
        if titled {
            annotations["title"] = json!(name);
        }
        json!({"action_type": format!("{class}Action"), "observation_type": format!("{class}Observation"),
            "annotations": annotations, "kind": format!("{class}Tool"), "title": name})
    };
    let expected = [
        form("terminal", "Terminal", [false, true, false, true], true),
        form("file_editor", "FileEditor", [false, true, false, false], true),
        form("task_tracker", "TaskTracker", [false, false, true, false], false),
        form("finish", "Finish", [true, false, true, false], true),
        form("think", "Think", [true, false, true, false], false),
    ];
    assert_eq!(announced, expected);
    let read_only: Vec<bool> = set.definitions().iter().map(|definition| definition.read_only).collect();
    assert_eq!(read_only, [false, false, false, true, true]);
}

#[test]
fn schemas_name_the_parameters_and_nothing_of_the_loops() {
    let set = all_tools("/tmp".as_ref());
    let shapes: Vec<(Vec<&str>, Value)> = set
        .definitions()
        .iter()
        .map(|definition| {
            let properties = definition.parameters["properties"].as_object().unwrap();
            (properties.keys().map(String::as_str).collect(), definition.parameters["required"].clone())
        })
        .collect();
    assert_eq!(
        shapes,
        [
            (vec!["command", "is_input", "timeout", "reset"], json!(["command"])),
            (
                vec!["command", "path", "file_text", "old_str", "new_str", "insert_line", "view_range"],
                json!(["command", "path"])
            ),
            (vec!["command", "task_list"], Value::Null),
            (vec!["message"], json!(["message"])),
            (vec!["thought"], json!(["thought"])),
        ]
    );
}

#[test]
fn unknown_tools_are_refused_with_the_known_ones() {
    let error = made(&[spec("browser_tool_set")], &[], "/tmp".as_ref()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "tool 'browser_tool_set' is not registered. Available tools: terminal, file_editor, task_tracker, \
         apply_patch, glob, grep, planning_file_editor, edit, list_directory, read_file, write_file, finish, think"
    );
    let error = made(&[], &["SwitchLLMTool"], "/tmp".as_ref()).err().unwrap();
    assert!(error.to_string().contains("'SwitchLLMTool'"));
}

#[test]
fn wrong_creation_parameters_are_refused() {
    for params in [
        json!({"no_change_timeout_seconds": 0}),
        json!({"shell_path": "/bin/zsh"}),
        json!({"env": {"A=B": "x"}}),
        json!({"env": []}),
    ] {
        let spec = ToolSpec { name: "terminal".to_owned(), params: params.as_object().unwrap().clone() };
        assert!(made(&[spec], &[], "/tmp".as_ref()).is_err(), "{params}");
    }
}

#[test]
fn actions_carry_their_kind_and_defaults() {
    let actions = [
        (
            "terminal",
            json!({"command": "ls"}),
            json!({"command": "ls", "is_input": false, "reset": false, "kind": "TerminalAction"}),
        ),
        (
            "terminal",
            json!({"command": "ls", "timeout": 3}),
            json!({"command": "ls", "is_input": false, "timeout": 3.0, "reset": false, "kind": "TerminalAction"}),
        ),
        (
            "file_editor",
            json!({"command": "view", "path": "/a", "view_range": [1, 2], "old_str": null}),
            json!({"command": "view", "path": "/a", "view_range": [1, 2], "kind": "FileEditorAction"}),
        ),
        ("task_tracker", json!({}), json!({"command": "view", "task_list": [], "kind": "TaskTrackerAction"})),
        (
            "task_tracker",
            json!({"command": "plan", "task_list": [{"title": "a", "status": "In-Progress"}, {"title": "b"}]}),
            json!({"command": "plan", "task_list": [
                {"title": "a", "notes": "", "status": "in_progress"}, {"title": "b", "notes": "", "status": "todo"},
            ], "kind": "TaskTrackerAction"}),
        ),
        ("think", json!({"thought": "x"}), json!({"thought": "x", "kind": "ThinkAction"})),
        ("finish", json!({"message": "x"}), json!({"message": "x", "kind": "FinishAction"})),
    ];
    for (tool, arguments, action) in actions {
        let parsed = parse(tool, arguments).unwrap();
        assert_eq!(parsed.to_string(), action.to_string());
    }
}

#[test]
fn bad_arguments_are_explained() {
    for (tool, arguments, words) in [
        ("terminal", json!({"cmd": "ls"}), "`command` is required (text); unknown argument `cmd`"),
        ("terminal", json!({"command": 3}), "`command` must be text, not a number"),
        ("terminal", json!({"command": "a\u{0}b"}), "NUL"),
        ("terminal", json!({"command": "x", "timeout": -2}), "`timeout` must not be negative"),
        ("file_editor", json!({"path": "/a"}), "`command` is required"),
        ("file_editor", json!({"command": "delete", "path": "/a"}), "must be one of view, create"),
        ("file_editor", json!({"command": "insert", "path": "/a", "insert_line": 1.5}), "a whole number"),
        ("task_tracker", json!({"task_list": [{"status": "later"}]}), "task 1: `title` is required"),
        ("task_tracker", json!({"task_list": "x"}), "`task_list` must be a list of tasks, not text"),
        ("finish", json!({}), "`message` is required"),
        ("nothing", json!({}), "no tool 'nothing'"),
    ] {
        let error = parse(tool, arguments.clone()).unwrap_err();
        assert!(error.contains(words), "{arguments}: {error}");
    }
}

#[tokio::test]
async fn the_task_list_is_shown_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |arguments: Value| {
        let set = all_tools(folder.path());
        let parsed = set.parse("task_tracker", arguments.as_object().unwrap()).unwrap();
        set.run("task_tracker", &parsed.action, CancellationToken::new()).await.unwrap()
    };
    let seen = run(json!({"command": "view"})).await;
    assert!(seen["content"][0]["text"].as_str().unwrap().contains("\"plan\""));
    assert_eq!(seen["task_list"], json!([]));
    let list = json!([
        {"title": "Read", "notes": "main first", "status": "done"},
        {"title": "Write", "notes": "", "status": "in_progress"},
        {"title": "Test", "notes": "", "status": "todo"},
    ]);
    let seen = run(json!({"command": "plan", "task_list": list})).await;
    let expected = json!({
        "content": [{"type": "text", "cache_prompt": false, "text": "Task list has been updated with 3 item(s)."}],
        "is_error": false,
        "command": "plan",
        "task_list": list,
        "kind": "TaskTrackerObservation",
    });
    assert_eq!(seen, expected);
    let seen = run(json!({})).await;
    let text = "# Task List\n\n1. ✅ Read\n   main first\n\n2. 🔄 Write\n\n3. ⏳ Test";
    assert_eq!((seen["content"][0]["text"].clone(), seen["task_list"].clone()), (json!(text), list));
}

#[tokio::test]
async fn thoughts_and_endings_are_only_recorded() {
    let set = all_tools("/tmp".as_ref());
    let run = async |tool: &str, arguments: Value| {
        let parsed = set.parse(tool, arguments.as_object().unwrap()).unwrap();
        set.run(tool, &parsed.action, CancellationToken::new()).await.unwrap()
    };
    let said = |text: &str, kind: &str| json!({"content": [{"type": "text", "cache_prompt": false, "text": text}], "is_error": false, "kind": kind});
    assert_eq!(
        run("think", json!({"thought": "hm"})).await,
        said("Your thought has been logged.", "ThinkObservation")
    );
    assert_eq!(run("finish", json!({"message": "Done."})).await, said("Done.", "FinishObservation"));
}

#[tokio::test]
async fn a_task_list_that_an_agent_has_replaced_keeps_nobody_and_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, r#"[{"title": "not ours", "notes": "", "status": "todo"}]"#).unwrap();
    let listed = async |arguments: Value| {
        let context = context(folder.path());
        std::fs::create_dir_all(&context.persistence_dir).unwrap();
        let set = ToolSet::new(&Catalogue::standard(), &[spec("task_tracker")], &[], &context).unwrap();
        let parsed = set.parse("task_tracker", arguments.as_object().unwrap()).unwrap();
        set.run("task_tracker", &parsed.action, CancellationToken::new()).await.unwrap()["task_list"].clone()
    };
    let list = context(folder.path()).persistence_dir.join("TASKS.json");
    for bad in ["mkfifo", "ln -s /dev/zero", &format!("ln -s {}", elsewhere.display())] {
        std::fs::create_dir_all(list.parent().unwrap()).unwrap();
        let made =
            std::process::Command::new("sh").args(["-c", &format!("{bad} {}", list.display())]).status();
        assert!(made.unwrap().success());
        assert_eq!(listed(json!({"command": "view"})).await, json!([]), "{bad}");
        std::fs::remove_file(&list).unwrap();
    }
    std::os::unix::fs::symlink(&elsewhere, list.with_file_name(".TASKS.json.new")).unwrap();
    let plan = json!({"command": "plan", "task_list": [{"title": "ours"}]});
    assert_eq!(listed(plan).await[0]["title"], "ours");
    assert!(std::fs::read_to_string(&elsewhere).unwrap().contains("not ours"));
    assert_eq!(listed(json!({"command": "view"})).await[0]["title"], "ours", "it is kept");
}
