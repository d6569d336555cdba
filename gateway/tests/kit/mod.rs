//! A gateway on a loopback port with real stores, and a scripted stand-in for the worker of conversations.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod script;
pub mod socket;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use manyhands_gateway as gateway;

use gateway::Config;
use gateway::config::{Limits, ToolEntry};
use ports::Ports;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vault::{Keys, Vault};

use script::Worker;
use socket::Socket;

pub const SOON: Duration = Duration::from_secs(10);

pub struct Server {
    pub address: String,
    pub client: reqwest::Client,
    pub ports: Ports,
    pub worker: Worker,
    stop: CancellationToken,
    running: JoinHandle<Result<(), gateway::Error>>,
    store: Option<embedded::Guard>,
    folder: TempDir,
}

pub async fn start() -> Server {
    start_with(|_| {}).await
}

pub async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
    start_in(tempfile::tempdir().unwrap(), change).await
}

pub async fn start_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Server {
    let (ports, store) = embedded::open(options(folder.path())).await.unwrap();
    let worker = Worker::start(&ports).await;
    let mut config = config();
    change(&mut config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let vault = Arc::new(Vault::new(&SecretString::from("the secret key"), &[]));
    let running = tokio::spawn(gateway::run(config, ports.clone(), vault, listener, stop.clone()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Server { address, client, ports, worker, stop, running, store: Some(store), folder }
}

pub fn options(root: &Path) -> embedded::Options {
    embedded::Options {
        root: root.join("data"),
        conversations: root.join("conversations"),
        bash_events: root.join("bash_events"),
        fsync: embedded::Fsync::Interval,
    }
}

fn config() -> Config {
    let tool = |name: &str| ToolEntry {
        name: name.to_owned(),
        user_selectable: true,
        usable: Some(true),
        description: None,
        in_default_set: true,
    };
    Config {
        keys: Keys::new(&[]),
        secret_key: SecretString::from("the secret key"),
        allow_cors_origins: Vec::new(),
        allow_cors_origin_regex: None,
        allowed_hosts: Vec::new(),
        docker_host: None,
        trust_forwarded_headers: false,
        root_path: String::new(),
        conversations_path: "workspace/conversations".into(),
        workspace_path: "workspace/project".into(),
        tools: ["terminal", "file_editor", "task_tracker"].map(tool).into(),
        runtime_idle_timeout_seconds: None,
        build_git_sha: "unknown".to_owned(),
        build_git_ref: "unknown".to_owned(),
        limits: Limits::default(),
    }
}

/// The smallest body a conversation is made from, with a secret in it.
pub fn create_body() -> Value {
    json!({"agent": {"llm": {"model": "openai/m", "api_key": "sk-secret", "usage_id": "agent"}, "tools": [{"name": "terminal"}]},
        "workspace": {"working_dir": "/tmp/w"}})
}

impl Server {
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// A new conversation's id, dashed.
    pub async fn create(&self) -> String {
        let (status, info) = self.post("/api/conversations", create_body()).await;
        assert_eq!(status, 201, "{info}");
        info["id"].as_str().unwrap().to_owned()
    }

    pub async fn info(&self, id: &str) -> Value {
        let (status, info) = self.get(&format!("/api/conversations/{id}")).await;
        assert_eq!(status, 200, "{info}");
        info
    }

    pub async fn say(&self, id: &str, text: &str, run: bool) -> (u16, Value) {
        let body = json!({"role": "user", "content": [{"type": "text", "text": text}], "run": run});
        self.post(&format!("/api/conversations/{id}/events"), body).await
    }

    pub async fn run(&self, id: &str) -> (u16, Value) {
        self.send(Method::POST, &format!("/api/conversations/{id}/run"), None).await
    }

    pub async fn until_status(&self, id: &str, status: &str) {
        until(async || self.info(id).await["execution_status"] == status).await;
    }

    pub async fn socket(&self, path: &str) -> Socket {
        Socket::open(&format!("ws://{}{path}", self.address)).await
    }

    /// Stops the gateway as a signal would.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops everything and starts it again on what is stored.
    pub async fn restart(mut self) -> Server {
        self.worker.stop().await;
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        self.store.take().unwrap().close().await;
        start_in(self.folder, |_| {}).await
    }
}

/// Waits until `holds`.
pub async fn until(holds: impl AsyncFn() -> bool) {
    let give_up = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < give_up, "it did not come to hold");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
