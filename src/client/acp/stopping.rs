//! What is left of a prompt that was cancelled: calls that the server has not answered, and may take yet, and a run that goes on.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::client::api::Api;
use crate::client::interrupt::Interrupt;
use crate::client::start::RUNNING;
use crate::client::waiting::status;

/// How long a server is sought in which something may run that nobody wants any more.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

/// The calls of a prompt that let the agent work. They go on also when nobody waits for them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Calls {
    under_way: TaskTracker,
    given_up: CancellationToken,
}

impl Calls {
    /// `None`: it was given up.
    pub fn make<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let given_up = self.given_up.clone();
        self.under_way.spawn(async move { given_up.run_until_cancelled(call).await })
    }

    /// What comes of them from now on is not looked at.
    pub fn give_up(&self) {
        self.given_up.cancel();
    }
}

/// Interrupts what runs in a conversation, and what one of the calls still lets run. `rests`: dropped once nothing runs.
pub async fn stop(api: Api, id: String, calls: Calls, rests: DropGuard) {
    let stopping = async {
        until_it_rests(&api, &id).await;
        drop(rests);
        loop {
            let are_answered = calls.under_way.is_empty();
            if runs(&api, &id).await {
                until_it_rests(&api, &id).await;
            }
            if are_answered {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(PATIENCE, stopping) => calls.give_up(),
        () = calls.given_up.cancelled() => {}
    }
}

async fn until_it_rests(api: &Api, id: &str) {
    loop {
        Interrupt::of(api, id).until_taken().await;
        if !runs(api, id).await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn runs(api: &Api, id: &str) -> bool {
    status(api, id).await.is_ok_and(|status| status == RUNNING)
}
