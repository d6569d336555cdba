//! A gateway on a loopback port with real stores, and a worker that is just enough of one.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use manyhands_gateway::config::{Limits, ToolEntry};
use manyhands_gateway::{App, Config};
use ports::Ports;
use reqwest::{Method, RequestBuilder, Response};
use secrecy::SecretString;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::conversation::{Record, Workspace};
use types::policy::ConfirmationPolicy;
use types::{ConversationId, SandboxId};
use vault::{Keys, Vault};

pub const KEY: &str = "the-session-key";

pub struct Server {
    pub address: String,
    pub client: reqwest::Client,
    pub ports: Ports,
    folder: TempDir,
    stop: CancellationToken,
    running: JoinHandle<Result<(), manyhands_gateway::Error>>,
    _store: embedded::Guard,
}

/// A server without keys.
pub async fn open_server() -> Server {
    start(|_| {}).await
}

/// A server whose only key is [`KEY`].
pub async fn keyed_server() -> Server {
    start(|config| config.keys = Keys::new(&[KEY.into()])).await
}

pub async fn start(change: impl FnOnce(&mut Config)) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let (ports, store) = embedded::open(options(folder.path())).await.unwrap();
    worker::start(&ports).await;
    let mut config = config();
    change(&mut config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let running =
        tokio::spawn(manyhands_gateway::run(config, ports.clone(), vault(), listener, stop.clone()));
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    Server { address, client, ports, folder, stop, running, _store: store }
}

/// An app without a listener.
pub async fn app(folder: &Path) -> (App, embedded::Guard) {
    let (ports, store) = embedded::open(options(folder)).await.unwrap();
    (
        manyhands_gateway::server::prepare(config(), ports, vault(), CancellationToken::new()).await.unwrap(),
        store,
    )
}

fn options(root: &Path) -> embedded::Options {
    embedded::Options {
        root: root.join("data"),
        conversations: root.join("conversations"),
        bash_events: root.join("bash_events"),
        fsync: embedded::Fsync::Interval,
    }
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(&SecretString::from("the secret key"), &[]))
}

fn config() -> Config {
    let tool = ToolEntry {
        name: "terminal".to_owned(),
        user_selectable: true,
        usable: Some(true),
        description: None,
        in_default_set: true,
    };
    Config {
        keys: Keys::new(&[]),
        secret_key: SecretString::from("the secret key"),
        allow_cors_origins: vec!["https://app.example".to_owned()],
        allow_cors_origin_regex: None,
        allowed_hosts: vec!["known.example".to_owned()],
        docker_host: None,
        trust_forwarded_headers: false,
        root_path: String::new(),
        conversations_path: "conversations".into(),
        workspace_path: "project".into(),
        tools: vec![tool],
        runtime_idle_timeout_seconds: None,
        build_git_sha: "unknown".to_owned(),
        build_git_ref: "unknown".to_owned(),
        limits: Limits::default(),
    }
}

impl Server {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn get_json(&self, path: &str) -> (u16, Value) {
        status_and_json(self.get(path).await).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> (u16, Value) {
        status_and_json(self.request(Method::POST, path).json(body).send().await.unwrap()).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the server's folder, as a query value.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A conversation whose workspace is the folder `name`.
    pub async fn conversation(&self, name: &str) -> ConversationId {
        let root = self.folder.path().join(name);
        std::fs::create_dir_all(&root).unwrap();
        let id = ConversationId::random();
        let record = Record {
            id,
            sandbox: SandboxId::shared(),
            created_at: types::time::utc_now(),
            title: None,
            workspace: Workspace {
                working_dir: root.display().to_string(),
                kind: "LocalWorkspace".to_owned(),
            },
            agent: serde_json::json!({"kind": "Agent", "llm": {"model": "m", "api_key": "sealed-key"}, "tools": []}),
            max_iterations: 10,
            stuck_detection: true,
            confirmation_policy: ConfirmationPolicy::NeverConfirm,
            security_analyzer: None,
            secrets: Default::default(),
            tags: Default::default(),
            tool_module_qualnames: Default::default(),
            client_tools: Vec::new(),
            hook_config: None,
            autotitle: false,
            user_id: None,
            parent_conversation_id: None,
            forked_from_conversation_id: None,
            forked_from_event_id: None,
            undelivered: None,
        };
        let value = serde_json::to_vec(&record).unwrap().into();
        self.ports.kv.put("CONVERSATIONS", &id.hex(), value, ports::Expect::Absent).await.unwrap();
        let path = format!("/api/conversations/{id}/bash/bash_events/search");
        eventually("the gateway knows the conversation", async || {
            (self.request(Method::GET, &path).header("x-session-api-key", KEY).send().await.unwrap().status()
                == 200)
                .then_some(())
        })
        .await;
        id
    }

    /// Begins to stop; the answer is what `run` returned.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().unwrap();
    }

    pub fn begin_to_stop(&self) {
        self.stop.cancel();
    }
}

pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn status_and_json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("in vain: {what}");
}
