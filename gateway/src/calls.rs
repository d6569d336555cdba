use std::time::Duration;

use bytes::Bytes;
use ports::{rpc, subjects};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::SandboxId;

use crate::App;
use crate::error::ApiResult;

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
    let subject = subjects::command(sandbox, service);
    let answer = rpc::call(app.ports.bus.as_ref(), &subject, body, Bytes::new(), deadline).await;
    Ok(answer?.0)
}
