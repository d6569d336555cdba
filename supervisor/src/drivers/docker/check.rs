//! For who looks for what is wrong.

use std::time::Duration;

use bollard::models::SystemInfo;
use bollard::query_parameters::WaitContainerOptions;
use futures_util::StreamExt;
use ports::{Bucket, Error, Kv, Result};
use tokio::time::timeout;
use types::buckets::ALLOCATIONS;
use types::placement::{Allocation, told_to_clients};
use types::{Epoch, SandboxId};

use super::{Containers, error, labels};
use crate::{Driver, Instance, Launch, StartError};

/// For one that is tried.
pub const TRYING: Duration = Duration::from_secs(30);

/// What an engine says of itself.
pub struct Engine {
    pub version: String,
    /// Whether root of a container is somebody else outside.
    pub remaps_users: bool,
    pub is_rootless: bool,
    pub runtimes: Vec<String>,
    /// Limits that it cannot set here.
    pub lacks: Vec<&'static str>,
}

impl Containers {
    /// # Errors
    /// `Unavailable` when it does not answer.
    pub async fn engine(&self) -> Result<Engine> {
        self.docker.info().await.map(Engine::from).map_err(error::port)
    }

    /// Whether the image of sandboxes that ask for none is there: the engine is not told to fetch it.
    ///
    /// # Errors
    /// `Unavailable` when the engine does not answer.
    pub async fn has_image(&self) -> Result<bool> {
        match self.docker.inspect_image(&self.config.image).await {
            Ok(_) => Ok(true),
            Err(error) if error::status(&error) == Some(404) => Ok(false),
            Err(error) => Err(error::port(error)),
        }
    }

    /// To be asked before sandboxes are started here: in the wrong volume each would go on in an empty folder, and the next start
    /// would find these.
    ///
    /// # Errors
    /// `Internal` where sandboxes have run and the one volume for their files has none, with a sentence for the operator; those of the
    /// store.
    pub async fn refuse_lost_files(&self, kv: &dyn Kv) -> Result<()> {
        let Some(files) = &self.config.files else { return Ok(()) };
        if !self.files.are_none().await || !have_run(kv).await? {
            return Ok(());
        }
        Err(Error::Internal(format!(
            "sandboxes have run, and the volume {:?} has no file of any: OH_SANDBOX_VOLUME names the wrong one (in compose it follows \
             from the project's name), or their files are lost. If they are, and new ones shall be begun, make a file `.lost` in that \
             volume (deploy/OPERATIONS.md, \"To upgrade\")",
            files.name
        )))
    }

    /// Starts a container as a sandbox's is started, in which the worker only tries what it will need; nothing of it stays,
    /// nor of one before that nobody has waited for.
    ///
    /// # Errors
    /// What the engine or the worker says.
    pub async fn try_out(&self) -> std::result::Result<(), StartError> {
        let before = self.remove_left_trials().await;
        before.map_err(|error| StartError::Unavailable(error.to_string()))?;
        let instance = Instance { sandbox: SandboxId::random(), epoch: Epoch(0) };
        let launch = Launch { instance, credentials: None };
        let tried = self.tried(&launch).await;
        let stopped = self.stop(&launch.instance, Duration::ZERO).await;
        let removed = self.remove_files(&launch.instance.sandbox).await;
        tried?;
        stopped.and(removed).map_err(|error| StartError::Unavailable(error.to_string()))
    }

    async fn tried(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let (line, mut body) = self.prepare(launch).await?;
        // No sandbox's: a supervisor that works here does not see it.
        body.labels = Some(labels::of_container(labels::of_trial(&self.config, &launch.instance.sandbox)));
        body.entrypoint.get_or_insert_default().push("--try".to_owned());
        let name = launch.instance.name(&self.config.cluster);
        self.create(&name, body).await?;
        self.run(&name, &line).await?;
        let mut ending = self.docker.wait_container(&name, None::<WaitContainerOptions>);
        // Whatever is heard: how it has ended is looked at.
        let _ = timeout(self.config.trying, ending.next()).await;
        let found = self.docker.inspect_container(&name, None).await;
        let state = found.map_err(|error| error::start(error, ""))?.state.unwrap_or_default();
        if state.running.unwrap_or_default() {
            return Err(StartError::Failed(format!("it has not ended within {:?}", self.config.trying)));
        }
        if state.exit_code == Some(0) {
            return Ok(());
        }
        let log = self.log(&launch.instance).await;
        let said =
            told_to_clients(&log).or_else(|| log.lines().last()).unwrap_or("it has ended without a word");
        Err(StartError::Failed(said.to_owned()))
    }
}

/// Whether a sandbox has had a worker that was not given up at once: such a one has files.
///
/// # Errors
/// As [`Bucket::list`].
async fn have_run(kv: &dyn Kv) -> Result<bool> {
    let allocations = Bucket::<Allocation>::new(kv, ALLOCATIONS).list().await?;
    let has_run = |allocation: &Allocation| {
        allocation.epoch > Epoch(0) && (allocation.failure.is_none() || !allocation.instance.is_empty())
    };
    Ok(allocations.into_values().flatten().any(|stored| has_run(&stored.value)))
}

impl From<SystemInfo> for Engine {
    fn from(info: SystemInfo) -> Self {
        let security = info.security_options.unwrap_or_default();
        // Such as `name=seccomp,profile=default`.
        let has = |name: &str| security.iter().any(|option| option.split(',').any(|part| part == name));
        let limits = [
            (info.memory_limit, "memory"),
            (info.cpu_cfs_quota, "processors"),
            (info.pids_limit, "processes"),
        ];
        let mut runtimes: Vec<_> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        Self {
            version: info.server_version.unwrap_or_else(|| "of no known version".to_owned()),
            remaps_users: has("name=userns"),
            is_rootless: has("name=rootless"),
            runtimes,
            lacks: limits.into_iter().filter(|(can, _)| *can == Some(false)).map(|(_, what)| what).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_different_is_told_by_what_it_says() {
        let options = ["name=seccomp,profile=default", "name=userns", "name=rootless"];
        let info = SystemInfo {
            security_options: Some(options.map(str::to_owned).into()),
            pids_limit: Some(false),
            memory_limit: Some(true),
            ..SystemInfo::default()
        };
        let engine = Engine::from(info);
        assert!(engine.remaps_users && engine.is_rootless);
        assert_eq!(engine.lacks, ["processes"]);
        let usual = Engine::from(SystemInfo::default());
        assert!(!usual.remaps_users && !usual.is_rootless && usual.lacks.is_empty());
    }
}
