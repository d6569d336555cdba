//! Where sandboxes are: what is wanted, what was arranged, and who is alive. Three records a sandbox, each
//! with one kind of writer, all changed by compare-and-set.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, SandboxId, TenantId};
use crate::service::{AnswerTo, OfWorker, Service};

/// What should be: bucket `SANDBOXES`, key = sandbox. Gateways claim, wake and delete; the supervisor keeps
/// the pool filled, pauses what is idle, and removes the record of what was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Who uses it; never changes once set. `None`: it waits in the warm pool.
    pub tenant: Option<TenantId>,
    /// What it stands for within its tenant: `default`, a workspace's name, or a conversation in hex.
    pub place: String,
    pub want: Want,
    /// Whether that is a conversation: nobody else is in it but those that it has begotten, and it goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_of_conversation: bool,
    /// Unix milliseconds of the last wake, by the clock of who has woken it: for people, and compared with nobody else's.
    pub touched_at: u64,
    /// How often it was woken: a failure says which of these wishes it answers.
    #[serde(default)]
    pub wakes: u64,
    /// Of a pause: how many calls its worker had been sent when that was decided. One that was sent another since goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_after: Option<u64>,
    /// Whether a conversation was ever placed in it that it is not named after.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_guests: bool,
    /// It came from the warm pool, running, and the supervisor has not granted it yet: nobody is to use it until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_claimed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Running,
    /// No instance; its volume stays.
    #[default]
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
    /// Why the last start failed or the last instance ended, or what the one that is there waits for; `None` once a worker has
    /// its lease.
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
    /// Unix milliseconds of the next try, for people: the supervisor waits by its own clock.
    pub retry_at: u64,
    /// Whether it failed so often that it is tried again only when somebody wakes it.
    pub is_final: bool,
    /// The newest wake ([`Wanted::wakes`]) that was known when it failed. Of one that has lived it is the newest that it had
    /// lived through: what came later was meant for the next.
    #[serde(default)]
    pub answers: u64,
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
    /// It used up the memory that it may have.
    OutOfMemory,
    /// The machine ended it, which had too little of something left.
    Evicted,
    /// The machine that it ran on does not answer any more.
    NodeLost,
    /// It had to give way to something more important.
    Preempted,
    /// No machine has room for it, or a quota is used up.
    NoCapacity,
    /// The volume of its files cannot be had.
    VolumeUnavailable,
    /// The container service does not answer.
    DriverUnavailable,
}

impl FailureReason {
    /// Whether it comes of what is in the sandbox or of how it is made, so that trying again is of no use after some times.
    #[must_use]
    pub fn is_its_own(self) -> bool {
        match self {
            Self::ImageMissing | Self::StartFailed | Self::Exited | Self::OutOfMemory | Self::Evicted => true,
            Self::NoRoom
            | Self::NodeLost
            | Self::Preempted
            | Self::NoCapacity
            | Self::VolumeUnavailable
            | Self::DriverUnavailable => false,
        }
    }
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
    /// `nats://host:port`, `tls://host:port`, or `unix:///path` of a door.
    pub nats_urls: Vec<String>,
    /// The servers that a door leads to, as `nats_urls` would name them: their certificates are for these names.
    #[serde(default)]
    pub servers: Vec<String>,
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

/// What a running worker signs in with from the next time; it answers that it has it. Its inbox stays what it is.
#[derive(Serialize, Deserialize)]
pub struct Renewal {
    pub jwt: String,
    pub seed: String,
}

impl Service for Renewal {
    const NAME: &'static str = "creds";
}

impl OfWorker for Renewal {}
impl AnswerTo<Renewal> for () {}

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
            touched_at: 1,
            ..Wanted::default()
        };
        let text = r#"{"tenant":"default","place":"default","want":"paused","touched_at":1,"wakes":0}"#;
        assert_eq!(serde_json::to_string(&wanted).unwrap(), text);
        assert_eq!(serde_json::from_str::<Wanted>(text).unwrap(), wanted);
    }
}
