//! Workers as containers of one Docker engine.
//!
//! Everything has a name that follows from the cluster, the sandbox and the epoch, so that every step can be
//! repeated by whoever comes next. Containers and volumes without this cluster's label are never touched.

mod binary;
mod check;
mod container;
mod error;
mod events;
mod files;
mod removal;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::{StreamExt, future};
use ports::Result;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use types::{Epoch, SandboxId};

use super::{LOG_LINES, WorkerSettings, tail};
use crate::{Driver, Found, Instance, InstanceState, Launch, StartError};
use binary::WorkerBinary;
use events::Events;
use files::Files;

pub use container::{Limits, Paths};
pub use files::SharedVolume;

pub const CLUSTER_LABEL: &str = "io.manyhands.cluster";
pub const SANDBOX_LABEL: &str = "io.manyhands.sandbox";
pub const EPOCH_LABEL: &str = "io.manyhands.epoch";
pub const NODE_LABEL: &str = "io.manyhands.node";

/// For one answer of the engine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Config {
    /// `unix:///var/run/docker.sock`, or `tcp://host:port`.
    pub host: String,
    pub cluster: String,
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

pub struct Containers {
    config: Config,
    docker: Docker,
    binary: WorkerBinary,
    files: Files,
    events: Mutex<Events>,
}

impl Containers {
    /// # Errors
    /// `Unavailable` when no engine answers, or it has no such volume for files.
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
        let events = Mutex::new(Events::of(docker.clone(), &config.cluster));
        Ok(Self { config, docker, binary, files, events })
    }

    /// All of this cluster, whether they run or not.
    async fn containers(&self) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&self.own()).build();
        self.docker.list_containers(Some(options)).await.map_err(error::port)
    }

    /// The filter that leaves what is others' alone.
    fn own(&self) -> HashMap<&'static str, Vec<String>> {
        HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={}", self.config.cluster)])])
    }

    /// `false` when it is there and runs.
    async fn create(&self, launch: &Launch, entrypoint: &str) -> std::result::Result<bool, StartError> {
        let name = launch.instance.name(&self.config.cluster);
        let body = container::body(
            &self.config,
            launch,
            self.files.mount(&self.config, &launch.instance.sandbox),
            entrypoint,
        );
        let image = &self.config.image;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        match self.docker.create_container(Some(options), body).await {
            Ok(_) => Ok(true),
            Err(error) if error::status(&error) == Some(409) => {
                let there = self.docker.inspect_container(&name, None).await;
                let there = there.map_err(|error| error::start(error, image))?;
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

    async fn found(&self, summary: ContainerSummary) -> Option<Found> {
        let labels = summary.labels?;
        let sandbox = SandboxId::parse(labels.get(SANDBOX_LABEL)?)?;
        let epoch = Epoch(labels.get(EPOCH_LABEL)?.parse().ok()?);
        let instance = Instance { sandbox, epoch };
        let state = match summary.state {
            Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD) => {
                InstanceState::Exited { code: self.exit_code(&instance).await }
            }
            Some(ContainerSummaryStateEnum::REMOVING) => InstanceState::Leaving,
            // Whoever made it has gone, or the engine, before it was started.
            Some(ContainerSummaryStateEnum::CREATED) => InstanceState::Exited { code: None },
            _ => InstanceState::Running,
        };
        Some(Found { instance, state })
    }

    async fn exit_code(&self, instance: &Instance) -> Option<i64> {
        let name = instance.name(&self.config.cluster);
        self.docker.inspect_container(&name, None).await.ok()?.state?.exit_code
    }
}

#[async_trait]
impl Driver for Containers {
    async fn list(&self) -> Result<Vec<Found>> {
        let listed = self.containers().await?;
        let found = future::join_all(listed.into_iter().map(|summary| self.found(summary))).await;
        Ok(found.into_iter().flatten().collect())
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let worker = &self.config.worker;
        let line = worker.spec(launch, &self.config.paths.project, &self.config.paths.state)?;
        let entrypoint = self.binary.install(&self.docker, &self.config.image).await?;
        self.files.make(&self.docker, &self.config, &launch.instance.sandbox).await?;
        if !self.create(launch, &entrypoint).await? {
            return Ok(());
        }
        let started = self.run(&launch.instance.name(&self.config.cluster), &line).await;
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
        error::gone(self.docker.remove_container(&name, Some(options)).await)
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

    async fn changed(&self) {
        self.events.lock().await.next().await;
    }
}
