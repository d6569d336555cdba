use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{self, Code, Fault};
use ports::subjects;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use types::SandboxId;

use crate::App;
use crate::error::ApiResult;

/// How long a worker that has its lease may keep from answering.
const UNANSWERED: Duration = Duration::from_secs(30);

const LOST: &str =
    "The sandbox's worker was lost while it worked on this. It may have been done in part or as a whole.";

/// Calls a service of a sandbox's worker. The deadline is for work that should be quick.
pub(crate) async fn call<Q, A>(app: &App, sandbox: &SandboxId, service: &str, body: &Q) -> ApiResult<A>
where
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    const DEADLINE: Duration = Duration::from_secs(60);
    call_within(app, sandbox, service, body, DEADLINE).await
}

/// As [`call`], for work that may take long.
pub(crate) async fn call_within<Q, A>(
    app: &App,
    sandbox: &SandboxId,
    service: &str,
    body: &Q,
    deadline: Duration,
) -> ApiResult<A>
where
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    Ok(reach(app, sandbox, service, body, Bytes::new(), deadline).await?.0)
}

/// Calls a service of a sandbox's worker, with bytes beside the body; starts the worker first where it does
/// not run. The deadline is the call's alone. A call that was taken by a worker is never repeated.
///
/// # Errors
/// The worker's fault; `Absent` when there is none and none can be started; `Unavailable` as soon as the worker
/// that took the call is over.
pub(crate) async fn reach<Q, A>(
    app: &App,
    sandbox: &SandboxId,
    service: &str,
    body: &Q,
    blob: Bytes,
    deadline: Duration,
) -> Result<(A, Bytes), Fault>
where
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    let give_up = Instant::now() + UNANSWERED;
    loop {
        let incarnation = app.sandboxes.ready(sandbox).await?;
        let subject = subjects::command_to(sandbox, incarnation, service);
        let call = rpc::call(app.ports.bus.as_ref(), &subject, body, blob.clone(), deadline);
        let outcome = tokio::select! {
            biased;
            outcome = call => outcome,
            () = app.sandboxes.ended(sandbox, incarnation) => Err(Fault::new(Code::Unavailable, LOST)),
        };
        match outcome {
            Err(fault)
                if fault.code == Code::Absent && app.sandboxes.are_many() && Instant::now() < give_up =>
            {
                app.sandboxes.missed(sandbox).await?;
            }
            outcome => return outcome,
        }
    }
}
