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
    match api.post(&format!("{path}/run"), &json!({})).await {
        // Somebody else has started it.
        Err(error) if error.status() == Some(409) => Ok(()),
        other => other.map(drop).map_err(Into::into),
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
