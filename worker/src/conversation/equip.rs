//! The servers that an agent has tools from. They are started when the agent is first told something, and not when the conversation
//! is merely read; what it is told waits until their tools are known, all else is answered meanwhile.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use ports::rpc::Fault;
use serde_json::{Map, Value};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tools::Boxed;
use tools::served::{self, Served};
use types::Content;
use types::agent::AgentConfig;
use types::calls::Command;
use types::mcp::McpProgram;

use super::actor::{Actor, End};
use super::registry::Request;
use super::secrets::Secrets;
use super::work::Done;
use crate::services::{Lease, Servers};

/// How long all servers together may take to list their tools.
const PATIENCE: Duration = Duration::from_secs(30);

/// Words in the names of variables that are not for everybody's eyes.
const SECRET_WORDS: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "AUTH"];

/// The servers of a conversation, as it describes them.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    servers: Vec<(String, Value)>,
    filter: Option<String>,
    working_dir: String,
}

/// The secrets of a conversation: where they are asked for, and where more are hidden.
#[derive(Clone)]
struct Hiding {
    tools: Arc<dyn tools::Secrets>,
    known: Arc<Secrets>,
}

/// Tools under way, and what waits for them.
pub(super) struct Equipping {
    task: AbortHandle,
    waiting: Vec<Request>,
}

/// What servers have.
pub(super) struct Found {
    served: Vec<Served>,
    missing: Vec<String>,
}

impl Found {
    fn crashed() -> Self {
        let why = "The search for the tools of MCP servers crashed; the server's log has the reason.";
        Self { served: Vec::new(), missing: vec![why.to_owned()] }
    }
}

impl Wanted {
    pub(super) fn of(config: &AgentConfig, working_dir: &str) -> Self {
        let described = match config.mcp_config.get("mcpServers").and_then(Value::as_object) {
            Some(inner) => inner,
            None => &config.mcp_config,
        };
        let is_enabled = |server: &Value| server.get("enabled").and_then(Value::as_bool).unwrap_or(true);
        let enabled = described.iter().filter(|(_, server)| is_enabled(server));
        Self {
            servers: enabled.map(|(key, server)| (key.clone(), server.clone())).collect(),
            filter: config.filter_tools_regex.clone(),
            working_dir: working_dir.to_owned(),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.servers.is_empty()
    }

    async fn find(self, servers: Servers, secrets: Hiding) -> Found {
        let finding = self.servers.iter().map(|(key, described)| async {
            let tools = find(&servers, key, described, &self.working_dir, &secrets);
            match timeout(PATIENCE, tools).await {
                Ok(Ok(tools)) => Ok(tools),
                Ok(Err(why)) => Err(missing(key, &why)),
                Err(_) => {
                    let why = format!("It has not listed its tools within {} seconds.", PATIENCE.as_secs());
                    Err(missing(key, &why))
                }
            }
        });
        let mut found = Found { served: Vec::new(), missing: Vec::new() };
        for tools in join_all(finding).await {
            match tools {
                Ok(tools) => found.served.extend(tools),
                Err(why) => found.missing.push(why),
            }
        }
        found
    }
}

fn missing(key: &str, why: &str) -> String {
    format!("The MCP server '{key}' cannot be used, so its tools are missing. {why}")
}

async fn find(
    servers: &Servers,
    key: &str,
    described: &Value,
    working_dir: &str,
    secrets: &Hiding,
) -> Result<Vec<Served>, String> {
    let described = served::expand(described, secrets.tools.as_ref()).await;
    let program = program(&described, working_dir)?;
    let is_secret = |name: &str| SECRET_WORDS.iter().any(|word| name.to_ascii_uppercase().contains(word));
    let hidden = program.env.iter().filter(|(name, _)| is_secret(name));
    secrets.known.hide(hidden.map(|(name, value)| (name.clone(), value.clone())).collect()).await;
    let server = Arc::new(McpServer { key: key.to_owned(), lease: servers.lease(program) });
    let tools = server.lease.tools().await?;
    let served = tools.into_iter().map(|tool| Served {
        server: Arc::clone(&server) as Arc<dyn served::Server>,
        name: tool.name,
        description: tool.description,
        schema: tool.schema,
        annotations: tool.annotations,
    });
    Ok(served.collect())
}

fn program(described: &Value, working_dir: &str) -> Result<McpProgram, String> {
    let text = |name: &str| described.get(name).and_then(Value::as_str);
    let Some(command) = text("command") else {
        let why = match text("url") {
            Some(_) => "It is on the network, and conversations use programs only, so far.",
            None => "Its description names no command.",
        };
        return Err(why.to_owned());
    };
    let args = described.get("args").and_then(Value::as_array);
    let env = described.get("env").and_then(Value::as_object);
    Ok(McpProgram {
        command: command.to_owned(),
        args: args.into_iter().flatten().filter_map(plain).collect(),
        env: env
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), plain(value)?)))
            .collect(),
        cwd: Some(text("cwd").unwrap_or(working_dir).to_owned()),
    })
}

/// Numbers stand where texts are meant, too.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

struct McpServer {
    key: String,
    lease: Lease,
}

impl served::Server for McpServer {
    fn key(&self) -> &str {
        &self.key
    }

    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a Map<String, Value>,
    ) -> Boxed<'a, Result<(Vec<Content>, bool), String>> {
        Box::pin(async move {
            let answered = self.lease.call(tool, arguments).await;
            let answer =
                answered.map_err(|why| format!("The MCP server '{}' does not answer. {why}", self.key))?;
            Ok((answer.content, answer.is_error))
        })
    }

    fn is_live(&self) -> bool {
        self.lease.is_live()
    }
}

impl Actor {
    /// Whether the agent needs its tools for this, and does not have them yet.
    pub(super) fn lacks_tools_for(&self, command: &Command) -> bool {
        let needs_them = matches!(
            command,
            Command::Message { .. }
                | Command::Run { .. }
                | Command::Respond { accept: true, .. }
                | Command::StartGoal { .. }
                | Command::ResumeGoal {}
        );
        needs_them && !self.kept.is_equipped
    }

    /// Lets a command wait for the tools.
    pub(super) fn equip_for(&mut self, request: Request) {
        if self.equipping.is_none() {
            let secrets = Hiding { tools: self.kept.tools.secrets(), known: Arc::clone(&self.kept.secrets) };
            let finding = self.wanted.clone().find(self.shared.guards.servers.clone(), secrets);
            let done = self.done.clone();
            let task = self.shared.tracker.spawn(async move {
                let found =
                    AssertUnwindSafe(finding).catch_unwind().await.unwrap_or_else(|_| Found::crashed());
                let _ = done.send(Done::Equipped(found)).await;
            });
            self.equipping = Some(Equipping { task: task.abort_handle(), waiting: Vec::new() });
        }
        let Some(equipping) = &mut self.equipping else { return };
        equipping.waiting.push(request);
    }

    /// The tools are known, or why there are none: what waits for them goes on.
    pub(super) async fn equipped(&mut self, found: Found) -> Result<(), End> {
        let Some(equipping) = self.equipping.take() else { return Ok(()) };
        let several = self.wanted.servers.len() > 1;
        let filter = self.wanted.filter.as_deref();
        let (tools, left_out) = self.kept.tools.with_served(found.served, several, filter);
        let missing: Vec<String> = found.missing.into_iter().chain(left_out).collect();
        for why in &missing {
            let why = self.kept.secrets.masker().mask(why);
            tracing::warn!(conversation.id = %self.seat.id, why, "the agent lacks tools");
        }
        self.kept.tools = Arc::new(tools);
        self.kept.is_equipped = true;
        let told = (!missing.is_empty()).then(|| missing.join("\n"));
        self.agent.equip(self.kept.tools.clone(), told);
        for request in equipping.waiting {
            self.obey(request).await?;
        }
        Ok(())
    }

    /// What waits begins no run any more: it is interrupted, or paused, before that.
    pub(super) fn let_nothing_wait_to_run(&mut self) {
        let done = self.position();
        let Some(equipping) = &mut self.equipping else { return };
        for mut request in std::mem::take(&mut equipping.waiting) {
            match &mut request.command {
                Command::Run { .. } => {
                    let _ = request.reply.send(Ok(done.clone()));
                    continue;
                }
                Command::Message { run, .. } => *run = false,
                _ => {}
            }
            equipping.waiting.push(request);
        }
    }

    /// Nothing waits for tools any more.
    pub(super) fn refuse_waiting(&mut self, fault: &Fault) {
        let Some(equipping) = self.equipping.take() else { return };
        equipping.task.abort();
        for request in equipping.waiting {
            request.refuse(fault.clone());
        }
    }
}
