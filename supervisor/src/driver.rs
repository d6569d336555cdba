//! What starts workers: the trait that every way of running them implements.

use std::time::Duration;

use async_trait::async_trait;
use ports::Result;
use types::placement::{Credentials, FailureReason};
use types::{Epoch, SandboxId};

/// One incarnation of a sandbox: what should run, and what was found running.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    pub sandbox: SandboxId,
    pub epoch: Epoch,
}

impl Instance {
    /// What it is called wherever it runs: the same name whoever starts it.
    #[must_use]
    pub fn name(&self, cluster: &str) -> String {
        format!("mh-{cluster}-{}-{}", self.sandbox, self.epoch.0)
    }
}

/// What an instance is made from.
#[derive(Clone)]
pub struct Launch {
    pub instance: Instance,
    /// What its worker signs in with; `None` where nobody has to.
    pub credentials: Option<Credentials>,
}

/// An instance a driver knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub instance: Instance,
    pub state: InstanceState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Made, and waiting for what it runs on: a machine, an image, a volume. That may take long, and is no lateness of its
    /// worker's. `None`: as any does for a moment.
    Pending(Option<Cause>),
    /// It runs, and its worker waits to be told what it is to do, which another [`Driver::start`] does.
    Untold,
    /// Starting or running.
    Running,
    /// It may still run, and will not for long, or nobody can tell.
    Doomed(Cause),
    /// It ended by itself, with this exit code where there is one.
    Exited { code: Option<i64> },
    /// It ended, or never ran, for a reason that is known.
    Broken(Cause),
    /// It is being removed, by whomever, and not gone yet.
    Leaving,
}

/// Why an instance does not run, waits or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub reason: FailureReason,
    /// A sentence for clients: it names neither secrets nor what is inside of the cluster, and stays the same for as long as
    /// the cause does.
    pub message: String,
}

impl Cause {
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Why an instance does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("the image {0} is not there")]
    ImageMissing(String),
    /// Try again later. The instance may or may not be there.
    #[error("the container service does not answer: {0}")]
    Unavailable(String),
    /// A sentence for clients: it names neither secrets nor the host's paths.
    #[error("{0}")]
    Failed(String),
    /// Not made, for a reason that is known.
    #[error("{}", .0.message)]
    Refused(Cause),
}

/// Starts and stops workers: tasks, processes, containers or pods. Every operation may be repeated: starting
/// what runs and stopping what is gone are successes.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What runs now, and what has ended by itself and was not stopped since.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list(&self) -> Result<Vec<Found>>;

    /// What [`Driver::list`] says of one sandbox.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(&self, sandbox: &SandboxId) -> Result<Vec<Found>> {
        let all = self.list().await?;
        Ok(all.into_iter().filter(|found| found.instance.sandbox == *sandbox).collect())
    }

    /// It may return before the worker runs: what is made is listed as `Pending`, and as `Untold` where it is to be started
    /// once more.
    ///
    /// # Errors
    /// After `Failed`, something may be left that [`Driver::log`] reads and [`Driver::stop`] removes.
    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError>;

    /// Asks it to end, ends it by force after `grace`, and removes what is left of it but its sandbox's
    /// files. Returns when it is gone.
    ///
    /// # Errors
    /// `Unavailable`, also while somebody else removes it.
    async fn stop(&self, instance: &Instance, grace: Duration) -> Result<()>;

    /// The last lines it wrote; empty where none are known.
    async fn log(&self, instance: &Instance) -> String;

    /// Removes a sandbox's files, once no instance uses them.
    ///
    /// # Errors
    /// `Unavailable`, also while an instance still uses them.
    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()>;

    /// Returns when something of a sandbox may have changed by itself; `None`: of any. A hint: changes can be missed.
    ///
    /// # Cancel safety
    /// Dropping it loses at most a hint.
    async fn changed(&self) -> Option<SandboxId>;
}
