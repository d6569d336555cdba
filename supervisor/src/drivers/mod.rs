//! Drivers that start workers outside of this process.

#[cfg(feature = "docker")]
pub mod docker;
#[cfg(any(feature = "docker", feature = "kubernetes"))]
pub mod inside;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod process;

use std::path::PathBuf;
use std::time::Duration;

use ports::Error;
use types::placement::{CommandUser, WorkerSpec};

use crate::{Launch, StartError};

/// What the workers of a cluster are told alike.
#[derive(Clone, Debug, Default)]
pub struct WorkerSettings {
    /// As workers reach it: `nats://host:port` or `tls://host:port`.
    pub nats_urls: Vec<String>,
    /// What doors lead to.
    pub servers: Vec<String>,
    /// PEM of the authority of the server's certificate; `None`: the system's.
    pub ca: Option<String>,
    pub max_concurrent_runs: usize,
    /// A level or a filter.
    pub log_level: String,
    /// Where spans go if no door leads to a collector.
    pub collector: Option<String>,
    /// `None`: commands run as the worker does.
    pub command_user: Option<CommandUser>,
    /// Names and patterns of variables that commands get of their worker's environment.
    pub pass_env: Vec<String>,
    /// How long bash events are kept; `None`: for ever.
    pub bash_retention: Option<Duration>,
}

impl WorkerSettings {
    /// The line a worker reads from its standard input.
    fn spec(&self, launch: &Launch, project_dir: &str, state_dir: &str) -> Result<Vec<u8>, StartError> {
        let spec = WorkerSpec {
            sandbox: launch.instance.sandbox.clone(),
            epoch: launch.instance.epoch,
            nats_urls: self.nats_urls.clone(),
            servers: self.servers.clone(),
            credentials: launch.credentials.clone(),
            ca: self.ca.clone(),
            project_dir: project_dir.to_owned(),
            state_dir: state_dir.to_owned(),
            max_concurrent_runs: self.max_concurrent_runs,
            log_level: self.log_level.clone(),
            collector: self.collector.clone(),
            command_user: self.command_user,
            pass_env: self.pass_env.clone(),
            bash_retention: self.bash_retention.map(|kept| kept.as_secs()),
        };
        let mut line = serde_json::to_vec(&spec).map_err(|error| StartError::Failed(error.to_string()))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Removes what a sandbox has left, which may be anything: it follows no link, and no depth is too much.
async fn remove_folder(path: PathBuf) -> Result<(), Error> {
    let removing = tokio::task::spawn_blocking(move || trees::remove(&path));
    let removed = removing.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    removed.map_err(|error| Error::Unavailable(format!("a sandbox's folder cannot be removed: {error}")))
}

/// The exit code of what was killed.
#[cfg(feature = "docker")]
const KILLED: i64 = 128 + 9;
#[cfg(any(feature = "docker", feature = "kubernetes"))]
const OUT_OF_MEMORY: &str = "The worker ended: the sandbox had used up its memory.";

/// How many lines are kept of what an instance wrote.
const LOG_LINES: usize = 40;
/// And how many bytes of them, at their end.
const LOG_BYTES: usize = 8 * 1024;

/// The end of `text` that fits.
fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(LOG_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default().trim_end()
}
