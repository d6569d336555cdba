//! Tools beside those of the peer: what models are told of them, and what clients get.

use std::collections::BTreeSet;
use std::fs;

use manyhands_tools::Catalogue;
use serde_json::{Map, Value, json};
use types::tool::Toolbox as _;

use crate::bench::Bench;

/// What the loop puts in, for all of them.
const INJECTED: [&str; 2] = ["security_risk", "summary"];

fn peer() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/contract/tools-1.58.2.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Without words.
fn shape(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let is_shape = |(name, value): &(&String, &Value)| *name != "description" || !value.is_string();
            fields.iter().filter(is_shape).map(|(name, value)| (name.clone(), shape(value))).collect()
        }
        Value::Array(items) => items.iter().map(shape).collect(),
        other => other.clone(),
    }
}

fn names(fields: &Value) -> BTreeSet<&str> {
    fields.as_object().unwrap().keys().map(String::as_str).filter(|name| *name != "kind").collect()
}

fn required(fields: &Value) -> BTreeSet<&str> {
    let fields = fields.as_object().unwrap().iter();
    fields.filter(|(_, field)| field["required"] == true).map(|(name, _)| name.as_str()).collect()
}

/// Calls of a tool: the first gives all that it takes, the last ends badly where one can.
fn calls(bench: &Bench, tool: &str) -> Vec<Value> {
    let file = bench.write("f.txt", "one\ntwo\n");
    let editor = |path: &std::path::Path| {
        vec![
            json!({"command": "str_replace", "path": path, "old_str": "one", "new_str": "1", "file_text": "x",
                "insert_line": 1, "view_range": [1, 2]}),
            json!({"command": "undo_edit", "path": "/nowhere"}),
        ]
    };
    match tool {
        "terminal" => vec![
            json!({"command": "echo a", "is_input": false, "timeout": 5, "reset": false}),
            json!({"command": "x", "is_input": true}),
        ],
        "file_editor" => editor(&file),
        "planning_file_editor" => editor(&bench.write("PLAN.md", "one\ntwo\n")),
        "task_tracker" => vec![json!({"command": "plan", "task_list": [{"title": "a"}]})],
        "finish" => vec![json!({"message": "x"})],
        "think" => vec![json!({"thought": "x"})],
        "apply_patch" => vec![
            json!({"patch": "*** Begin Patch\n*** Update File: f.txt\n-one\n+1\n*** End Patch"}),
            json!({"patch": "nothing"}),
        ],
        "glob" => vec![json!({"pattern": "*", "path": "."}), json!({"pattern": "*", "path": "none"})],
        "grep" => vec![json!({"pattern": "o", "path": ".", "include": "*"}), json!({"pattern": "("})],
        "edit" => vec![
            json!({"file_path": "f.txt", "old_string": "one", "new_string": "1", "expected_replacements": 1}),
            json!({"file_path": "none", "old_string": "one", "new_string": "1"}),
        ],
        "write_file" => {
            vec![json!({"file_path": "f.txt", "content": "x"}), json!({"file_path": ".", "content": "x"})]
        }
        "read_file" => {
            vec![json!({"file_path": "f.txt", "offset": 0, "limit": 1}), json!({"file_path": "none"})]
        }
        "list_directory" => vec![json!({"dir_path": ".", "recursive": true}), json!({"dir_path": "none"})],
        other => panic!("no calls of {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_told_and_answer_as_those_of_the_peer() {
    let peer = peer();
    let mut wrong: Vec<String> = Vec::new();
    for entry in Catalogue::standard().entries() {
        let bench = Bench::new();
        let theirs = &peer["tools"][entry.name];
        let definition = bench.set.definitions().iter().find(|tool| tool.name == entry.name).unwrap().clone();
        let mut found: Vec<String> = Vec::new();

        let mut parameters = theirs["parameters_chat"].clone();
        parameters["properties"]
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !INJECTED.contains(&name.as_str()));
        if shape(&definition.parameters) != shape(&parameters) {
            found.push(format!("parameters {}", shape(&definition.parameters)));
        }
        let mut annotations = theirs["annotations"].clone();
        annotations.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        if definition.announced["annotations"] != annotations {
            found.push(format!("annotations {}", definition.announced["annotations"]));
        }

        let calls = calls(&bench, entry.name);
        let action = &theirs["action"];
        let mut seen = BTreeSet::new();
        for (position, call) in calls.iter().enumerate() {
            let parsed = bench.set.parse(entry.name, call.as_object().unwrap()).unwrap();
            let given = names(&parsed.described);
            if parsed.described["kind"] != action["kind"] {
                found.push(format!("action kind {}", parsed.described["kind"]));
            }
            let all = names(&action["fields"]);
            found.extend(given.difference(&all).map(|name| format!("action {name} is not theirs")));
            if position == 0 {
                found.extend(all.difference(&given).map(|name| format!("action {name}")));
            }
            let result = bench.set.run(entry.name, &parsed.action, Default::default()).await.unwrap();
            let observation = &theirs["observation"];
            if result["kind"] != observation["kind"] {
                found.push(format!("observation kind {}", result["kind"]));
            }
            let (given, all) = (names(&result), names(&observation["fields"]));
            found.extend(given.difference(&all).map(|name| format!("observation {name} is not theirs")));
            let needed = required(&observation["fields"]);
            found.extend(needed.difference(&given).map(|name| format!("observation {name} is missing")));
            seen.extend(given.into_iter().map(str::to_owned));
        }
        let never_seen =
            names(&theirs["observation"]["fields"]).into_iter().filter(|name| !seen.contains(*name));
        found.extend(never_seen.map(|name| format!("observation {name}")));
        bench.set.close().await;

        println!(
            "| {} | {} |",
            entry.name,
            if found.is_empty() { "equal".to_owned() } else { found.join("; ") }
        );
        wrong.extend(found.into_iter().map(|found| format!("{}: {found}", entry.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tools_are_offered_as_those_of_the_peer() {
    let peer = peer();
    let listed: Map<String, Value> = peer["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap().to_owned(), entry.clone()))
        .collect();
    for entry in Catalogue::standard().entries() {
        match listed.get(entry.name) {
            None => assert_eq!(entry.summary, None, "{} is none to choose", entry.name),
            Some(theirs) => {
                let ours = json!({"name": entry.name, "user_selectable": entry.user_selectable, "usable": true,
                    "in_default_set": entry.in_default_set});
                assert_eq!(ours, *theirs);
                assert!(entry.summary.is_some());
            }
        }
    }
}
