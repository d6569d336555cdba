//! What lets an agent work.

use serde_json::{Value, json};

use super::Usage;
use super::api::{Api, Error, Once};
use super::waiting::{WAITING, status};

const RUNNING: &str = "running";

const WAITS: &str =
    "the conversation waits for a confirmation, which this would be: manyhands run --continue ID asks for it";

/// Says something to the agent, and lets it work.
///
/// # Errors
/// Where the server does not take it, or actions wait: a run would carry them out, and nobody has confirmed them.
pub async fn start(api: &Api, id: &str, content: Option<Value>) -> anyhow::Result<()> {
    if let Some(content) = content {
        refuse_waiting(&status(api, id).await?)?;
        let message = json!({"role": "user", "content": content, "run": false});
        api.post(&format!("/api/conversations/{id}/events"), &message).await?;
    }
    let before = status(api, id).await?;
    refuse_waiting(&before)?;
    if before == RUNNING {
        // It takes up what was said; a run that is asked for now might find it waiting.
        return Ok(());
    }
    match run(api, id, &before).await {
        // It runs: somebody else has started it, or the first call has.
        Err(error) if error.status() == Some(409) => Ok(()),
        asked => asked.map_err(Into::into),
    }
}

async fn run(api: &Api, id: &str, before: &str) -> Result<(), Error> {
    let (path, once) = (format!("/api/conversations/{id}/run"), Once::new());
    match api.post_once(&path, &json!({}), &once).await {
        // The answer is lost, and perhaps the call. Not every server knows it again, and the run may have come to wait meanwhile.
        Err(error) if error.status().is_none() && status(api, id).await? == before => {
            api.post_once(&path, &json!({}), &once).await.map(drop)
        }
        Err(error) if error.status().is_none() => Ok(()),
        asked => asked.map(drop),
    }
}

fn refuse_waiting(status: &str) -> Result<(), Usage> {
    match status {
        WAITING => Err(Usage(WAITS.to_owned())),
        _ => Ok(()),
    }
}

/// # Errors
/// Where the server does not take it.
pub async fn set_title(api: &Api, id: &str, title: &str) -> anyhow::Result<()> {
    if title.trim().is_empty() {
        return Ok(());
    }
    api.patch(&format!("/api/conversations/{id}"), &json!({"title": title})).await?;
    Ok(())
}
