//! An editor in the browser.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use manyhands_gateway::config::Editor;
use ports::rpc::{self, Address, Call, Limits};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SandboxId;
use types::calls::{EditorCall, EditorState};

use crate::harness::tokens::{bearer, token};
use crate::harness::{Config, Server, start_with};

/// A server whose worker has an editor.
async fn start(editor: Editor) -> Server {
    start_counting(|config| config.editor = editor).await.0
}

/// And how often that was started.
async fn start_counting(change: impl FnOnce(&mut Config)) -> (Server, Arc<AtomicUsize>) {
    let server = start_with(change).await;
    let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&starts);
    let answer = move |call: Call<EditorCall>| {
        let running = call.body == EditorCall::Start {};
        counted.fetch_add(usize::from(running), Ordering::SeqCst);
        let token = running.then(|| "the-token".to_owned());
        async move { Ok((EditorState { running, token }, bytes::Bytes::new())) }
    };
    let address = Address::of_worker(&SandboxId::shared(), None);
    calls.serve(&address, None, Limits::new(8, 1 << 20), answer).await.unwrap();
    (server, starts)
}

async fn url(server: &Server, query: &str) -> Value {
    let (status, answer) = server.get(&format!("/api/vscode/url{query}")).await;
    assert_eq!(status, 200, "{answer}");
    answer["url"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_is_opened_by_its_token_on_a_folder() {
    let server = start(Editor::Here { port: 8765, base_path: None }).await;
    assert_eq!(url(&server, "").await, "http://localhost:8765/?tkn=the-token&folder=workspace");
    let named = url(&server, "?base_url=https%3A%2F%2Fx.example%2F&workspace_dir=%2Fw%2Fa%20b").await;
    assert_eq!(named, "https://x.example/?tkn=the-token&folder=/w/a%20b");
    let below = start(Editor::Here { port: 8765, base_path: Some("/editor/".to_owned()) }).await;
    assert_eq!(url(&below, "").await, "http://localhost:8765/editor/?tkn=the-token&folder=workspace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_conversation_only_its_own_workspace_is_opened() {
    let server = start(Editor::Here { port: 8765, base_path: None }).await;
    let id = server.create().await;
    let get =
        async |id: &str, query: &str| server.get(&format!("/api/conversations/{id}/vscode/url{query}")).await;
    let (_, own) = get(&id, "").await;
    assert_eq!(own["url"], "http://localhost:8765/?tkn=the-token&folder=/tmp/w");
    let outside = json!({"detail": "workspace_dir must be inside the conversation workspace"});
    for folder in ["/etc", "relative", "/tmp/w/../x"] {
        assert_eq!(get(&id, &format!("?workspace_dir={folder}")).await, (422, outside.clone()), "{folder}");
    }
    let unknown = "00000000-0000-4000-8000-000000000001";
    let (status, answer) = get(unknown, "").await;
    assert_eq!((status, answer), (404, json!({"detail": format!("Conversation not found: {unknown}")})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_an_editor_runs_is_told_without_starting_one() {
    let status = async |editor: Editor| start(editor).await.get("/api/vscode/status").await;
    let resting = json!({"running": false, "enabled": true});
    assert_eq!(status(Editor::Here { port: 8765, base_path: None }).await, (200, resting.clone()));
    assert_eq!(status(Editor::Unreachable).await, (200, resting));
    let disabled =
        json!({"running": false, "enabled": false, "message": "VSCode is disabled in configuration"});
    assert_eq!(status(Editor::Disabled).await, (200, disabled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_could_reach_an_editor_none_is_started() {
    assert_eq!(url(&start(Editor::Unreachable).await, "").await, Value::Null);
    let (status, answer) = start(Editor::Disabled).await.get("/api/vscode/url").await;
    assert_eq!(status, 503);
    assert_eq!(answer["detail"], "VSCode is disabled in configuration. Set enable_vscode=true to enable.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_look_opens_no_editor() {
    let (server, starts) = start_counting(|config| {
        config.editor = Editor::Here { port: 8765, base_path: None };
        config.site.bearer = Some(bearer());
    })
    .await;
    let call = async |method: Method, path: &str, scope: &str| {
        let request = server.request(method, path).bearer_auth(token("default", scope));
        request.send().await.unwrap().status().as_u16()
    };
    let of_conversation = "/api/conversations/00000000-0000-4000-8000-000000000001/vscode/url";
    for path in ["/api/vscode/url", of_conversation] {
        assert_eq!(call(Method::GET, path, "read admin").await, 403, "{path}");
        assert_ne!(call(Method::HEAD, path, "read admin").await, 200, "{path}");
    }
    assert_eq!(call(Method::GET, "/api/vscode/status", "read").await, 200);
    assert_eq!(starts.load(Ordering::SeqCst), 0);
    assert_eq!(call(Method::GET, "/api/vscode/url", "write").await, 200);
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}
