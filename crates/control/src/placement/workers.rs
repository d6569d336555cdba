//! Calls to the workers of sandboxes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::Bus;
use ports::rpc::{self, Address, Code, Fault, Reason};
use tokio::time::Instant;
use types::service::{AnswerTo, OfWorker};
use types::{Epoch, SandboxId};

use super::Placement;

/// How long a worker that has its lease may keep from answering.
const UNANSWERED: Duration = Duration::from_secs(30);

/// For work that should be quick.
const DEADLINE: Duration = Duration::from_secs(60);

/// The workers, each by its sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Workers {
    bus: Arc<dyn Bus>,
    placement: Arc<dyn Placement>,
}

impl Workers {
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, placement: Arc<dyn Placement>) -> Self {
        Self { bus, placement }
    }

    #[must_use]
    pub fn placement(&self) -> &Arc<dyn Placement> {
        &self.placement
    }

    /// Calls a service of a sandbox's worker. The deadline is for work that should be quick.
    ///
    /// # Errors
    /// As [`Workers::reach`].
    pub async fn call<S: OfWorker, A: AnswerTo<S>>(&self, sandbox: &SandboxId, body: &S) -> Result<A, Fault> {
        self.call_within(sandbox, body, DEADLINE).await
    }

    /// As [`Workers::call`], for work that may take long.
    ///
    /// # Errors
    /// As [`Workers::reach`].
    pub async fn call_within<S: OfWorker, A: AnswerTo<S>>(
        &self,
        sandbox: &SandboxId,
        body: &S,
        deadline: Duration,
    ) -> Result<A, Fault> {
        Ok(self.reach(sandbox, body, Bytes::new(), deadline).await?.0)
    }

    /// As [`Workers::call`], with the worker that has answered, where there are several one after the other.
    ///
    /// # Errors
    /// As [`Workers::reach`].
    pub async fn call_for<S: OfWorker, A: AnswerTo<S>>(
        &self,
        sandbox: &SandboxId,
        body: &S,
    ) -> Result<(A, Option<Epoch>), Fault> {
        let ((answer, _), worker) = self.reach_for(sandbox, body, Bytes::new(), DEADLINE).await?;
        Ok((answer, worker))
    }

    /// Calls a service of a sandbox's worker, with bytes beside the body; starts the worker first where it does
    /// not run. The deadline is the call's alone. A call that was taken by a worker is never repeated.
    ///
    /// # Errors
    /// The worker's fault; `Absent` when there is none and none can be started; `Unavailable` as soon as the worker
    /// that took the call is over.
    pub async fn reach<S: OfWorker, A: AnswerTo<S>>(
        &self,
        sandbox: &SandboxId,
        body: &S,
        blob: Bytes,
        deadline: Duration,
    ) -> Result<(A, Bytes), Fault> {
        Ok(self.reach_for(sandbox, body, blob, deadline).await?.0)
    }

    async fn reach_for<S: OfWorker, A: AnswerTo<S>>(
        &self,
        sandbox: &SandboxId,
        body: &S,
        blob: Bytes,
        deadline: Duration,
    ) -> Result<((A, Bytes), Option<Epoch>), Fault> {
        let give_up = Instant::now() + UNANSWERED;
        loop {
            let incarnation = self.placement.ready(sandbox).await?;
            let address = Address::of_worker(sandbox, incarnation);
            let call = rpc::call(self.bus.as_ref(), &address, body, blob.clone(), deadline);
            let outcome = tokio::select! {
                biased;
                outcome = call => outcome,
                () = self.placement.ended(sandbox, incarnation) => Err(Reason::WorkerLost.into()),
            };
            match outcome {
                Err(fault) if fault.code == Code::Absent && Instant::now() < give_up => {
                    self.placement.missed(sandbox, fault).await?;
                }
                outcome => return Ok((outcome?, incarnation)),
            }
        }
    }

    /// Calls a service of a sandbox's worker if it runs; starts none. Answers which has answered, too.
    ///
    /// # Errors
    /// The worker's fault; `Absent` when there is none, or it is over before it has answered.
    pub async fn call_if_awake<S: OfWorker, A: AnswerTo<S>>(
        &self,
        sandbox: &SandboxId,
        body: &S,
        deadline: Duration,
    ) -> Result<(A, Option<Epoch>), Fault> {
        let incarnation = self.placement.awake(sandbox)?;
        let address = Address::of_worker(sandbox, incarnation);
        tokio::select! {
            biased;
            outcome = rpc::call(self.bus.as_ref(), &address, body, Bytes::new(), deadline) => Ok((outcome?.0, incarnation)),
            () = self.placement.ended(sandbox, incarnation) => Err(Reason::Unreachable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use types::calls::{EditorCall, EditorState};

    use super::*;
    use crate::placement::Policy;
    use crate::placement::world::{wanted, world};

    #[tokio::test]
    async fn a_worker_that_is_not_known_to_live_is_not_called() {
        let world = world(Policy::Shared, &[("default", wanted("default", 1))]).await;
        let bus = world.ports.bus.clone();
        let mut heard = bus.subscribe("mh.cmd.>", None).await.unwrap();
        let workers = Workers::new(bus, Arc::new(world.fleet));
        let (sandbox, call) = (SandboxId::shared(), EditorCall::Status {});
        let asked =
            workers.call_if_awake::<_, EditorState>(&sandbox, &call, Duration::from_millis(300)).await;
        assert_eq!(asked.map(|_| ()).unwrap_err().code, Code::Absent);
        assert!(heard.next().now_or_never().is_none(), "whoever hears it need not answer");
    }
}
