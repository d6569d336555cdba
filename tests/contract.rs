//! The API is the peer's: every operation this server documents has the peer's path, method, parameters, field
//! names and success statuses. `contract/peer-1.57.0.json` is the peer's structure, made by `contract/extract.py`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use testing::server::Start;

const PEER: &str = include_str!("contract/peer-1.57.0.json");
/// The operations that are served, one a line. Losing one fails the test; a new one is added here.
const SERVED: &str = include_str!("contract/served.txt");

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

    let drift: Vec<String> = served.iter().filter_map(|key| drift(key, &ours[*key], &peer[*key])).collect();
    assert!(drift.is_empty(), "drifted from the peer:\n{}", drift.join("\n"));
    let listed: BTreeSet<&str> = SERVED.lines().collect();
    let found: BTreeSet<&str> = served.iter().map(|key| key.as_str()).collect();
    assert_eq!(found, listed, "tests/contract/served.txt lists what is served");
}

fn drift(key: &str, ours: &Operation, peer: &Operation) -> Option<String> {
    let pairs = [
        ("parameters", &ours.parameters, &peer.parameters),
        ("request fields", &ours.request, &peer.request),
        ("statuses", &ours.statuses, &peer.statuses),
        ("response fields", &ours.response, &peer.response),
    ];
    let told: Vec<String> = pairs
        .into_iter()
        .filter(|(_, ours, peer)| ours != peer)
        .map(|(what, ours, peer)| {
            let (more, less): (Vec<_>, Vec<_>) =
                (ours.difference(peer).collect(), peer.difference(ours).collect());
            format!("{what}: ours alone {more:?}, the peer's alone {less:?}")
        })
        .collect();
    (!told.is_empty()).then(|| format!("{key}\n    {}", told.join("\n    ")))
}

/// The same reduction as `extract.py`.
fn structure(document: &Value) -> BTreeMap<String, Operation> {
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
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
    if depth > 6 {
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
