//! What a gateway serves workers with: the storage of a cluster, and the books in which it stands what sandboxes have stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use control::storage::{Books, Limits, serve};
use parking_lot::Mutex;
use ports::rpc::{Server, unwatched};
use ports::storage::{Ledger, Storage};
use ports::{Ports, Result};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use types::buckets::STORED;
use types::{ConversationId, LogId, SandboxId};

use crate::world::{Here, NodeId, Simulation};

/// As long as a gateway waits before it serves workers again.
const AGAIN: Duration = Duration::from_secs(1);
/// Until all that is charged is what is stored: somebody has to be refused, weighed, and to have settled.
const RECOUNT: Duration = Duration::from_secs(400);

/// What gateways have charged sandboxes. Cheap to clone.
#[derive(Clone, Default)]
pub struct Accounts {
    /// Bytes that a sandbox may store.
    pub quota: Option<u64>,
    charged: Arc<Mutex<BTreeMap<NodeId, u64>>>,
}

impl Accounts {
    pub fn with(quota: Option<u64>) -> Self {
        Self { quota, charged: Arc::default() }
    }

    /// Gateways which have charged for anything else than what they have stored, or perhaps have.
    pub fn broken(&self, simulation: &Simulation) -> Vec<String> {
        let world = &simulation.world;
        let charged = self.charged.lock();
        let there = charged.iter().filter(|(node, _)| world.is_there(**node));
        let wrong = there.map(|(node, charged)| (node, *charged, world.costs(*node)));
        let wrong = wrong.filter(|(_, charged, costs)| charged != costs);
        wrong
            .map(|(node, charged, costs)| format!("{node:?} has charged {charged} bytes for {costs}"))
            .collect()
    }

    fn add(&self, node: NodeId, bytes: u64) {
        let mut charged = self.charged.lock();
        let sum = charged.entry(node).or_default();
        *sum = sum.wrapping_add(bytes);
    }
}

/// Has workers served as long as the gateway is there; answers the ports of who stores at the cost of sandboxes.
pub fn begin(here: &Here, accounts: &Accounts, drain: CancellationToken) -> Ports {
    let books = Books::new(here.ports.kv.clone(), accounts.quota, |_| {});
    let audited =
        |ledger: Arc<dyn Ledger>| Arc::new(Audited { ledger, accounts: accounts.clone(), node: here.node });
    let ports = here.adapter.control_at_cost(audited(books.clone()));
    let storage = Watched { storage: here.adapter.storage(), accounts: accounts.clone(), node: here.node };
    let own = ports.clone();
    tokio::spawn(async move {
        while let Err(error) = serve(&storage, &own, Limits::default(), &books, unwatched(), &drain).await {
            tracing::info!(%error, "workers cannot be served, trying again");
            sleep(AGAIN).await;
        }
    });
    ports
}

/// Has all be weighed, and says where something else is charged than what is stored.
pub fn recount(simulation: &mut Simulation) -> Vec<String> {
    let charged = simulation.world.stored(|store| store.all(STORED));
    let sandboxes: Vec<SandboxId> = charged.iter().filter_map(|(key, _)| SandboxId::parse(key)).collect();
    let auditor = sandboxes.clone();
    let node = simulation.world.start("an auditor", move |here| audit(here, auditor), |_, _| {});
    simulation.run(RECOUNT, |_| false);
    simulation.world.kill(node);
    let mut broken = Vec::new();
    simulation.world.stored(|store| {
        for sandbox in &sandboxes {
            let Some(entry) = store.get(STORED, sandbox.as_str()) else { continue };
            let charged = String::from_utf8_lossy(&entry.value).into_owned();
            let stored = store.weight(sandbox);
            if charged != stored.to_string() {
                broken.push(format!("sandbox {sandbox} is charged {charged} bytes, and stores {stored}"));
            }
        }
    });
    broken
}

/// Who is refused is weighed: so everybody is.
async fn audit(here: Here, sandboxes: Vec<SandboxId>) {
    let books = Books::new(here.ports.kv.clone(), Some(0), |_| {});
    let storage = here.adapter.storage();
    let refused = async {
        for sandbox in &sandboxes {
            let log = LogId::conversation(sandbox, ConversationId::random());
            // It is refused, or there is nothing to weigh.
            let _ = books.charge(&log, 1, &Vec::new).await;
        }
        std::future::pending::<()>().await;
    };
    let drain = CancellationToken::new();
    tokio::select! {
        _ = serve(&*storage, &here.ports, Limits::default(), &books, unwatched(), &drain) => {}
        () = refused => {}
    }
}

/// A storage whose ledger is looked at.
struct Watched {
    storage: Arc<dyn Storage>,
    accounts: Accounts,
    node: NodeId,
}

#[async_trait]
impl Storage for Watched {
    async fn serve(&self, server: &Server, ledger: Arc<dyn Ledger>) -> Result<()> {
        let ledger = Audited { ledger, accounts: self.accounts.clone(), node: self.node };
        self.storage.serve(server, Arc::new(ledger)).await
    }

    async fn erase(&self, sandbox: &SandboxId) -> Result<()> {
        self.storage.erase(sandbox).await
    }

    async fn logs(&self, sandbox: &SandboxId) -> Result<Vec<LogId>> {
        self.storage.logs(sandbox).await
    }

    async fn weigh(&self, sandbox: &SandboxId) -> Result<u64> {
        self.storage.weigh(sandbox).await
    }
}

struct Audited {
    ledger: Arc<dyn Ledger>,
    accounts: Accounts,
    node: NodeId,
}

#[async_trait]
impl Ledger for Audited {
    async fn charge(&self, log: &LogId, bytes: u64, records: &(dyn Fn() -> Vec<Bytes> + Sync)) -> Result<()> {
        self.ledger.charge(log, bytes, records).await?;
        self.accounts.add(self.node, bytes);
        Ok(())
    }

    fn refund(&self, sandbox: &SandboxId, bytes: u64) {
        self.ledger.refund(sandbox, bytes);
        self.accounts.add(self.node, bytes.wrapping_neg());
    }

    fn appended(&self, records: usize) {
        self.ledger.appended(records);
    }
}
