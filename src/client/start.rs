//! What lets an agent work.

use serde_json::{Value, json};

use super::api::Api;

/// Says something to the agent, and lets it work.
///
/// # Errors
/// Where the server does not take it.
pub async fn start(api: &Api, id: &str, content: Option<Value>) -> anyhow::Result<()> {
    let path = format!("/api/conversations/{id}");
    if let Some(content) = content {
        let message = json!({"role": "user", "content": content, "run": false});
        api.post(&format!("{path}/events"), &message).await?;
    }
    let path = format!("{path}/run");
    let asked = match api.post(&path, &json!({})).await {
        // The answer is lost, and nobody runs twice what runs already.
        Err(error) if error.status().is_none() => api.post(&path, &json!({})).await,
        asked => asked,
    };
    match asked {
        // It runs: somebody else has started it, or the first call has.
        Err(error) if error.status() == Some(409) => Ok(()),
        asked => asked.map(drop).map_err(Into::into),
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
