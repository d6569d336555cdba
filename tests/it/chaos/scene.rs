//! A cluster with conversations that run a script for as long as they are asked to.

use serde_json::json;
use testing::client::Client;
use testing::cluster::Cluster;
use testing::containers::Containers;
use testing::model::Model;
use testing::script::{Call, Script, Turn};
use testing::server::Start;

pub const MARKER: &str = "[[storm]]";
/// More than any conversation gets to.
const TURNS: usize = 20_000;
/// What the model takes for an answer.
const THINKING_MS: u64 = 60;
/// Steps of a run.
const STEPS: usize = 6;
/// Conversations share the sandboxes of so many workspaces.
const WORKSPACES: usize = 4;

pub struct Scene {
    pub cluster: Cluster,
    pub client: Client,
    pub conversations: Vec<String>,
    _model: Model,
    _start: Start,
}

impl Scene {
    /// `command`: what the agent does in its terminal, over and over.
    pub async fn set(conversations: usize, command: &str) -> Self {
        Self::set_in(None, conversations, command).await
    }

    /// Workers are `containers`, or else processes.
    pub async fn set_in(containers: Option<Containers>, conversations: usize, command: &str) -> Self {
        Self::set_up(Start::new(env!("CARGO_BIN_EXE_manyhands")), containers, conversations, command).await
    }

    /// On three servers of NATS, each of which has everything.
    pub async fn set_on_three(conversations: usize, command: &str) -> Self {
        let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with("OH_NATS_REPLICAS", "3");
        Self::set_up(start, None, conversations, command).await
    }

    async fn set_up(
        start: Start,
        containers: Option<Containers>,
        conversations: usize,
        command: &str,
    ) -> Self {
        let turns = (0..TURNS).map(|turn| step(turn, command)).collect();
        let model = Model::start(0, vec![Script::new(MARKER, turns)]).await.unwrap();
        model.forget();
        let start = start.with("OH_SANDBOX_POLICY", "workspace");
        let cluster = start.start_cluster_of(containers);
        let client = Client::new(&cluster.url(), None);
        let mut ids = Vec::new();
        for number in 0..conversations {
            let workspace = cluster.workspaces().join(format!("w{}", number % WORKSPACES));
            ids.push(client.create(&model.base_url(), &workspace.display().to_string()).await);
        }
        Self { cluster, client, conversations: ids, _model: model, _start: start }
    }

    /// What is there that should not be: processes without a parent, workers, containers and volumes beyond
    /// those of the conversations' sandboxes.
    pub fn litter(&self) -> Litter {
        let sandboxes = WORKSPACES.min(self.conversations.len());
        let beyond = |there: usize| there.saturating_sub(sandboxes);
        let containers = self.cluster.containers.as_ref();
        Litter {
            orphans: self.cluster.orphans().into_iter().map(command_of).collect(),
            workers: beyond(self.cluster.workers().len()),
            containers: beyond(containers.map_or(0, |containers| containers.all().len())),
            volumes: beyond(containers.map_or(0, |containers| containers.sandboxes().len())),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Litter {
    /// By their command lines, to be told apart.
    orphans: Vec<String>,
    workers: usize,
    containers: usize,
    volumes: usize,
}

fn command_of(process: u32) -> String {
    let command = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).replace('\0', " ")
}

/// A run is some steps, one of them with two calls, and a finish. No two calls have the same id.
fn step(turn: usize, command: &str) -> Turn {
    let call = |part: usize, name: &str, arguments| Call {
        id: format!("call_{turn}_{part}"),
        name: name.to_owned(),
        arguments,
    };
    let terminal =
        |part| call(part, "terminal", json!({ "command": format!("{command}; echo {turn} {part}") }));
    let turn = match turn % STEPS {
        2 => Turn::calls(vec![terminal(0), call(1, "think", json!({ "thought": format!("turn {turn}") }))]),
        last if last + 1 == STEPS => Turn::calls(vec![call(0, "finish", json!({ "message": "done" }))]),
        _ => Turn::calls(vec![terminal(0)]),
    };
    turn.after(THINKING_MS)
}
