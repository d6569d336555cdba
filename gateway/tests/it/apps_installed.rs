//! What becomes of an extension's program when the extension is installed, installed anew, or gone.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ports::rpc::{self, Address, Call, Fault, Limits};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SandboxId;
use types::app::{AppPhase, AppState};
use types::calls::{AppAnswer, AppCall, ExtensionAnswer, ExtensionCall, Fetched};
use types::extensions::Contents;

use crate::harness::{Server, start};

/// `my-app`, as a worker has fetched it.
fn fetched() -> ExtensionAnswer {
    let pages = json!([{"id": "home", "title": "Home", "path": "/home"}]);
    let manifest = json!({"schema_version": 1, "name": "my-app", "display_name": "My App", "version": "1",
        "entrypoint": "index.js", "contributes": {"pages": pages}});
    ExtensionAnswer::Fetched(Box::new(Fetched {
        ticket: "t".to_owned(),
        name: "my-app".to_owned(),
        version: "1".to_owned(),
        description: String::new(),
        resolved_ref: None,
        install_path: "/home/my-app".to_owned(),
        contents: Contents::Canvas { manifest },
    }))
}

const INSTALLED: &str = "/api/canvas-extensions/installed/my-app";

/// A worker that fetches `my-app`, and answers so where it comes to programs.
async fn worker<F>(server: &Server, answer: impl Fn(AppCall) -> F + Send + Sync + 'static)
where
    F: Future<Output = Result<AppAnswer, Fault>> + Send + 'static,
{
    let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    let (sandbox, limits) = (SandboxId::shared(), Limits::new(8, 1 << 20));
    let fetching = |call: Call<ExtensionCall>| async move {
        Ok(match call.body {
            ExtensionCall::Fetch(_) => (fetched(), Bytes::new()),
            ExtensionCall::Read { .. } => (ExtensionAnswer::Piece { of: 1 }, Bytes::from_static(b"x")),
            _ => (ExtensionAnswer::Done, Bytes::new()),
        })
    };
    calls.serve(&Address::of_worker(&sandbox, None), None, limits, fetching).await.unwrap();
    let answering = move |call: Call<AppCall>| {
        let answered = answer(call.body);
        async move { Ok((answered.await?, Bytes::new())) }
    };
    calls.serve(&Address::of_worker(&sandbox, None), None, limits, answering).await.unwrap();
}

async fn install(server: &Server, force: bool) -> u16 {
    let order = json!({"source": "/my-app", "force": force});
    server.post("/api/canvas-extensions/install", order).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_installed_is_told_so_though_the_program_before_it_cannot_be_forgotten() {
    let server = start().await;
    worker(&server, |call| async move {
        match call {
            AppCall::Running {} => Ok(AppAnswer::Running(false)),
            _ => Err(Fault::internal("no room")),
        }
    })
    .await;
    assert_eq!(install(&server, false).await, 200);
    assert_eq!(install(&server, true).await, 200);
    assert_eq!(server.get(INSTALLED).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_an_extension_that_goes_while_it_is_about_to_be_made_ready() {
    let server = start().await;
    let (told, url) = (Arc::new(Mutex::new(Vec::new())), format!("http://{}{INSTALLED}", server.address));
    let noted = Arc::clone(&told);
    worker(&server, move |call| {
        let (noted, url) = (Arc::clone(&noted), url.clone());
        async move {
            match call {
                AppCall::Prepare { app, revision } => {
                    let gone = reqwest::Client::new().delete(url).send().await.unwrap();
                    assert_eq!(gone.status(), 200);
                    noted.lock().unwrap().push("made ready");
                    Ok(AppAnswer::State(AppState {
                        name: app.name,
                        state: AppPhase::Stopped,
                        revision: Some(app.revision),
                        prepared_revision: Some(revision),
                        pid: None,
                        port: None,
                        detail: None,
                    }))
                }
                AppCall::Forget { .. } => {
                    noted.lock().unwrap().push("forgotten");
                    Ok(AppAnswer::Stopped)
                }
                _ => Ok(AppAnswer::Stopped),
            }
        }
    })
    .await;
    assert_eq!(install(&server, false).await, 200);
    told.lock().unwrap().clear();
    let (status, answer) =
        server.post(&format!("{INSTALLED}/backend/prepare"), json!({"revision": "r"})).await;
    assert_eq!((status, &answer["state"]), (200, &json!("missing")));
    assert_eq!(*told.lock().unwrap(), ["forgotten", "made ready", "forgotten"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_of_an_extension_is_ended_again_once_that_is_installed_anew_off_or_gone() {
    let server = start().await;
    // What the worker is told, and what was installed then.
    let told = Arc::new(Mutex::new(Vec::new()));
    let (noted, url) =
        (Arc::clone(&told), format!("http://{}/api/canvas-extensions/installed", server.address));
    let noting = move |call: AppCall| {
        let (noted, url) = (Arc::clone(&noted), url.clone());
        async move {
            let operation = match call {
                AppCall::Running {} => return Ok(AppAnswer::Running(false)),
                AppCall::Stop { .. } => "stop",
                AppCall::Forget { .. } => "forget",
                other => panic!("{other:?}"),
            };
            let seen: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
            let enabled = seen["canvas_extensions"].get(0).map(|one| one["enabled"] == true);
            noted.lock().unwrap().push((operation, enabled));
            Ok(AppAnswer::Stopped)
        }
    };
    worker(&server, noting).await;
    for force in [false, true] {
        assert_eq!(install(&server, force).await, 200);
    }
    for enabled in [true, false] {
        assert_eq!(server.send(Method::PATCH, INSTALLED, Some(&json!({ "enabled": enabled }))).await.0, 200);
    }
    assert_eq!(server.delete(INSTALLED).await.0, 200);
    let expected = [
        ("forget", Some(false)),
        ("forget", Some(false)),
        ("stop", Some(true)),
        ("stop", Some(false)),
        ("stop", Some(false)),
        ("forget", None),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}
