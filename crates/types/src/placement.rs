//! Where sandboxes are: what is wanted, what was arranged, and who is alive. Three records a sandbox, each
//! with one kind of writer, all changed by compare-and-set.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, SandboxId, TenantId};
use crate::service::{OfWorker, Service};

/// What should be: bucket `SANDBOXES`, key = sandbox. Gateways claim, wake and delete; the supervisor keeps
/// the pool filled, pauses what is idle, and removes the record of what was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Who uses it; never changes once set. `None`: it waits in the warm pool.
    pub tenant: Option<TenantId>,
    /// What it stands for within its tenant: `default`, a workspace's name, or a conversation in hex.
    pub place: String,
    pub want: Want,
    /// Unix milliseconds of the last wake: a pause decided on older news must not win.
    pub touched_at: u64,
    /// Of a pause: how many calls its worker had been sent when that was decided. One that was sent another since goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_after: Option<u64>,
    /// Whether a conversation was ever placed in it that it is not named after.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_guests: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Running,
    /// No instance; its volume stays.
    Paused,
    /// Neither instance nor volume.
    Deleted,
}

/// What was arranged: bucket `ALLOCATIONS`, key = sandbox. Written by the supervisor alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Of the newest incarnation; only grows, also when the sandbox is paused.
    pub epoch: Epoch,
    /// The instance's name with its driver (a container's name, a process id); empty while there is none.
    #[serde(default)]
    #[serde(rename = "unit")]
    pub instance: String,
    /// Starts that failed, and instances that ended by themselves, since it last ran well.
    #[serde(default)]
    pub failures: u32,
    /// Why the last start failed or the last instance ended; `None` once a worker has its lease.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// Why a sandbox has no worker, for clients: names neither secrets nor the host's paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub reason: FailureReason,
    /// A sentence, and what the worker has said for clients.
    pub message: String,
    /// The last lines the instance wrote, of whatever is inside: for administrators alone.
    #[serde(default)]
    pub log: String,
    /// UTC with `Z`.
    pub at: String,
    /// Unix milliseconds before which nothing is tried again.
    pub retry_at: u64,
    /// Whether it failed so often that it is tried again only when somebody wakes it.
    pub is_final: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The image is not there.
    ImageMissing,
    /// A limit on sandboxes is reached.
    NoRoom,
    /// The instance could not be made or started.
    StartFailed,
    /// The instance ended by itself.
    Exited,
    /// The container service does not answer.
    DriverUnavailable,
}

/// Who is alive: bucket `LEASES` (15 s), key = sandbox. Written by the sandbox's worker alone; the supervisor
/// removes that of a worker it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub epoch: Epoch,
    /// UTC with `Z`: when this incarnation took it.
    pub since: String,
    /// Seconds without a run, a command, an upload, or a shell with a running program; 0: busy.
    pub idle_seconds: u64,
    /// Runs under way.
    #[serde(default)]
    pub runs: usize,
    /// Calls that came to this incarnation so far.
    #[serde(default)]
    pub calls: u64,
}

/// What a worker reads from its standard input at its start: one line of JSON. Holds its credentials, so it
/// is never an argument, a variable of the environment, or a file.
#[derive(Clone, Serialize, Deserialize)]
pub struct WorkerSpec {
    pub sandbox: SandboxId,
    pub epoch: Epoch,
    /// `nats://host:port` or `tls://host:port`.
    pub nats_urls: Vec<String>,
    /// A NATS user JWT and the seed of its key; `None` on a server without authentication.
    pub credentials: Option<Credentials>,
    /// PEM of the authority of the server's certificate; `None`: the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// Absolute: where commands without a working directory run.
    pub project_dir: String,
    /// Absolute: the worker's own files, not the commands'.
    pub state_dir: String,
    pub max_concurrent_runs: usize,
    /// A level or a filter of the log. No variable counts: an image has its own.
    #[serde(default = "usual_log_level")]
    pub log_level: String,
    /// Where spans go if no door leads to a collector: `http://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// The user and group commands run as; `None`: the worker's own.
    #[serde(default)]
    pub command_user: Option<CommandUser>,
    /// Names and patterns of variables, beside the usual ones, that commands get of the worker's environment.
    #[serde(default)]
    pub pass_env: Vec<String>,
    /// Seconds after which bash events are forgotten; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bash_retention: Option<u64>,
}

fn usual_log_level() -> String {
    "info".to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandUser {
    pub uid: u32,
    pub gid: u32,
}

/// What a NATS client signs in with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub jwt: String,
    pub seed: String,
    /// Answers to this client's requests come below it: `_INBOX_<s>_<epoch>`.
    pub inbox_prefix: String,
}

/// What a running worker signs in with next time; it answers nothing. Its inbox stays what it is.
#[derive(Serialize, Deserialize)]
pub struct Renewal {
    pub jwt: String,
    pub seed: String,
}

impl Service for Renewal {
    const NAME: &'static str = "creds";
}

impl OfWorker for Renewal {}

/// Begins the line in which a worker that cannot work here tells those who wait for it why. What else it writes is for
/// whoever runs the cluster.
const FOR_CLIENTS: &str = "for clients: ";

/// The line by which a worker tells clients `why` it cannot work here.
#[must_use]
pub fn for_clients(why: &str) -> String {
    format!("{FOR_CLIENTS}{why}")
}

/// What a worker has told clients in its last lines.
#[must_use]
pub fn told_to_clients(log: &str) -> Option<&str> {
    log.lines().rev().find_map(|line| line.strip_prefix(FOR_CLIENTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_workers_lines_clients_are_told_what_is_for_them() {
        let log = format!("os error 5 at /srv\n{}\nmore of the inside", for_clients("There is no bash."));
        assert_eq!(told_to_clients(&log), Some("There is no bash."));
        assert_eq!(told_to_clients("os error 5 at /srv"), None);
    }

    #[test]
    fn a_sandbox_record_keeps_its_form() {
        let wanted = Wanted {
            tenant: Some(TenantId::default()),
            place: "default".to_owned(),
            want: Want::Paused,
            touched_at: 1,
            quiet_after: None,
            has_guests: false,
        };
        let text = r#"{"tenant":"default","place":"default","want":"paused","touched_at":1}"#;
        assert_eq!(serde_json::to_string(&wanted).unwrap(), text);
        assert_eq!(serde_json::from_str::<Wanted>(text).unwrap(), wanted);
    }
}
