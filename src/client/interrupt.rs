//! A run is asked to stop.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::api::{Api, Error};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Asks until the server has taken it, for as long as it is kept: whoever waits for the run's rest is to be heard meanwhile.
pub struct Interrupt {
    asking: JoinSet<()>,
}

impl Interrupt {
    pub fn of(api: &Api, id: &str) -> Self {
        let mut asking = JoinSet::new();
        asking.spawn(ask(api.clone(), format!("/api/conversations/{id}/interrupt")));
        Self { asking }
    }

    /// Returns once the server has taken it, or has said that it never will.
    pub async fn until_taken(mut self) {
        self.asking.join_next().await;
    }
}

async fn ask(api: Api, path: String) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = api.post(&path, &json!({})).await {
        tracing::warn!(%error, "a run cannot be stopped yet");
        if is_final(&error) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_final(error: &Error) -> bool {
    error.status().is_some_and(|status| status < 500 && !matches!(status, 408 | 409 | 429))
}
