//! A client in the same program: `manyhands run` and `manyhands conversations` for people and scripts, `manyhands acp` for
//! editors. It speaks to a server over HTTP and WebSocket like any other client, also to one that it starts in its own process.

mod acp;
mod agent;
mod api;
mod conversations;
mod embedded;
mod interrupt;
mod place;
mod plain;
mod progress;
mod resolve;
mod run;
mod seen;
mod shells;
mod spent;
#[cfg(test)]
mod stand_in;
mod start;
mod stops;
mod stream;
mod told;
#[cfg(feature = "cluster")]
mod trying;
mod values;
mod waiting;

pub use acp::Options as AcpOptions;
pub use conversations::Options as ConversationsOptions;
pub use place::data;
pub use run::Options as RunOptions;
pub use shells::{Shell, completions, manual};
#[cfg(feature = "cluster")]
pub use trying::Options as TryOptions;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::observe;
use crate::settings::{Settings, Source};

/// The status of a call that cannot be meant.
pub const EX_USAGE: u8 = 2;

/// What file work that is still going on gets to finish.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// What was asked for cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What the environment and the config file say.
pub struct Told {
    pub settings: Settings,
    pub source: Source,
}

/// # Errors
/// What kept the agent from being started, or its work from being followed.
pub fn run(options: RunOptions, told: Told) -> anyhow::Result<ExitCode> {
    to_its_end(told, |told| run::run(options, told))
}

/// # Errors
/// What kept it from being done.
pub fn conversations(options: ConversationsOptions, told: Told) -> anyhow::Result<ExitCode> {
    to_its_end(told, |told| conversations::run(options, told))
}

/// # Errors
/// What kept the editor from being served.
pub fn acp(options: AcpOptions, told: Told) -> anyhow::Result<ExitCode> {
    to_its_end(told, |told| acp::run(options, told))
}

/// # Errors
/// What does not work.
#[cfg(feature = "cluster")]
pub fn try_server(options: TryOptions, told: Told) -> anyhow::Result<ExitCode> {
    to_its_end(told, |told| trying::run(options, told))
}

/// On a runtime of its own; logs go to standard error, and there is little of them unless it is asked for.
fn to_its_end<F: Future<Output = anyhow::Result<ExitCode>>>(
    mut told: Told,
    work: impl FnOnce(Told) -> F,
) -> anyhow::Result<ExitCode> {
    if told.source.variable("LOG_LEVEL").is_none() && told.source.variable("DEBUG").is_none() {
        "error".clone_into(&mut told.settings.log_level);
    }
    let _traces = observe::start("manyhands", &told.settings)?;
    let runtime = crate::runtime::start()?;
    let ended = runtime.block_on(work(told));
    // A thread may wait for a file, or for what somebody types, for ever.
    runtime.shutdown_timeout(LEFTOVERS);
    ended.or_else(|error| {
        if error.downcast_ref::<io::Error>().is_some_and(is_unread) {
            return Ok(ExitCode::FAILURE);
        }
        // A server's own words may be in it.
        let words = plain::block(&format!("{error:#}"));
        Err(if error.is::<Usage>() { Usage(words).into() } else { anyhow::Error::msg(words) })
    })
}

/// Nobody reads what is written, as after `| head`: there is nobody to tell, either.
fn is_unread(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
