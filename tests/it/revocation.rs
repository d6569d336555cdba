//! What `manyhands revoke` does to a cluster that runs.

use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use credentials::{Minter, Role, folder};
use ports::rpc::{Address, call};
use reqwest::StatusCode;
use serde_json::json;
use testing::client::Client;
use testing::cluster::Cluster;
use testing::process::is_alive;
use testing::server::Start;
use testing::{PATIENCE, until, within};
use types::SandboxId;
use types::buckets::LEASES;
use types::placement::{Credentials, Lease, Renewal};

/// A lost lease, and a start.
const REPLACED: Duration = Duration::from_secs(60);

struct World {
    start: Start,
    cluster: Cluster,
    client: Client,
}

impl World {
    fn start() -> Self {
        Self::of(Start::new(env!("CARGO_BIN_EXE_manyhands")))
    }

    fn of(start: Start) -> Self {
        let cluster = start.start_cluster();
        let client = Client::new(&cluster.url(), None);
        Self { start, cluster, client }
    }

    fn revoke(&self, nats: &str, who: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_manyhands"));
        command.current_dir(self.start.folder()).args(["revoke", "--dir", "keys"]).args(who);
        command.env("OH_NATS_URL", nats).output().unwrap()
    }

    fn revoked(&self, who: &[&str]) -> String {
        let output = self.revoke(&format!("nats://{}", self.cluster.network.address()), who);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn serves(&self) -> bool {
        let command = json!({ "command": "true" });
        self.client.post("/api/bash/execute_bash_command", &command).await.0 == StatusCode::OK
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_with_a_revoked_key_are_cut_off_and_come_back_with_the_new_one() {
    let mut world = World::start();
    assert!(world.serves().await);
    let said = world.revoked(&["gateway"]);
    assert!(
        said.contains("wrote keys/gateway/credentials.json") && said.contains("Restart all gateways"),
        "{said}"
    );
    until(async || !world.serves().await).await;
    for index in 0..world.cluster.gateways.len() {
        world.cluster.restart_gateway(index);
    }
    assert!(world.serves().await);
}

/// What it is given ends soon: that NATS closes its connection then shows that it has made one with it, and not later.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_signs_in_with_new_credentials_by_itself() {
    let world = World::of(Start::new(env!("CARGO_BIN_EXE_manyhands")).with_nats("debug: true"));
    assert!(world.serves().await);
    let keys = world.start.folder().join("keys");
    let signs_in = |credentials| nats::Options {
        urls: vec![world.cluster.nats.url()],
        credentials: Some(credentials),
        ca: None,
        servers: Vec::new(),
        name: "test".to_owned(),
        inbox: None,
    };
    let supervisor = credentials::load(&folder::credentials_path(&keys, Role::Supervisor)).unwrap();
    let supervisor = nats::connect(signs_in(supervisor)).await.unwrap().control().await.unwrap();
    let leases = supervisor.kv.list(LEASES).await.unwrap();
    let leases = leases.iter().filter_map(|(key, entry)| {
        Some((SandboxId::parse(key)?, serde_json::from_slice::<Lease>(&entry.value).ok()?.epoch))
    });
    let (sandbox, epoch) = leases.last().expect("a worker");
    let minter = Minter::load(&folder::minter_path(&keys)).unwrap();
    let Credentials { jwt, seed, .. } = minter.mint_worker(&sandbox, epoch, Duration::from_secs(10)).unwrap();
    let address = Address::of_worker(&sandbox, Some(epoch));
    let renewal = Renewal { jwt, seed };
    let given = call::<_, ()>(&*supervisor.bus, &address, &renewal, Bytes::new(), PATIENCE).await;
    assert!(given.is_ok(), "{given:?}");
    let log = world.cluster.nats.folder().join("server.log");
    let is_used = || std::fs::read_to_string(&log).unwrap().contains("Authentication Expired");
    until(async || is_used()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_revoked_key_are_replaced_without_a_restart_of_anything() {
    let world = World::start();
    assert!(world.serves().await);
    let old = world.cluster.workers();
    assert!(!old.is_empty());
    world.revoked(&["workers"]);
    within(REPLACED, "the old workers end", async || (!old.iter().any(|pid| is_alive(*pid))).then_some(()))
        .await;
    within(REPLACED, "new ones serve", async || world.serves().await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_operators_keys_nothing_is_taken_back() {
    let world = World::start();
    std::fs::rename(world.start.folder().join("keys/operator"), world.start.folder().join("safe")).unwrap();
    let output = world.revoke("nats://127.0.0.1:1", &["gateway"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("keys/operator does not hold the operator's keys"), "{said}");
}
