//! What lets an agent work.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Usage;
use super::api::{Api, Error, Once};
use super::waiting::{WAITING, status};

pub const RUNNING: &str = "running";

/// How long a server is sought that has taken a call and not answered.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

const WAITS: &str =
    "the conversation waits for a confirmation, which this would be: manyhands run --continue ID asks for it";

/// Says something to the agent, and lets it work. Actions that wait are left to wait: a run would carry them out, and nobody has
/// confirmed them.
///
/// # Errors
/// Where the server does not take it, or something is said while actions wait.
pub async fn start(api: &Api, id: &str, content: Option<Value>) -> anyhow::Result<()> {
    start_unless(&CancellationToken::new(), api, id, content).await.map(drop)
}

/// The same, but once it is `cancelled` nothing is run any more. Whether the agent works.
///
/// # Errors
/// As [`start`].
pub async fn start_unless(
    cancelled: &CancellationToken,
    api: &Api,
    id: &str,
    content: Option<Value>,
) -> anyhow::Result<bool> {
    let says = content.is_some();
    if let Some(content) = content {
        refuse_waiting(&status(api, id).await?)?;
        let message = json!({"role": "user", "content": content, "run": false});
        api.post(&format!("/api/conversations/{id}/events"), &message).await?;
    }
    let before = status(api, id).await?;
    if before == RUNNING || before == WAITING && !says {
        // It takes up what was said, and a run that is asked for now might find it waiting; or what it waits for is asked about next.
        return Ok(true);
    }
    refuse_waiting(&before)?;
    if cancelled.is_cancelled() {
        return Ok(false);
    }
    match run(api, id, &before).await {
        // Somebody else has started it, or the first call has. There are other conflicts, in which nothing has begun.
        Err(error) if error.status() == Some(409) && status(api, id).await? != before => Ok(true),
        asked => asked.map(|()| true).map_err(Into::into),
    }
}

async fn run(api: &Api, id: &str, before: &str) -> Result<(), Error> {
    let (path, once) = (format!("/api/conversations/{id}/run"), Once::new());
    match api.post_once(&path, &json!({}), &once).await {
        // The answer is lost, and perhaps the call. Not every server knows it again, and the run may have come to wait meanwhile.
        Err(error) if error.status().is_none() => match status_at_last(api, id).await? == before {
            true => api.post_once(&path, &json!({}), &once).await.map(drop),
            false => Ok(()),
        },
        asked => asked.map(drop),
    }
}

/// Of a server that has just been away.
async fn status_at_last(api: &Api, id: &str) -> Result<String, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        match status(api, id).await {
            Err(error) if error.status().is_none() && Instant::now() < until => {
                tokio::time::sleep(PAUSE).await
            }
            asked => return asked,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::stand_in::StandIn;

    #[tokio::test]
    async fn what_has_come_to_wait_is_not_run_and_whoever_says_nothing_hears_of_it_next() {
        let mut server = StandIn::start([json!({"execution_status": WAITING})], (200, json!({}))).await;
        start(&server.api, "c", None).await.unwrap();
        assert!(start(&server.api, "c", Some(json!([]))).await.unwrap_err().is::<Usage>());
        assert!(server.posts.try_recv().is_err(), "nothing was asked for");
    }

    #[tokio::test]
    async fn a_conflict_is_no_run_unless_the_conversation_is_another_than_before() {
        let damaged = json!({"detail": "What is stored here cannot be read."});
        let server = StandIn::start([json!({"execution_status": "finished"})], (409, damaged.clone())).await;
        let error = start(&server.api, "c", None).await.unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        let states = ["finished", "running"].map(|status| json!({"execution_status": status}));
        let server = StandIn::start(states, (409, damaged)).await;
        start(&server.api, "c", None).await.unwrap();
    }
}
