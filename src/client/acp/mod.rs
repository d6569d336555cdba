//! `manyhands acp`: the agent's side of the Agent Client Protocol, for editors. JSON-RPC 2.0 in lines, on standard input and
//! output: a session is a conversation, a prompt is a run.

mod content;
mod message;
mod modes;
mod prompt;
mod sessions;
mod stopping;
mod wire;
mod words;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Told;
use super::agent::{AgentOptions, Model};
use super::place::Place;
use super::stops::Stops;
use super::values::text;
use message::{Message, Refusal};
use sessions::Sessions;
use wire::Wire;

/// The only version of the protocol that is spoken here.
const VERSION: u64 = 1;

/// What is under way gets to end when the editor has gone.
const ENDING: Duration = Duration::from_secs(5);

const EDITORS: &str = "In Zed's settings:
  \"agent_servers\": { \"Manyhands\": { \"command\": \"manyhands\", \"args\": [\"acp\", \"--data\", \"/home/me/.manyhands-zed\"],
      \"env\": { \"LLM_MODEL\": \"anthropic/claude-sonnet-4-5-20250929\", \"LLM_API_KEY\": \"…\" } } }

JetBrains' ~/.jetbrains/acp.json and plugins of Neovim take the same command and environment. One process at a time has a folder
of conversations: give each editor one of its own, or let all use one server (--server, MANYHANDS_URL).";

/// Is the agent of an editor: speaks the Agent Client Protocol on standard input and output
#[derive(clap::Args)]
#[command(after_help = EDITORS)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    agent: AgentOptions,
}

/// # Errors
/// Where no server can be had, or the editor reads nothing any more.
pub async fn run(options: Options, told: Told) -> anyhow::Result<ExitCode> {
    let model = Model::of(&told.source);
    let connected = options.place.connect(told).await?;
    let (wire, writing, mut lines) = Wire::start();
    let sessions = Arc::new(Sessions::new(connected.api.clone(), wire.clone(), options.agent, model));
    let mut stops = Stops::listen()?;
    let mut answering = JoinSet::new();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = stops.next() => None,
            () = wire.is_unread() => None,
        };
        let Some(line) = line else { break };
        while answering.try_join_next().is_some() {}
        match Message::read(&line) {
            Message::Request { id, method, params } => {
                let begun = begin(&sessions, &method, &params);
                let (sessions, wire) = (sessions.clone(), wire.clone());
                answering.spawn(async move {
                    let answer = match begun {
                        Some(Ok(begun)) => begun.await,
                        Some(Err(refusal)) => Err(refusal),
                        None => answer(&sessions, &method, &params).await,
                    };
                    wire.answer(&id, answer).await;
                });
            }
            Message::Told { method, params } if method == "session/cancel" => {
                sessions.cancel(text(&params, "/sessionId"));
            }
            Message::Told { .. } => {}
            Message::Answer { id, outcome } => wire.answered(&id, outcome),
            Message::Unfit { id, refusal } => {
                // Not waited for: an editor that does not read may still cancel.
                let wire = wire.clone();
                answering.spawn(async move { wire.answer(&id, Err(refusal)).await });
            }
        }
    }
    sessions.cancel_all();
    // What takes longer ends with the server, or goes on there.
    let answered = async {
        while answering.join_next().await.is_some() {}
        sessions.at_rest().await;
    };
    let _ = tokio::time::timeout(ENDING, answered).await;
    drop((answering, sessions, wire));
    let written = tokio::task::spawn_blocking(move || writing.join());
    let _ = tokio::time::timeout(ENDING, written).await;
    connected.close().await?;
    Ok(ExitCode::SUCCESS)
}

type Answering = BoxFuture<'static, Result<Value, Refusal>>;

/// What has its place in a session before the next line is read: that may cancel the prompt, or ask for another mode.
fn begin(sessions: &Arc<Sessions>, method: &str, params: &Value) -> Option<Result<Answering, Refusal>> {
    Some(match method {
        "session/prompt" => sessions.begin(params).map(|begun| begun.run().boxed()),
        "session/set_mode" => sessions.set_mode(params).map(FutureExt::boxed),
        "session/load" | "session/resume" => {
            let (sessions, params, turn) = (sessions.clone(), params.clone(), sessions.turn_to_open(params));
            let is_told = method == "session/load";
            let opening = async move {
                match is_told {
                    true => sessions.load(&params, turn).await,
                    false => sessions.resume(&params, turn).await,
                }
            };
            Ok(opening.boxed())
        }
        "session/close" => sessions.close(params).map(|()| std::future::ready(Ok(json!({}))).boxed()),
        _ => return None,
    })
}

async fn answer(sessions: &Sessions, method: &str, params: &Value) -> Result<Value, Refusal> {
    match method {
        "initialize" => Ok(json!({
            "protocolVersion": VERSION,
            "agentCapabilities": {
                "loadSession": true,
                "promptCapabilities": {"image": true, "audio": false, "embeddedContext": true},
                "mcpCapabilities": {"http": false, "sse": false},
                "sessionCapabilities": {"list": {}, "resume": {}, "close": {}},
            },
            "agentInfo": {"name": "manyhands", "title": "Manyhands", "version": env!("CARGO_PKG_VERSION")},
            "authMethods": [],
        })),
        // None is offered: the model's key is the environment's, or the server's.
        "authenticate" => Ok(json!({})),
        "session/new" => sessions.make(params).await,
        "session/list" => sessions.list(params).await,
        _ => Err(Refusal::unknown(method)),
    }
}
