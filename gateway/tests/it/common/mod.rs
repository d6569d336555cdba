//! A gateway on a loopback port with real stores, and a worker that is just enough of one.

mod worker;

use std::path::Path;

use crate::running::{Config, Running};
use manyhands_gateway::App;
use ports::Ports;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
pub use testing::eventually;
use types::conversation::{ConversationRecord, Workspace};
use types::known_values::KnownValues;
use types::policy::ConfirmationPolicy;
use types::{ConversationId, SandboxId, TenantId};
use vault::Keys;

pub const KEY: &str = "the-session-key";

pub struct Server {
    pub address: String,
    pub client: reqwest::Client,
    pub ports: Ports,
    running: Running,
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
    let (ports, store) = crate::running::open(folder.path()).await;
    worker::start(&ports).await;
    let mut config = crate::running::config();
    change(&mut config);
    let running = Running::start(folder, ports.clone(), store, config).await;
    Server { address: running.address.clone(), client: crate::running::client(), ports, running }
}

/// Why a server cannot start.
pub async fn start_failure(change: impl FnOnce(&mut Config)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = crate::running::open(folder.path()).await;
    let mut config = crate::running::config();
    change(&mut config);
    crate::running::prepare(config, &ports).await.err().expect("it started").to_string()
}

/// An app without a listener.
pub async fn app(folder: &Path) -> (App, embedded::Guard) {
    let (ports, store) = crate::running::open(folder).await;
    (crate::running::prepare(crate::running::config(), &ports).await.unwrap(), store)
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
        self.running.folder.path()
    }

    /// A path in the server's folder, as a query value.
    pub fn path(&self, name: &str) -> String {
        self.running.folder.path().join(name).display().to_string()
    }

    /// A conversation whose workspace is the folder `name`.
    pub async fn conversation(&self, name: &str) -> ConversationId {
        let root = self.running.folder.path().join(name);
        std::fs::create_dir_all(&root).unwrap();
        let id = ConversationId::random();
        let mut past_secrets = KnownValues::default();
        past_secrets.add("PAST".to_owned(), "sealed-past".to_owned());
        let record = ConversationRecord {
            id,
            tenant: TenantId::default(),
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
            past_secrets,
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

    /// Stops it and waits until it has ended.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub fn begin_to_stop(&self) {
        self.running.begin_stop();
    }
}

pub async fn status_and_json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}
