//! A gateway on a loopback port with real stores, and a scripted stand-in for the worker of conversations.

pub mod noted;
pub mod script;
pub mod stepped;

use ports::Ports;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::socket::Socket;
pub use testing::until;

use crate::running::{Config, Replica, Running};
use script::Worker;

pub struct Server {
    pub address: String,
    pub client: reqwest::Client,
    pub ports: Ports,
    pub worker: Worker,
    running: Running,
}

pub async fn start() -> Server {
    start_with(|_| {}).await
}

pub async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
    start_in(tempfile::tempdir().unwrap(), change).await
}

async fn start_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Server {
    let (ports, store) = crate::running::open(folder.path()).await;
    let worker = Worker::start(&ports).await;
    let mut config = crate::running::config();
    change(&mut config);
    let running = Running::start(folder, ports.clone(), store, config).await;
    Server { address: running.address.clone(), client: crate::running::client(), ports, worker, running }
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

    /// Another gateway on the same stores and bus.
    pub async fn replica(&self) -> Replica {
        Replica::start(self.ports.clone(), crate::running::config()).await
    }

    pub async fn socket(&self, path: &str) -> Socket {
        Socket::open(&format!("ws://{}{path}", self.address)).await
    }

    /// Stops the gateway as a signal would.
    pub fn begin_stop(&self) {
        self.running.begin_stop();
    }

    /// Stops everything and starts it again on what is stored.
    pub async fn restart(self) -> Server {
        self.worker.stop().await;
        start_in(self.running.stop().await, |_| {}).await
    }
}

/// Whether a frame is a `full_state` update.
pub fn is_snapshot(frame: &Value) -> bool {
    frame["key"] == "full_state"
}

/// Whether a frame is a `full_state` update that ends the wait for a run.
pub fn is_resting_snapshot(frame: &Value) -> bool {
    is_snapshot(frame) && frame["value"]["execution_status"] != "running"
}
