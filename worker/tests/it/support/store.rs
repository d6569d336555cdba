//! What a world stores in: files, or NATS behind a control plane, as in a cluster.

use control::storage::Books;
use embedded::{Fsync, Guard, Options};
use nats::{Connection, connect};
use ports::Ports;
use tempfile::TempDir;
use testing::nats::Nats;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::{Epoch, SandboxId, subjects};

/// The store runs as long as it is held.
#[expect(dead_code, reason = "it is only held")]
pub enum Store {
    Files(Guard),
    Nats(Box<(Nats, Connection, DropGuard)>),
}

pub async fn files(dir: &TempDir) -> (Ports, Store) {
    let (ports, guard) = embedded::open(Options::within(dir.path(), Fsync::Always)).await.unwrap();
    (ports, Store::Files(guard))
}

/// The ports of the control plane, those of the worker of the shared sandbox, and the store.
pub async fn nats() -> (Ports, Ports, Store) {
    let server = Nats::start().await;
    let control = connection(&server, None).await;
    control.set_up(None).await.unwrap();
    let (storage, ports) = (control.storage().await.unwrap(), control.control().await.unwrap());
    let stop = CancellationToken::new();
    let (served, until) = (ports.clone(), stop.clone());
    tokio::spawn(async move {
        let unwatched = ports::rpc::unwatched();
        let books = Books::new(served.kv.clone(), Some(1 << 40), |_| ());
        let limits = control::storage::Limits::default();
        control::storage::serve(&*storage, &served, limits, &books, unwatched, &until).await.unwrap();
    });
    let (sandbox, epoch) = (SandboxId::shared(), Epoch(1));
    let worker = connection(&server, Some(subjects::inbox(&sandbox, epoch))).await;
    let of_worker =
        testing::eventually("the storage is served", async || worker.worker(&sandbox, epoch).await.ok())
            .await;
    (ports, of_worker, Store::Nats(Box::new((server, control, stop.drop_guard()))))
}

async fn connection(server: &Nats, inbox: Option<String>) -> Connection {
    let name = "test".to_owned();
    connect(nats::Options {
        urls: vec![server.url()],
        credentials: None,
        ca: None,
        name,
        inbox,
        servers: Vec::new(),
    })
    .await
    .unwrap()
}
