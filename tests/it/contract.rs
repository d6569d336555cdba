//! The API is the peer's: every operation this server documents has the peer's path, method, parameters, field
//! names and success statuses. `contract/peer-1.58.2.json` is the peer's structure, made by `contract/extract.py`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use testing::server::Start;

const PEER: &str = include_str!("../contract/peer-1.58.2.json");
/// What is here and not in the peer on purpose: the operation, the part of it, its name there, and why.
const ADDITIONS: &[(&str, Part, &str, &str)] = &[
    ("DELETE /api/bash/bash_events", Part::Response, "cleared_count", ANSWERED),
    ("DELETE /api/conversations/{}/bash/bash_events", Part::Response, "cleared_count", ANSWERED),
    ("GET /api/conversations/{}/events/search", Part::Response, "items", ANSWERED),
    ("GET /api/conversations/{}/events/search", Part::Response, "next_page_id", ANSWERED),
    ("GET /api/conversations/{}/file/download", Part::Statuses, "206", ANSWERED),
    ("GET /api/file/download", Part::Statuses, "206", ANSWERED),
    ("GET /ready", Part::Response, "status", ANSWERED),
    ("POST /api/conversations", Part::Statuses, "201", ANSWERED),
    (
        "POST /api/conversations/{}/events",
        Part::Request,
        "sender",
        "clients send it; the peer drops it, here the event has it",
    ),
    (
        "POST /api/conversations/{}/events/respond_to_confirmation",
        Part::Request,
        "action_ids",
        "who names the actions that were looked at is refused (409) where others wait",
    ),
];

/// Operations of our own.
const OURS: &[&str] = &["GET /api/conversations/stream", "GET /api/conversations/{}/why"];

const ANSWERED: &str = "the peer answers it too and does not describe it";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Parameters,
    Request,
    Statuses,
    Response,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Operation {
    parameters: BTreeSet<String>,
    request: BTreeSet<String>,
    statuses: BTreeSet<String>,
    response: BTreeSet<String>,
}

#[tokio::test]
async fn what_is_served_has_the_peers_structure() {
    let server = Start::new(env!("CARGO_BIN_EXE_manyhands")).start();
    let document = server.client.get_ok("/openapi.json").await;
    let ours = structure(&document);
    let peer: BTreeMap<String, Operation> = serde_json::from_str(PEER).unwrap();

    let served: Vec<&String> = ours.keys().filter(|key| peer.contains_key(*key)).collect();
    println!("{} of the peer's {} operations are served:", served.len(), peer.len());
    served.iter().for_each(|key| println!("  {key}"));

    let more = served.iter().flat_map(|key| differences(key, &ours[*key], &peer[*key]));
    let less = served.iter().flat_map(|key| differences(key, &peer[*key], &ours[*key]));
    assert_eq!(less.collect::<BTreeSet<_>>(), BTreeSet::new(), "the peer has it and this server does not");
    let allowed = ADDITIONS.iter().map(|(key, part, name, _)| (*key, *part, *name));
    assert_eq!(more.collect::<BTreeSet<_>>(), allowed.collect(), "what is here alone, against ADDITIONS");

    let alone: Vec<&str> = ours.keys().map(String::as_str).filter(|key| !peer.contains_key(*key)).collect();
    assert_eq!(alone, OURS, "what the peer has no operation for, against OURS");
    assert_eq!(served.into_iter().collect::<BTreeSet<_>>(), peer.keys().collect(), "all of it is served");
}

/// `MANYHANDS_WRITE_PAGES=1` writes the page anew.
#[tokio::test]
async fn the_page_of_operations_is_what_is_served() {
    let server = Start::new(env!("CARGO_BIN_EXE_manyhands")).start();
    let document = server.client.get_ok("/openapi.json").await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONTRACT.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, _) = page.split_once(OPERATIONS).expect("a list of operations");
    let wanted = format!("{head}{OPERATIONS}{}", operations(&document));
    if std::env::var_os("MANYHANDS_WRITE_PAGES").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    assert_eq!(page, wanted, "MANYHANDS_WRITE_PAGES=1 writes it anew");
}

const OPERATIONS: &str = "## Operations\n";

fn operations(document: &Value) -> String {
    let peer: BTreeMap<String, Operation> = serde_json::from_str(PEER).unwrap();
    let ours = structure(document);
    let served = ours.keys().filter(|key| peer.contains_key(*key)).count();
    let mut text = format!(
        "\n{served} of the peer's {} operations are served.\n\n| operation | answers | more than the peer describes |\n\
         | --- | --- | --- |\n",
        peer.len()
    );
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.into_iter().filter(|method| item.get(method).is_some()) {
            let method = method.to_uppercase();
            let key = format!("{method} {}", without_names(path));
            let answers = ours[&key].statuses.iter().cloned().collect::<Vec<_>>().join(", ");
            let more = if peer.contains_key(&key) { more(&key) } else { "all of it".to_owned() };
            text += &format!("| `{method} {path}` | {answers} | {more} |\n");
        }
    }
    text
}

fn more(key: &str) -> String {
    let added = ADDITIONS.iter().filter(|(operation, ..)| *operation == key);
    let added = added.map(|(_, part, name, why)| {
        let part = format!("{part:?}").to_lowercase();
        format!("{part} `{name}`: {why}")
    });
    added.collect::<Vec<_>>().join("; ")
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What `one` has of an operation and `other` has not.
fn differences<'a>(
    key: &'a str,
    one: &'a Operation,
    other: &'a Operation,
) -> impl Iterator<Item = (&'a str, Part, &'a str)> {
    let parts = [
        (Part::Parameters, &one.parameters, &other.parameters),
        (Part::Request, &one.request, &other.request),
        (Part::Statuses, &one.statuses, &other.statuses),
        (Part::Response, &one.response, &other.response),
    ];
    parts
        .into_iter()
        .flat_map(move |(part, one, other)| one.difference(other).map(move |name| (key, part, name.as_str())))
}

/// The same reduction as `extract.py`.
fn structure(document: &Value) -> BTreeMap<String, Operation> {
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                let key = format!("{} {}", method.to_uppercase(), without_names(path));
                operations.insert(key, reduce(item, operation, &schemas));
            }
        }
    }
    operations
}

fn without_names(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

fn reduce(item: &Value, operation: &Value, schemas: &Map<String, Value>) -> Operation {
    let list = |value: &Value| value["parameters"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parameters = list(item).into_iter().chain(list(operation)).filter(|p| p["in"] != "path");
    let answers = operation["responses"].as_object().cloned().unwrap_or_default();
    let answers: Vec<_> = answers.into_iter().filter(|(status, _)| status.starts_with('2')).collect();
    Operation {
        parameters: parameters.map(|p| format!("{} {}", text(&p["in"]), text(&p["name"]))).collect(),
        request: body_fields(&operation["requestBody"], schemas),
        statuses: answers.iter().map(|(status, _)| status.clone()).collect(),
        response: answers.iter().flat_map(|(_, answer)| body_fields(answer, schemas)).collect(),
    }
}

fn body_fields(body: &Value, schemas: &Map<String, Value>) -> BTreeSet<String> {
    let media = body["content"].as_object().cloned().unwrap_or_default();
    media.values().flat_map(|media| fields(&media["schema"], schemas, 0)).collect()
}

fn fields(schema: &Value, schemas: &Map<String, Value>, depth: u8) -> BTreeSet<String> {
    if depth > 12 {
        return BTreeSet::new();
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return fields(&schemas[name], schemas, depth + 1);
    }
    let mut found: BTreeSet<String> =
        schema["properties"].as_object().into_iter().flat_map(|p| p.keys().cloned()).collect();
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        for part in schema[alternatives].as_array().into_iter().flatten() {
            found.extend(fields(part, schemas, depth + 1));
        }
    }
    if let Some(items) = schema.get("items") {
        found.extend(fields(items, schemas, depth + 1).into_iter().map(|name| format!("[]{name}")));
    }
    found
}
