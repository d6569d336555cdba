//! What must end before the server has stopped.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What must end before the server has stopped. Cheap to clone: requests do that, and a token by itself takes a lock of all
/// for it.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Parts>);

/// What the last calls of workers get to finish.
const ENDING: Duration = Duration::from_secs(8);

#[derive(Default)]
pub struct Parts {
    pub tracker: TaskTracker,
    /// Cancelled when the server begins to stop: sockets close with 1012, long waits end.
    pub drain: CancellationToken,
}

impl Deref for Tasks {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Tasks {
    #[must_use]
    pub fn until(drain: CancellationToken) -> Self {
        Self(Arc::new(Parts { tracker: TaskTracker::new(), drain }))
    }

    /// Begins to stop, and waits for what is under way, for a few seconds at most.
    pub async fn end(&self) {
        self.drain.cancel();
        self.tracker.close();
        if tokio::time::timeout(ENDING, self.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.tracker.len(), "what workers have asked for does not end in time");
        }
    }

    /// Begins to stop when `others` do: a part of them that ends leaves nothing that could go on.
    pub fn end_with(&self, others: &Self) {
        let (own, others) = (self.drain.clone(), others.drain.clone());
        self.spawn_until_drain(async move {
            others.cancelled().await;
            own.cancel();
        });
    }

    /// Work that goes on to its end.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tracker.spawn(work)
    }

    /// Work that is dropped when the server begins to stop.
    pub fn spawn_until_drain(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(self.drain.clone().run_until_cancelled_owned(work));
    }

    /// The same, of work that must go on until then: should it end before, the server ends too.
    pub fn spawn_vital(&self, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        readmodel::vital::spawn(&self.tracker, &self.drain, what, work);
    }
}
