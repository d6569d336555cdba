//! What the document promises holds.

use std::collections::BTreeSet;

use crate::harness::{create_body, start};
use serde_json::{Value, json};

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_schema_that_is_referred_to_is_there() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.contains("#/components/schemas/Event"));
    found.retain(|reference| document.pointer(&reference[1..]).is_none());
    assert_eq!(found, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_described_as_they_are_answered() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let unknown = format!("/api/conversations/{}", uuid::Uuid::new_v4());
    let operations = &document["paths"];
    for ((status, answer), operation) in [
        (server.get(&unknown).await, &operations["/api/conversations/{conversation_id}"]["get"]),
        (
            server.get("/api/conversations/search?limit=0").await,
            &operations["/api/conversations/search"]["get"],
        ),
        (server.post("/api/conversations", json!({})).await, &operations["/api/conversations"]["post"]),
    ] {
        assert!((400..500).contains(&status), "{answer}");
        let described = &operation["responses"][status.to_string()]["content"]["application/json"]["schema"];
        assert_eq!(described["$ref"], "#/components/schemas/Error", "{status}: {operation}");
        let detail = &answer["detail"];
        assert!(detail.is_string() || detail[0]["msg"].is_string(), "{answer}");
    }
    let health = operations["/health"]["get"]["responses"].as_object().unwrap();
    assert!(health.keys().eq(["200"]), "{health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_of_a_body_is_described() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let url = json!({"url": "http://127.0.0.1:9"});
    for (call, body, field, wrong, limit) in [
        ("PATCH /api/settings", json!({}), "active_profile", json!(""), "SettingsUpdateRequest/pattern"),
        ("POST /api/profiles/a/rename", json!({}), "new_name", json!("."), "RenameProfileRequest/pattern"),
        ("POST /api/skills/install", json!({}), "source", json!(""), "InstallExtensionRequest/minLength"),
        (
            "POST /api/plugins/fetch",
            json!({"source": "a"}),
            "timeout",
            json!(0),
            "FetchPluginRequest/minimum",
        ),
        (
            "POST /api/llm/provider-connections",
            json!({"api_key": "k"}),
            "display_name",
            json!("n".repeat(129)),
            "ProviderConnectionCreateRequest/maxLength",
        ),
        ("POST /api/mcp/test", json!({"server": url}), "timeout", json!(121), "MCPTestRequest/maximum"),
        ("POST /api/settings/mcp/a", url.clone(), "command", json!(""), "McpServer/anyOf/0/minLength"),
        ("POST /api/meta-profiles/a", json!({}), "classifier_model", json!(1), "MetaProfile/type"),
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        let mut body = body;
        body[field] = wrong;
        let request = server.request(method.parse().unwrap(), path).json(&body);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 422, "{call}: {body}");
        let (schema, limit) = limit.split_once('/').unwrap();
        let place = format!("/components/schemas/{schema}/properties/{field}/{limit}");
        assert!(document.pointer(&place).is_some(), "{place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_typed_object_is_described() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let schemas = &document["components"]["schemas"];
    let content = &schemas["SendMessage"]["properties"]["content"]["items"];
    assert_eq!(content["$ref"], "#/components/schemas/Content");
    let workspace = &schemas["StartConversation"]["properties"]["workspace"];
    assert_eq!(workspace["$ref"], "#/components/schemas/StartWorkspace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_change_nothing_are_accepted() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let described = document["components"]["schemas"]["PassedOver"]["properties"].as_object().unwrap();
    let mut body = create_body();
    let given = json!({"container": {"memory": "1g"},
        "observability_span_name": "s", "observability_tags": ["t"], "observability_metadata": {"m": 1},
        "observability_parent_span_context": "c"});
    assert!(described.keys().eq(given.as_object().unwrap().keys().collect::<BTreeSet<_>>()));
    body.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    let (status, answer) = server.post("/api/conversations", body).await;
    assert_eq!(status, 201, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_headers_are_accepted_unless_they_cannot_be() {
    let server = start().await;
    let create = async |name: &str, value: &str| {
        let request = server.request(reqwest::Method::POST, "/api/conversations").json(&create_body());
        request.header(name, value).send().await.unwrap().status().as_u16()
    };
    assert_eq!(create("x-openhands-observability-span-name", "a/b").await, 201);
    assert_eq!(create("x-openhands-observability-span-name", "a b").await, 422);
    assert_eq!(create("x-openhands-observability-metadata", "[]").await, 422);
}
