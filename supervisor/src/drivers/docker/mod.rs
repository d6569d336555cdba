//! Workers as containers of one Docker engine.
//!
//! Everything has a name that follows from the cluster, the sandbox and the epoch, so that every step can be
//! repeated by whoever comes next. Containers and volumes without this cluster's label are never touched, and none at all
//! where another cluster has the same name.

mod binary;
mod check;
mod container;
mod error;
mod events;
mod files;
mod labels;
mod removal;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListVolumesOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::{StreamExt, future};
use ports::{Error, Result};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use types::SandboxId;

use super::inside::Paths;
use super::{LOG_LINES, WorkerSettings, tail};
use crate::{Driver, Found, Instance, InstanceState, Launch, StartError};
use binary::WorkerBinary;
use events::Events;
use files::Files;

pub use check::{Engine, TRYING};
pub use container::Limits;
pub use files::SharedVolume;
pub use labels::{CLUSTER_LABEL, EPOCH_LABEL, MARK_LABEL, NODE_LABEL, SANDBOX_LABEL};

/// For one answer of the engine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Config {
    /// `unix:///var/run/docker.sock`, or `tcp://host:port`.
    pub host: String,
    pub cluster: String,
    /// By which it knows what is another cluster's of that name; `None`: it takes all of that name for its own.
    pub mark: Option<String>,
    /// Whether a volume for files that is nobody's is its own from now on.
    pub claims: bool,
    /// What a container that is only tried may take.
    pub trying: Duration,
    /// Which machine this is; a label, for people.
    pub node: String,
    /// Of sandboxes that ask for none.
    pub image: String,
    /// The network containers are put into; `none` for none. Any other must be there, and should be internal.
    pub network: String,
    /// A volume that all containers see at `/door`, read-only: with a socket that leads to NATS.
    pub door: Option<String>,
    /// `None`: each sandbox's files are in a volume of its own.
    pub files: Option<SharedVolume>,
    /// `None`: the engine's default.
    pub runtime: Option<String>,
    /// A static build of the worker, on this process' own file system.
    pub binary: PathBuf,
    pub paths: Paths,
    pub limits: Limits,
    pub worker: WorkerSettings,
}

impl Config {
    #[must_use]
    pub fn new(cluster: String, image: String, network: String, binary: PathBuf) -> Self {
        Self {
            host: "unix:///var/run/docker.sock".to_owned(),
            cluster,
            mark: None,
            claims: false,
            trying: TRYING,
            node: "local".to_owned(),
            image,
            network,
            door: None,
            files: None,
            runtime: None,
            binary,
            paths: Paths::default(),
            limits: Limits::default(),
            worker: WorkerSettings::default(),
        }
    }

    /// The volume of a sandbox's files, where it has one of its own.
    #[must_use]
    pub fn volume(&self, sandbox: &SandboxId) -> String {
        format!("mh-{}-{sandbox}", self.cluster)
    }
}

/// Whether there is an engine.
///
/// # Errors
/// `Unavailable` when none answers; `Internal` where there can be none.
pub async fn answers(config: &Config) -> Result<()> {
    let docker = match Docker::connect_with_host(&config.host) {
        Err(error @ bollard::errors::Error::UnsupportedURISchemeError { .. }) => {
            return Err(Error::Internal(error.to_string()));
        }
        docker => docker.map_err(error::port)?,
    };
    docker.with_timeout(PATIENCE).ping().await.map(drop).map_err(error::port)
}

pub struct Containers {
    config: Config,
    docker: Docker,
    binary: WorkerBinary,
    files: Files,
    events: Mutex<Events>,
}

impl Containers {
    /// # Errors
    /// `Unavailable` when no engine answers, it has no such volume for files, or has another cluster of that name.
    pub async fn connect(mut config: Config) -> Result<Self> {
        let docker = Docker::connect_with_host(&config.host)
            .map_err(error::port)?
            .with_timeout(PATIENCE)
            .negotiate_version()
            .await
            .map_err(error::port)?;
        let engine = docker.info().await.map_err(error::port)?;
        // It refuses to promise more than it has.
        config.limits.cpus =
            engine.ncpu.map_or(config.limits.cpus, |there| config.limits.cpus.min(there as f64));
        let binary = WorkerBinary::new(&config);
        let files = Files::find(&docker, &config).await?;
        let events = Mutex::new(Events::of(docker.clone(), &config));
        let connected = Self { config, docker, binary, files, events };
        connected.volumes().await?;
        connected.containers().await?;
        Ok(connected)
    }

    /// All of this cluster, whether they run or not.
    async fn containers(&self) -> Result<Vec<ContainerSummary>> {
        self.listed(&self.own()).await
    }

    async fn listed(&self, filters: &HashMap<&'static str, Vec<String>>) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(filters).build();
        let found = self.docker.list_containers(Some(options)).await.map_err(error::port)?;
        let workers = found.iter().filter(|found| labels::instance(&self.config, found).is_some());
        workers.into_iter().try_for_each(|found| labels::check(&self.config, found.labels.as_ref()))?;
        Ok(found)
    }

    /// The names of all volumes of this cluster.
    async fn volumes(&self) -> Result<Vec<String>> {
        let options = ListVolumesOptionsBuilder::default().filters(&self.own()).build();
        let found = self.docker.list_volumes(Some(options)).await.map_err(error::port)?;
        let found = found.volumes.unwrap_or_default();
        found.iter().try_for_each(|found| labels::check(&self.config, Some(&found.labels)))?;
        Ok(found.into_iter().map(|found| found.name).collect())
    }

    /// The filter that leaves what is others' alone.
    fn own(&self) -> HashMap<&'static str, Vec<String>> {
        HashMap::from([("label", vec![labels::filter(&self.config)])])
    }

    /// Makes what a container needs; answers what is to be its worker's line, and how it is to be made.
    async fn prepare(
        &self,
        launch: &Launch,
    ) -> std::result::Result<(Vec<u8>, ContainerCreateBody), StartError> {
        let (config, sandbox) = (&self.config, &launch.instance.sandbox);
        let line = config.worker.spec(launch, &config.paths.project, &config.paths.state)?;
        let program = self.binary.install(&self.docker, &config.image).await?;
        self.files.make(&self.docker, config, sandbox).await?;
        Ok((line, container::body(config, launch, self.files.mount(config, sandbox), &program)))
    }

    /// `false` when it is there and runs.
    async fn create(&self, name: &str, body: ContainerCreateBody) -> std::result::Result<bool, StartError> {
        let image = &self.config.image;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        match self.docker.create_container(Some(options), body).await {
            Ok(_) => Ok(true),
            Err(error) if error::status(&error) == Some(409) => {
                let there = self.docker.inspect_container(name, None).await;
                let there = there.map_err(|error| error::start(error, image))?;
                let labels = there.config.as_ref().and_then(|config| config.labels.as_ref());
                labels::check(&self.config, labels)
                    .map_err(|error| StartError::Unavailable(error.to_string()))?;
                Ok(!there.state.and_then(|state| state.running).unwrap_or(false))
            }
            Err(error) => Err(error::start(error, image)),
        }
    }

    /// The worker's line waits in its standard input before it begins.
    async fn run(&self, name: &str, line: &[u8]) -> std::result::Result<(), StartError> {
        let options = AttachContainerOptionsBuilder::default().stdin(true).stream(true).build();
        let attached = self.docker.attach_container(name, Some(options)).await;
        let mut input = attached.map_err(|error| error::start(error, ""))?.input;
        self.docker.start_container(name, None).await.map_err(|error| error::start(error, ""))?;
        let written = async {
            input.write_all(line).await?;
            input.shutdown().await
        };
        // One that has ended before it read its line is found by the next look.
        let _ = tokio::time::timeout(PATIENCE, written).await;
        Ok(())
    }

    async fn all_found(&self, listed: Vec<ContainerSummary>) -> Vec<Found> {
        let found = future::join_all(listed.into_iter().map(|summary| self.found(summary))).await;
        found.into_iter().flatten().collect()
    }

    async fn found(&self, summary: ContainerSummary) -> Option<Found> {
        let instance = labels::instance(&self.config, &summary)?;
        let state = match summary.state {
            Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD) => {
                self.end_of(&instance).await
            }
            Some(ContainerSummaryStateEnum::REMOVING) => InstanceState::Leaving,
            // Whoever made it has gone, or the engine, before it was started.
            Some(ContainerSummaryStateEnum::CREATED) => InstanceState::Exited { code: None },
            _ => InstanceState::Running,
        };
        Some(Found { instance, state })
    }

    async fn end_of(&self, instance: &Instance) -> InstanceState {
        let name = instance.name(&self.config.cluster);
        let state = self.docker.inspect_container(&name, None).await.ok().and_then(|found| found.state);
        container::end(&state.unwrap_or_default())
    }
}

#[async_trait]
impl Driver for Containers {
    async fn list(&self) -> Result<Vec<Found>> {
        Ok(self.all_found(self.containers().await?).await)
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Vec<Found>> {
        let labels = vec![labels::filter(&self.config), format!("{SANDBOX_LABEL}={sandbox}")];
        Ok(self.all_found(self.listed(&HashMap::from([("label", labels)])).await?).await)
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let (line, body) = self.prepare(launch).await?;
        let name = launch.instance.name(&self.config.cluster);
        if !self.create(&name, body).await? {
            return Ok(());
        }
        let started = self.run(&name, &line).await;
        if started.is_err() {
            // The volume may have been removed behind our back.
            self.binary.forget().await;
        }
        started
    }

    async fn stop(&self, instance: &Instance, grace: Duration) -> Result<()> {
        let name = instance.name(&self.config.cluster);
        if !grace.is_zero() {
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptionsBuilder::default().t(seconds).build();
            error::gone(self.docker.stop_container(&name, Some(options)).await)?;
        }
        // Volumes without a name are the image's, and go; the sandbox's has one, and stays.
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        error::gone(self.docker.remove_container(&name, Some(options)).await)?;
        self.binary.tidy(&self.docker).await;
        Ok(())
    }

    async fn log(&self, instance: &Instance) -> String {
        let name = instance.name(&self.config.cluster);
        let lines = LOG_LINES.to_string();
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines).build();
        let mut output = self.docker.logs(&name, Some(options));
        let mut text = String::new();
        while let Some(Ok(piece)) = output.next().await {
            text.push_str(&piece.to_string());
        }
        tail(&text).to_owned()
    }

    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()> {
        self.files.remove(&self.docker, &self.config, sandbox).await
    }

    async fn changed(&self) -> Option<SandboxId> {
        self.events.lock().await.next().await
    }
}
