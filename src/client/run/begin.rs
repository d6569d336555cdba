//! How a run begins: in a new conversation, or in one that goes on.

use serde_json::json;

use super::Options;
use crate::client::agent::Model;
use crate::client::api::Api;
use crate::client::place::Connected;
use crate::client::resolve::resolve;
use crate::client::start::set_title;
use crate::client::values::{cut, text};
use crate::client::waiting::WAITING;
use crate::client::{Usage, plain};

/// Characters of a title that is made of the task.
const TITLE: usize = 80;

/// The conversation, and how it is.
pub struct Begun {
    pub id: String,
    pub status: String,
}

/// Makes or finds the conversation; nothing runs yet.
///
/// # Errors
/// Where it cannot be had.
pub async fn conversation(
    options: &Options,
    connected: &Connected,
    model: &Model,
    task: Option<&str>,
) -> anyhow::Result<Begun> {
    match (&options.go_on, task) {
        (Some(id), _) => found(options, &connected.api, id, task.is_some()).await,
        (None, Some(task)) => made(options, connected, model, task).await,
        (None, None) => Err(Usage("what is the agent to do? Say it: manyhands run \"…\"".to_owned()).into()),
    }
}

async fn made(options: &Options, connected: &Connected, model: &Model, task: &str) -> anyhow::Result<Begun> {
    let folder = match &options.workspace {
        // Named with a typo it would be made, and all would be done there.
        Some(folder) if connected.is_own() && !folder.is_dir() => {
            return Err(Usage(format!("-C {}: there is no such folder", folder.display())).into());
        }
        Some(folder) if connected.is_own() => Some(std::path::absolute(folder)?.display().to_string()),
        Some(folder) => Some(folder.display().to_string()),
        None if connected.is_own() => Some(std::env::current_dir()?.display().to_string()),
        None => None,
    };
    let api = &connected.api;
    let body = options.agent.creation(api, model, folder.as_deref(), None).await?;
    let info = api.post("/api/conversations", &body).await?;
    let id = text(&info, "/id").to_owned();
    let title = options.title.clone().unwrap_or_else(|| cut(&plain::line(task), TITLE));
    set_title(api, &id, &title).await?;
    Ok(Begun { id, status: text(&info, "/execution_status").to_owned() })
}

async fn found(options: &Options, api: &Api, id: &str, has_task: bool) -> anyhow::Result<Begun> {
    let id = resolve(api, id).await?;
    let info = api.get(&format!("/api/conversations/{id}")).await?;
    let status = text(&info, "/execution_status").to_owned();
    if has_task && status == WAITING {
        let why = "the conversation waits for a confirmation: go on without a task, and answer that first";
        return Err(Usage(why.to_owned()).into());
    }
    if options.agent.confirm {
        let policy = json!({"policy": {"kind": "AlwaysConfirm"}});
        api.post(&format!("/api/conversations/{id}/confirmation_policy"), &policy).await?;
    }
    if let Some(title) = &options.title {
        set_title(api, &id, title).await?;
    }
    Ok(Begun { id, status })
}
