//! A cluster's parts, signed in to a real server with what `init` and the supervisor give them.

pub mod attempts;
pub mod client;
pub mod configurations;
pub mod drawn;
pub mod frames;
pub mod observer;
pub mod scene;
pub mod store;
pub mod wire;

use std::time::Duration;

use manyhands_credentials::{Keys, Minter, Revoked, Role};
use tempfile::TempDir;
use testing::nats::Nats;
use types::placement::Credentials;
use types::{Epoch, SandboxId};

pub const HOUR: Duration = Duration::from_secs(3_600);

pub struct Cluster {
    pub server: Nats,
    pub keys: Keys,
    pub minter: Minter,
    #[expect(dead_code, reason = "the server's folder lives as long as the cluster")]
    accounts: TempDir,
}

impl Cluster {
    pub async fn start() -> Self {
        let (keys, accounts) = (Keys::make(), tempfile::tempdir().unwrap());
        let config = manyhands_credentials::server_config(&keys, &Revoked::default(), accounts.path());
        let server = Nats::with(&config.unwrap()).await;
        let minter = keys.minter().unwrap();
        Self { server, keys, minter, accounts }
    }

    /// A trusted part as the product connects it.
    pub async fn connection(&self, role: Role) -> nats::Connection {
        let credentials = self.keys.control_credentials(role).unwrap();
        store::connect(&self.server.url(), role.name(), credentials).await
    }

    /// Streams and buckets as the first gateway makes them.
    pub async fn set_up(&self) {
        let gateway = self.connection(Role::Gateway).await;
        gateway.set_up(None).await.unwrap();
        gateway.drain().await;
    }

    pub async fn control(&self, role: Role) -> client::Client {
        client::connect(&self.server.url(), &self.keys.control_credentials(role).unwrap()).await
    }

    pub async fn system(&self) -> client::Client {
        client::connect(&self.server.url(), &self.keys.system_credentials().unwrap()).await
    }

    pub fn worker_credentials(&self, sandbox: &str, epoch: u64) -> Credentials {
        self.minter.mint_worker(&SandboxId::parse(sandbox).unwrap(), Epoch(epoch), HOUR).unwrap()
    }

    pub async fn worker(&self, sandbox: &str, epoch: u64) -> client::Client {
        client::connect(&self.server.url(), &self.worker_credentials(sandbox, epoch)).await
    }
}
