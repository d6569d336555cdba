//! A gateway's view of a cluster's sandboxes, over a store of its own: for tests.

use std::path::PathBuf;
use std::time::Duration;

use ports::{Expect, Ports};
use readmodel::index::Index;
use serde::Serialize;
use types::buckets::{ALLOCATIONS, LEASES, SANDBOXES};
use types::conversation::ConversationRecord;
use types::placement::{Allocation, Lease, Wanted};
use types::{ConversationId, Epoch, TenantId};

use super::{Cluster, Fleet, Policy};
use crate::Tasks;

pub struct World {
    pub ports: Ports,
    pub fleet: Fleet,
    pub index: Index,
    _store: (embedded::Guard, tempfile::TempDir),
}

pub async fn world(policy: Policy, wanted: &[(&str, Wanted)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, guard) = embedded::open(options).await.unwrap();
    for (sandbox, wanted) in wanted {
        let value = serde_json::to_vec(wanted).unwrap().into();
        ports.kv.put(SANDBOXES, sandbox, value, Expect::Absent).await.unwrap();
    }
    let tasks = Tasks::default();
    let index = Index::start(&ports, &tasks.tracker, &tasks.drain).await.unwrap();
    let root = PathBuf::from("/workspace");
    let cluster = Cluster { policy, root, patience: Duration::from_secs(10) };
    let fleet = Fleet::start(cluster, &ports, &index, &tasks).await.unwrap();
    World { ports, fleet, index, _store: (guard, folder) }
}

impl World {
    pub async fn write(&self, bucket: &str, sandbox: &str, value: &impl Serialize) {
        let value = serde_json::to_vec(value).unwrap().into();
        self.ports.kv.put(bucket, sandbox, value, Expect::Anything).await.unwrap();
    }

    /// What is wanted of a sandbox is written, and known to this gateway.
    pub async fn hear_of(&self, sandbox: &str, wanted: &Wanted) {
        self.write(SANDBOXES, sandbox, wanted).await;
        while self.fleet.wanted.get(sandbox).is_none_or(|seen| seen.value != *wanted) {
            tokio::task::yield_now().await;
        }
    }

    pub async fn want(&self, sandbox: &str) -> Wanted {
        let stored = self.ports.kv.get(SANDBOXES, sandbox).await.unwrap().unwrap();
        serde_json::from_slice(&stored.value).unwrap()
    }

    /// As the supervisor arranges it, and the worker takes its lease.
    pub async fn runs(&self, sandbox: &str, epoch: u64) {
        let allocation =
            Allocation { epoch: Epoch(epoch), instance: "unit".to_owned(), ..Allocation::default() };
        self.write(ALLOCATIONS, sandbox, &allocation).await;
        let since = String::new();
        let lease = Lease { epoch: Epoch(epoch), since, idle_seconds: 0, runs: 0, calls: 0 };
        self.write(LEASES, sandbox, &lease).await;
    }
}

/// Lets time pass by.
pub async fn after(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// That of a directory, or the default one.
pub fn wanted(place: &str, touched_at: u64) -> Wanted {
    let (tenant, place) = (Some(TenantId::default()), place.to_owned());
    Wanted { tenant, place, touched_at, ..Wanted::default() }
}

/// That of a conversation.
pub fn own(id: ConversationId, touched_at: u64) -> Wanted {
    Wanted { is_of_conversation: true, ..wanted(&id.hex(), touched_at) }
}

pub fn record(id: ConversationId, sandbox: &str) -> ConversationRecord {
    serde_json::from_value(serde_json::json!({"id": id, "sandbox": sandbox,
        "created_at": "2026-11-23T00:00:00.000000Z", "title": null,
        "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
        "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null}))
    .unwrap()
}
