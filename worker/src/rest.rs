//! Lets the worker be stopped at a moment at which nothing is lost.

use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{Address, Call, Limits, Server};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::calls::RestCall;
use types::{Epoch, SandboxId};

use crate::Activity;

/// A supervisor asks, and perhaps the one after it.
const LIMITS: Limits = Limits::new(16, 64 << 10);
/// What a worker that rests gives whoever stops it. Then it ends by itself: nobody may be there any more to stop it, and it
/// takes no calls.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Answers until `shutdown`, which it cancels some time after the worker has begun to rest.
///
/// # Errors
/// `Unavailable` when the subscription cannot be made.
pub(crate) async fn serve(
    server: &Server,
    sandbox: &SandboxId,
    incarnation: Option<Epoch>,
    activity: &Activity,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> ports::Result<()> {
    let (activity, tasks, shutdown) = (activity.clone(), tasks.clone(), shutdown.clone());
    let answer = move |call: Call<RestCall>| {
        let rests = activity.rest_after(call.body.calls);
        if rests {
            tracing::info!("the worker rests, and takes no more calls");
            let ending = shutdown.clone();
            let end = async move {
                tokio::time::sleep(STOPPED_WITHIN).await;
                ending.cancel();
            };
            tasks.spawn(shutdown.clone().run_until_cancelled_owned(end));
        }
        std::future::ready(Ok((rests, Bytes::new())))
    };
    server.serve(&Address::of_worker(sandbox, incarnation), Some("worker"), LIMITS, answer).await?;
    Ok(())
}
