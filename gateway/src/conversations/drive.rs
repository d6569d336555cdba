//! Commands to the worker of a conversation, each answered only once the index shows what they did.

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::{Code, Fault};
use readmodel::index::ConversationState;
use types::Message;
use types::calls::{Command, CommandDone, ConversationCall, Once};

use crate::App;

/// For commands that do no model call and wait for no tool.
pub(crate) const QUICK: Duration = Duration::from_secs(30);

/// Sends `command` and waits until its records are in the index.
///
/// # Errors
/// The worker's fault; `Unavailable` when it does not answer within `deadline`.
pub(crate) async fn command(
    app: &App,
    entry: &Arc<ConversationState>,
    command: Command,
    deadline: Duration,
) -> Result<CommandDone, Fault> {
    app.activity.touch();
    let call = ConversationCall { conversation: entry.id, command };
    let done: CommandDone = app.workers.call_within(entry.log.sandbox(), &call, deadline).await?;
    app.index.wait_for(entry, done.seq, QUICK).await?;
    Ok(done)
}

/// As [`command`], for one that may start a run: a client that has read the answer listens from then on for
/// the run's closing snapshot, and must not meet that of an earlier one.
///
/// # Errors
/// As [`command`].
pub(crate) async fn command_that_runs(
    app: &App,
    entry: &Arc<ConversationState>,
    wanted: Command,
    deadline: Duration,
) -> Result<CommandDone, Fault> {
    entry.pulse.touch();
    let outcome = command(app, entry, wanted, deadline).await;
    tokio::time::sleep(entry.pulse.until_settled()).await;
    entry.pulse.answered();
    outcome
}

/// Gives a user's message to the agent, and starts a run if so wished; with `once`, as that event and only if
/// it is not stored yet.
///
/// # Errors
/// `Busy`: the message is stored, but no run slot is free. As [`command`].
pub(crate) async fn message(
    app: &App,
    entry: &Arc<ConversationState>,
    message: Message,
    sender: Option<String>,
    run: bool,
    once: Option<Once>,
) -> Result<CommandDone, Fault> {
    let wanted = Command::Message { message, sender, run, once };
    if run {
        return command_that_runs(app, entry, wanted, QUICK).await;
    }
    entry.pulse.touch();
    command(app, entry, wanted, QUICK).await
}

/// Stops everything of a conversation that is being deleted; starts no worker for it.
///
/// # Errors
/// The worker's fault; `Unavailable` when it does not answer.
pub(crate) async fn forget(app: &App, entry: &ConversationState) -> Result<(), Fault> {
    let call = ConversationCall { conversation: entry.id, command: Command::Forget {} };
    let sandbox = entry.log.sandbox();
    app.workers.call_if_awake::<_, CommandDone>(sandbox, &call, QUICK).await.map(drop)
}

/// Whether the worker has gone, or never was.
pub(crate) fn is_absent(fault: &Fault) -> bool {
    matches!(fault.code, Code::Absent | Code::Unavailable)
}
