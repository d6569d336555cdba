//! Gateways of a cluster on loopback ports and one real store, with a stand-in for the supervisor.

use control::placement::Policy;
use ports::{Expect, Ports};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::buckets::{CONVERSATIONS, LEASES, SANDBOXES};
use types::conversation::ConversationRecord;
use types::placement::{Lease, Wanted};
use types::{ConversationId, SandboxId};

use super::config::{self, Config};
use super::gateway::Gateway;
use super::supervisor::Supervisor;

pub struct World {
    pub ports: Ports,
    pub supervisor: Supervisor,
    pub gateways: Vec<Gateway>,
    #[expect(dead_code, reason = "the store's folder lives as long as the world")]
    folder: TempDir,
    _store: embedded::Guard,
    _stop: DropGuard,
}

/// One gateway, and a supervisor that starts what is wanted.
pub async fn start(policy: Policy) -> World {
    let world = start_idle(policy, 1, |_| {}).await;
    world.supervisor.begin().await;
    world
}

/// Some gateways, and a supervisor that does nothing yet.
pub async fn start_idle(policy: Policy, gateways: usize, change: impl Fn(&mut Config)) -> World {
    start_on(policy, gateways, change, |_| {}).await
}

/// The same on changed ports.
pub async fn start_on(
    policy: Policy,
    gateways: usize,
    change: impl Fn(&mut Config),
    wrap: impl FnOnce(&mut Ports),
) -> World {
    let folder = tempfile::tempdir().unwrap();
    let (mut ports, store) = config::open(folder.path()).await;
    wrap(&mut ports);
    let stop = CancellationToken::new();
    let supervisor = Supervisor::new(&ports, &stop);
    let mut world =
        World { ports, supervisor, gateways: Vec::new(), folder, _store: store, _stop: stop.drop_guard() };
    for _ in 0..gateways {
        let mut config = config::of_cluster(policy);
        change(&mut config);
        world.gateways.push(Gateway::start(world.ports.clone(), config).await);
    }
    world
}

impl World {
    pub fn gateway(&self) -> &Gateway {
        &self.gateways[0]
    }

    /// One more gateway.
    pub async fn add_gateway(&mut self, policy: Policy) {
        self.gateways.push(Gateway::start(self.ports.clone(), config::of_cluster(policy)).await);
    }

    pub async fn read<T: DeserializeOwned>(&self, bucket: &str, key: &str) -> Option<T> {
        let entry = self.ports.kv.get(bucket, key).await.unwrap()?;
        Some(serde_json::from_slice(&entry.value).unwrap())
    }

    pub async fn write(&self, bucket: &str, key: &str, value: &impl Serialize) {
        let value = serde_json::to_vec(value).unwrap().into();
        self.ports.kv.put(bucket, key, value, Expect::Anything).await.unwrap();
    }

    pub async fn wanted(&self, sandbox: &SandboxId) -> Option<Wanted> {
        self.read(SANDBOXES, sandbox.as_str()).await
    }

    pub async fn record(&self, id: &str) -> ConversationRecord {
        let id: ConversationId = id.parse().unwrap();
        self.read(CONVERSATIONS, &id.hex()).await.unwrap()
    }

    /// Under which key it is counted what the conversation spends.
    pub async fn budget_key(&self, id: &str) -> String {
        let record = self.record(id).await;
        let created_at: String = record.created_at.chars().filter(char::is_ascii_digit).collect();
        format!("conversation.{}.{created_at}", record.id.hex())
    }

    pub async fn sandbox_of(&self, id: &str) -> SandboxId {
        self.record(id).await.sandbox
    }

    pub async fn until_lease(&self, sandbox: &SandboxId) -> Lease {
        testing::eventually("a lease", async || self.read(LEASES, sandbox.as_str()).await).await
    }
}

pub fn create_body(working_dir: &str) -> Value {
    json!({"agent": {"llm": {"model": "openai/m", "api_key": "sk-canary-key", "usage_id": "agent"}, "tools": []},
        "workspace": {"working_dir": working_dir}})
}
