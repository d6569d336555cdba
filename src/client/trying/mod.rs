//! `manyhands try`: an agent, whose model is a script in this process, works on a server. It shows that the parts of it fit together:
//! the API, the sandbox, its commands, the calls of models, the events. `helm test` of the chart runs it.

mod script;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::Told;
use super::api::{Api, Error};
use super::place::{Connected, Place};
use super::start::{RUNNING, start};
use super::told::notice;
use super::values::{list, text};
use super::waiting::status;
use script::Script;

const LOOKING_AGAIN: Duration = Duration::from_millis(300);
/// For what is said about a conversation that has not ended in time.
const EXPLAINING: Duration = Duration::from_secs(10);

/// Has an agent with a scripted model work on a server, to see that it works as a whole
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Where the script listens for the server's calls
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The script as the server reaches it [default: where it listens]
    #[arg(long, value_name = "URL")]
    model_url: Option<String>,
    /// Seconds in which it must be done
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// # Errors
/// What does not work.
pub async fn run(options: Options, told: Told) -> anyhow::Result<ExitCode> {
    let script = Script::start(options.listen).await?;
    let model = options.model_url.clone().unwrap_or_else(|| format!("http://{}/v1", script.address()));
    let connected = options.place.connect(told).await?;
    let patience = Duration::from_secs(options.timeout);
    let tried = converse(&connected, &script, &model, patience).await;
    let closed = connected.close().await;
    tried?;
    closed?;
    notice("it works");
    Ok(ExitCode::SUCCESS)
}

async fn converse(
    connected: &Connected,
    script: &Script,
    model: &str,
    patience: Duration,
) -> anyhow::Result<()> {
    let api = &connected.api;
    let begun = Instant::now();
    let created = api.post("/api/conversations", &creation(api, model).await?).await?;
    let id = text(&created, "/id").to_owned();
    notice(&format!("conversation {id}"));
    let worked = match timeout(patience, work(api, &id, script)).await {
        Ok(worked) => worked,
        Err(_) => Err(late(api, &id, script).await),
    };
    // It leaves nothing behind, however it went.
    let removed = api.delete(&format!("/api/conversations/{id}")).await;
    worked?;
    removed.context("the conversation cannot be deleted")?;
    notice(&format!("a command, an answer and a deletion took {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// Of a conversation with a sandbox of its own, where there are any: it goes with it.
async fn creation(api: &Api, model: &str) -> anyhow::Result<Value> {
    let llm = json!({"model": "openai/scripted", "usage_id": "agent", "api_key": "none", "base_url": model});
    let mut body =
        json!({"workspace": {"kind": "LocalWorkspace"}, "autotitle": false, "agent_settings": {"llm": llm}});
    let info = api.get("/server_info").await?;
    let has_sandboxes = list(&info, "/available_conversation_runtimes").iter().any(|name| name == "docker");
    if let Some(fields) = body.as_object_mut().filter(|_| has_sandboxes) {
        fields.insert("conversation_runtime".to_owned(), "docker".into());
    }
    Ok(body)
}

async fn work(api: &Api, id: &str, script: &Script) -> anyhow::Result<()> {
    let task = json!([{"type": "text", "text": "Do what the script says."}]);
    while let Err(error) = start(api, id, Some(task.clone())).await {
        // A sandbox may take longer to start than a call waits for it.
        let waits = error.downcast_ref::<Error>().is_some_and(|error| error.status() == Some(503));
        if !waits {
            return Err(error);
        }
        tokio::time::sleep(LOOKING_AGAIN).await;
    }
    let ended = loop {
        match status(api, id).await?.as_str() {
            RUNNING => tokio::time::sleep(LOOKING_AGAIN).await,
            ended => break ended.to_owned(),
        }
    };
    let page = api.get(&format!("/api/conversations/{id}/events/search?limit=100")).await?;
    let events = list(&page, "/items");
    if ended != "finished" {
        let failed = events.iter().rev().find(|event| text(event, "/kind") == "ConversationErrorEvent");
        let why = failed.map(|event| format!(": {} {}", text(event, "/code"), text(event, "/detail")));
        bail!("the conversation is {ended}{}", why.unwrap_or_default());
    }
    ensure!(script.has_seen_the_result(), "the model was not told what the command has printed");
    let is_stored = |event: &Value| {
        text(event, "/kind") == "ObservationEvent" && event.to_string().contains(script.result())
    };
    ensure!(events.iter().any(is_stored), "no event has what the command has printed");
    Ok(())
}

async fn late(api: &Api, id: &str, script: &Script) -> anyhow::Error {
    let path = format!("/api/conversations/{id}/why");
    let why = timeout(EXPLAINING, api.get(&path)).await.ok().and_then(Result::ok).unwrap_or_default();
    let calls = script.calls();
    anyhow::anyhow!("it has not ended in time; the model was asked {calls} times, and the server says: {why}")
}
