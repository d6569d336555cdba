//! Just enough of a worker: conversations whose runs follow a script, commands that a shell runs, and files if asked for.

mod bash;
mod control_plane;
mod conversations;
mod files;
mod git;
mod script;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ports::Ports;
use ports::rpc::{Address, Call, Code, Fault, Limits, Server};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::acp::AcpDiscovery;
use types::calls::{AcpCall, BashCall, Command, ConversationCall, FileCall, GitCall};
use types::service::OfWorker;
use types::worktree::Place;
use types::{ConversationId, Epoch, SandboxId};
use uuid::Uuid;

use conversations::State;
use files::Files;
pub use script::Script;

type Answer = Result<(Value, Bytes), Fault>;

const LIMITS: Limits = Limits::new(1_000, 64 << 20);

#[derive(Clone)]
pub struct Worker(Arc<Shared>);

type SharedState = Arc<tokio::sync::Mutex<State>>;

struct Shared {
    ports: Ports,
    sandbox: SandboxId,
    incarnation: Option<Epoch>,
    script: Mutex<Script>,
    open: Mutex<HashMap<ConversationId, SharedState>>,
    /// Those that were forgotten, each for a deletion, and when they were made.
    forgotten: Mutex<HashMap<(ConversationId, Uuid), (String, SharedState)>>,
    seen: Mutex<Vec<Command>>,
    bash_calls: AtomicUsize,
    git_calls: AtomicUsize,
    agents_asked: AtomicUsize,
    removed: Mutex<Vec<Place>>,
    spared: Mutex<Vec<Place>>,
    sweeps: AtomicUsize,
    stop: CancellationToken,
}

impl Worker {
    pub async fn start(ports: &Ports) -> Self {
        Self::start_in(ports, SandboxId::shared(), None).await
    }

    /// As one of several incarnations of the sandbox.
    pub async fn start_as(ports: &Ports, sandbox: SandboxId, epoch: Epoch) -> Self {
        Self::start_in(ports, sandbox, Some(epoch)).await
    }

    async fn start_in(ports: &Ports, sandbox: SandboxId, incarnation: Option<Epoch>) -> Self {
        let worker = Self(Arc::new(Shared {
            ports: ports.clone(),
            sandbox,
            incarnation,
            script: Mutex::default(),
            open: Mutex::default(),
            forgotten: Mutex::default(),
            seen: Mutex::default(),
            bash_calls: AtomicUsize::default(),
            git_calls: AtomicUsize::default(),
            removed: Mutex::default(),
            spared: Mutex::default(),
            sweeps: AtomicUsize::default(),
            agents_asked: AtomicUsize::default(),
            stop: CancellationToken::new(),
        }));
        let (server, serving) = (worker.server(), worker.clone());
        let answer = move |call: Call<ConversationCall>| {
            let worker = serving.clone();
            async move { worker.answer(call.body).await.map(|done| (done, Bytes::new())) }
        };
        server.serve(&worker.address(), None, LIMITS, answer).await.unwrap();
        let serving = worker.clone();
        let bash = move |call: Call<BashCall>| {
            let worker = serving.clone();
            async move { worker.bash(call.body).await }
        };
        server.serve(&worker.address(), None, LIMITS, bash).await.unwrap();
        let serving = worker.clone();
        let agents = move |call: Call<AcpCall>| {
            serving.0.agents_asked.fetch_add(1, Ordering::Relaxed);
            async move {
                let AcpCall::Models { program, .. } = call.body;
                if program.command == ["sleeps"] {
                    std::future::pending::<()>().await;
                }
                Ok((AcpDiscovery::default(), Bytes::new()))
            }
        };
        // Tests of a server of one process bring their own.
        if incarnation.is_some() {
            server.serve(&worker.address(), None, LIMITS, agents).await.unwrap();
        }
        let serving = worker.clone();
        let git = move |call: Call<GitCall>| {
            serving.0.git_calls.fetch_add(1, Ordering::Relaxed);
            let worker = serving.clone();
            async move { worker.git(call.body).await }
        };
        server.serve(&worker.address(), None, LIMITS, git).await.unwrap();
        worker
    }

    /// From now on it has files, too: those of the machine.
    pub async fn serve_files(&self) {
        let files = Arc::new(Files::default());
        let answer = move |call: Call<FileCall>| {
            let files = files.clone();
            async move { files.answer(call).await }
        };
        self.server().serve(&self.address(), None, LIMITS, answer).await.unwrap();
    }

    fn server(&self) -> Server {
        Server::new(self.0.ports.bus.clone(), TaskTracker::new(), self.0.stop.clone())
    }

    fn address<S: OfWorker>(&self) -> Address<S> {
        Address::of_worker(&self.0.sandbox, self.0.incarnation)
    }

    /// Nothing is answered any more.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.script.lock().unwrap());
    }

    /// The commands that came.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Command>> {
        self.0.seen.lock().unwrap()
    }

    pub fn agents_asked(&self) -> usize {
        self.0.agents_asked.load(Ordering::Relaxed)
    }

    /// How many git calls came.
    pub fn git_calls(&self) -> usize {
        self.0.git_calls.load(Ordering::Relaxed)
    }

    /// The working trees that were to be removed.
    pub fn removed(&self) -> Vec<Place> {
        self.0.removed.lock().unwrap().clone()
    }

    /// Those that stayed because of what is in them.
    pub fn spared(&self) -> Vec<Place> {
        self.0.spared.lock().unwrap().clone()
    }

    /// How often it was asked for old ones.
    pub fn sweeps(&self) -> usize {
        self.0.sweeps.load(Ordering::Relaxed)
    }

    /// How many bash calls came.
    pub fn bash_calls(&self) -> usize {
        self.0.bash_calls.load(Ordering::Relaxed)
    }
}

fn ok(value: impl Serialize) -> Answer {
    Ok((serde_json::to_value(value).unwrap(), Bytes::new()))
}

fn id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn not_found(what: &str) -> Fault {
    Fault::new(Code::NotFound, format!("{what} not found"))
}
