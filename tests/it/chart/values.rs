//! The values, their schema and their table say the same, and what is written once is used everywhere.

use std::collections::BTreeSet;

use serde_json::Value;

use super::snapshot::renewed_or_same;
use super::{CHART, SETS, Tools, items, text};

/// What is longer in the table is looked up in the file.
const LONGEST: usize = 60;

/// A value with its comment, as the file has it.
struct Described {
    path: String,
    says: String,
}

/// Each key that has a comment with `# --`, of a file in which every level is two further to the right.
fn described(file: &str) -> Vec<Described> {
    let (mut path, mut says, mut found): (Vec<&str>, Option<String>, _) = (Vec::new(), None, Vec::new());
    for line in file.lines() {
        let rest = line.trim_start();
        let depth = (line.len() - rest.len()) / 2;
        match rest.strip_prefix('#') {
            Some(comment) => match (comment.strip_prefix(" -- "), &mut says) {
                (Some(begins), _) => says = Some(begins.to_owned()),
                (None, Some(says)) => *says = format!("{says}{comment}"),
                (None, None) => {}
            },
            None => {
                let Some((key, _)) = rest.split_once(':').filter(|_| !rest.starts_with('-')) else {
                    continue;
                };
                if depth <= path.len() {
                    path.truncate(depth);
                    path.push(key);
                    if let Some(says) = says.take() {
                        found.push(Described { path: path.join("."), says });
                    }
                }
            }
        }
    }
    found
}

fn at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |value, key| &value[key])
}

/// Every value: what is no map, or a map that an operator fills.
fn leaves(values: &Value, known: &BTreeSet<&str>, path: &str, found: &mut BTreeSet<String>) {
    match values.as_object().filter(|_| !known.contains(path)) {
        Some(fields) => {
            for (key, value) in fields {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, known, &below, found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}

fn table(values: &Value, described: &[Described]) -> String {
    let row = |one: &Described| {
        let default = at(values, &one.path).to_string();
        let default =
            if default.len() > LONGEST { "see values.yaml".to_owned() } else { format!("`{default}`") };
        format!("| `{}` | {default} | {} |\n", one.path, one.says.replace('|', "\\|"))
    };
    format!(
        "| value | default | what it does |\n| --- | --- | --- |\n{}",
        described.iter().map(row).collect::<String>()
    )
}

#[test]
fn every_value_is_described_and_the_table_says_so() {
    let Some(tools) = Tools::find() else { return };
    let path = format!("{CHART}/values.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let (values, described) = (tools.read_file(&path), described(&file));
    let named: BTreeSet<_> = described.iter().map(|one| one.path.as_str()).collect();
    let mut found = BTreeSet::new();
    leaves(&values, &named, "", &mut found);
    assert_eq!(found, named.iter().map(|path| (*path).to_owned()).collect());
    let readme = format!("{CHART}/README.md");
    let written = std::fs::read_to_string(&readme).unwrap();
    let (head, _) = written.split_once("| value | default |").expect("the table");
    renewed_or_same(&readme, &format!("{head}{}", table(&values, &described)));
}

/// Follows `path` through the schema.
fn schema_of<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |part, key| {
        let part = resolved(schema, part);
        &part["properties"][key]
    })
}

fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    let name = text(&part["$ref"]).strip_prefix("#/definitions/");
    name.map_or(part, |name| &schema["definitions"][name])
}

#[test]
fn every_value_is_in_the_schema_and_the_schema_has_no_other() {
    let Some(tools) = Tools::find() else { return };
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{CHART}/values.schema.json")).unwrap())
            .unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#", "older helm knows no later one");
    let file = std::fs::read_to_string(format!("{CHART}/values.yaml")).unwrap();
    let described = described(&file);
    for one in &described {
        assert!(!schema_of(&schema, &one.path).is_null(), "{}", one.path);
    }
    let values = tools.read_file(&format!("{CHART}/values.yaml"));
    let mut open = Vec::new();
    compare(&schema, &schema, &values, "", &mut open);
    assert_eq!(open, Vec::<String>::new(), "levels that are open, or name what there is no value of");
    let used: BTreeSet<_> = schema.to_string().match_indices("#/definitions/").map(|(at, _)| at).collect();
    assert!(!used.is_empty());
    for name in schema["definitions"].as_object().unwrap().keys() {
        assert!(schema.to_string().contains(&format!("\"#/definitions/{name}\"")), "nothing uses {name}");
    }
}

/// Levels of the values' own are closed, and name no more than there is.
fn compare(schema: &Value, part: &Value, values: &Value, path: &str, open: &mut Vec<String>) {
    let part = resolved(schema, part);
    let Some(properties) = part["properties"].as_object().filter(|_| values.is_object()) else { return };
    if part["additionalProperties"] != false {
        open.push(path.to_owned());
    }
    for (key, below) in properties {
        let path = format!("{path}.{key}");
        match values.get(key) {
            Some(values) => compare(schema, below, values, &path, open),
            // Of what an operator fills there is none yet.
            None if !path.contains(".certManager.issuerRef.") => open.push(path),
            None => {}
        }
    }
}

/// A registry and a digest are for all, whoever's image it is.
#[test]
fn every_image_is_named_by_one_rule() {
    let Some(tools) = Tools::find() else { return };
    let digest = format!("sha256:{}", "1".repeat(64));
    let parts = ["image", "sandboxes.image", "nats.image", "nats.exporter.image"];
    let digests: Vec<_> = parts.iter().map(|part| format!("{part}.digest={digest}")).collect();
    let mut more = vec!["--set=global.imageRegistry=registry.example/", "--set=nats.exporter.enabled=true"];
    let digests: Vec<_> = digests.iter().map(|set| format!("--set={set}")).collect();
    more.extend(digests.iter().map(String::as_str));
    for set in ["default", "small", "gvisor"] {
        let objects = tools.render(set, &more);
        let images = objects.pods();
        let images = images.iter().flat_map(super::Pod::containers);
        let mut images: BTreeSet<_> = images.map(|container| text(&container["image"]).to_owned()).collect();
        let supervisor = objects.pod("supervisor");
        let env: Vec<_> = supervisor.containers().flat_map(|container| items(&container["env"])).collect();
        for name in ["OH_CONVERSATION_IMAGE", "OH_KUBERNETES_PROGRAM_IMAGE"] {
            images.insert(text(&env.iter().find(|one| one["name"] == name).unwrap()["value"]).to_owned());
        }
        assert_eq!(images.len(), 4, "{images:?}");
        for image in images {
            let is_ruled = image.starts_with("registry.example/") && image.ends_with(&format!("@{digest}"));
            assert!(is_ruled && !image.contains("//"), "{image}");
        }
    }
    for set in SETS {
        let text = tools.text(set, &[]);
        assert!(
            !text.contains("image: \"\"") && !text.contains("<no value>") && !text.contains("%!"),
            "{set}"
        );
    }
}

#[test]
fn the_dashboard_of_compose_is_that_of_the_chart() {
    let compose = std::fs::read_to_string("compose.yaml").unwrap();
    assert!(compose.contains("- ./charts/manyhands/files/dashboards/manyhands.json:"));
    let Some(tools) = Tools::find() else { return };
    let objects = tools.render("production", &["--set", "monitoring.dashboards.datasourceUid=mine"]);
    let dashboard = objects.get("ConfigMap", "mh-manyhands-dashboard-manyhands");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let shown: Value = serde_json::from_str(text(&dashboard["data"]["manyhands.json"])).unwrap();
    let panels: Vec<_> = items(&shown["panels"]).collect();
    assert!(panels.len() > 3 && panels.iter().all(|panel| panel["datasource"]["uid"] == "mine"));
}
