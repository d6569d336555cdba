//! One server: a gateway, the store of a folder, and a worker for the one sandbox.

use std::ops::Deref;
use std::path::Path;

use ports::Ports;
use serde_json::{Value, json};
use tempfile::TempDir;
use types::conversation::{ConversationRecord, Workspace};
use types::known_values::KnownValues;
use types::policy::ConfirmationPolicy;
use types::{ConversationId, SandboxId, TenantId};
use vault::Keys;

use super::config::{self, Config};
use super::gateway::Gateway;
use super::worker::Worker;

pub const KEY: &str = "the-session-key";

pub struct Server {
    pub ports: Ports,
    pub worker: Worker,
    gateway: Gateway,
    folder: TempDir,
    store: embedded::Guard,
}

impl Deref for Server {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

/// A server without keys.
pub async fn start() -> Server {
    start_with(|_| {}).await
}

/// A server whose only key is [`KEY`].
pub async fn start_keyed() -> Server {
    start_with(|config| config.keys = Keys::new(&[KEY.into()])).await
}

/// A server whose worker has files.
pub async fn start_with_files() -> Server {
    let server = start().await;
    server.worker.serve_files().await;
    server
}

pub async fn start_with(change: impl FnOnce(&mut Config)) -> Server {
    start_in(tempfile::tempdir().unwrap(), change).await
}

async fn start_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Server {
    let (ports, store) = config::open(folder.path()).await;
    let worker = Worker::start(&ports).await;
    let mut config = config::config();
    change(&mut config);
    let gateway = Gateway::start(ports.clone(), config).await;
    Server { ports, worker, gateway, folder, store }
}

/// The smallest body a conversation is made from, with a secret in it.
pub fn create_body() -> Value {
    json!({"agent": {"llm": {"model": "openai/m", "api_key": "sk-secret", "usage_id": "agent"}, "tools": [{"name": "terminal"}]},
        "workspace": {"working_dir": "/tmp/w"}})
}

impl Server {
    /// A new conversation's id, dashed.
    pub async fn create(&self) -> String {
        self.create_from(create_body()).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the server's folder, as a query value.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Another gateway on the same stores and bus.
    pub async fn replica(&self) -> Gateway {
        Gateway::start(self.ports.clone(), config::config()).await
    }

    /// Stops it and waits until it has ended.
    pub async fn stop(self) {
        self.end().await;
    }

    /// Stops everything and starts it again on what is stored.
    pub async fn restart(self) -> Server {
        self.restart_after(|_| {}).await
    }

    /// The same, after something was done to its folder.
    pub async fn restart_after(self, change: impl FnOnce(&Path)) -> Server {
        self.worker.stop();
        let folder = self.end().await;
        change(folder.path());
        start_in(folder, |_| {}).await
    }

    async fn end(self) -> TempDir {
        self.gateway.stop().await;
        self.store.close().await;
        self.folder
    }

    /// A conversation whose workspace is the folder `name`, and that no worker has.
    pub async fn conversation(&self, name: &str) -> ConversationId {
        let root = self.folder.path().join(name);
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
            agent: json!({"kind": "Agent", "llm": {"model": "m", "api_key": "sealed-key"}, "tools": []}),
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
            launched_agent_profile: None,
            worktree: None,
            undelivered: None,
            refused: None,
            titling: Default::default(),
        };
        let value = serde_json::to_vec(&record).unwrap().into();
        self.ports.kv.put("CONVERSATIONS", &id.hex(), value, ports::Expect::Absent).await.unwrap();
        let path = format!("/api/conversations/{id}/bash/bash_events/search");
        testing::until(async || {
            let request = self.request(reqwest::Method::GET, &path).header("x-session-api-key", KEY);
            request.send().await.unwrap().status() == 200
        })
        .await;
        id
    }
}
