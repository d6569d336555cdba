//! Folders that the user interface offers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::tokens::{bearer, token};
use crate::harness::{start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_kept_once_for_each_path_and_shown_in_camel_case() {
    let server = start().await;
    let folders = json!({"workspaces": [
        {"id": "1", "name": "one", "path": "/w/one", "parentPath": "/w"},
        {"id": "2", "name": "two", "path": "/w/two", "parent_path": "/w"},
        {"id": "3", "name": "again", "path": "/w/one"},
    ]});
    assert_eq!(server.post("/api/workspaces", folders).await.0, 200);
    let parents = json!({"parents": [{"id": "p", "name": "w", "path": "/w"}]});
    let (status, all) = server.post("/api/workspaces/parents", parents).await;
    assert_eq!(status, 200);
    let shown = json!({
        "workspaces": [
            {"id": "1", "name": "one", "path": "/w/one", "parentPath": "/w"},
            {"id": "2", "name": "two", "path": "/w/two", "parentPath": "/w"},
        ],
        "workspaceParents": [{"id": "p", "name": "w", "path": "/w"}],
    });
    assert_eq!(all, shown);
    assert_eq!(server.get("/api/workspaces").await, (200, shown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_is_offered_no_longer_and_cannot_be_removed_again() {
    let server = start().await;
    let delete = async |path: &str| server.send(Method::DELETE, path, None).await;
    server.post("/api/workspaces", json!({"workspaces": [{"id": "1", "name": "one", "path": "/w"}]})).await;
    assert_eq!(delete("/api/workspaces?path=/w").await, (200, json!({"deleted": true})));
    assert_eq!(delete("/api/workspaces?path=/w").await, (404, json!({"detail": "Workspace not found"})));
    assert_eq!(
        delete("/api/workspaces/parents?path=/w").await,
        (404, json!({"detail": "Workspace parent not found"}))
    );
    let (status, answer) = delete("/api/workspaces").await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["query", "path"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_texts_of_sensible_lengths() {
    let server = start().await;
    let told = async |folder: Value| {
        let (status, answer) = server.post("/api/workspaces", json!({ "workspaces": [folder] })).await;
        assert_eq!(status, 422, "{answer}");
        (answer["detail"][0]["type"].clone(), answer["detail"][0]["loc"].clone())
    };
    let at = |field: &str| json!(["body", "workspaces", 0, field]);
    let with = |id: &str, name: &str| json!({"id": id, "name": name, "path": "/w"});
    assert_eq!(told(with("", "n")).await, (json!("string_too_short"), at("id")));
    assert_eq!(told(with("1", &"n".repeat(257))).await, (json!("string_too_long"), at("name")));
    assert_eq!(told(json!({"id": "1", "name": "n"})).await, (json!("missing"), at("path")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_folders_than_are_kept_are_refused() {
    let server = start().await;
    let folder = |n: usize| json!({"id": n.to_string(), "name": "n", "path": format!("/{n}")});
    let many: Vec<Value> = (0..5_000).map(folder).collect();
    assert_eq!(server.post("/api/workspaces", json!({ "workspaces": many })).await.0, 200);
    assert_eq!(server.post("/api/workspaces", json!({"workspaces": [folder(5_000)]})).await.0, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_is_offered_none_of_them() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let call = |method: Method| server.request(method, "/api/workspaces");
    let body = json!({"workspaces": [{"id": "1", "name": "one", "path": "/w"}]});
    let added = call(Method::POST).bearer_auth(token("a", "write")).json(&body).send().await.unwrap();
    assert_eq!(added.status(), 200);
    let read = call(Method::GET).bearer_auth(token("b", "read")).send().await.unwrap();
    assert_eq!(read.json::<Value>().await.unwrap(), json!({"workspaces": [], "workspaceParents": []}));
}
