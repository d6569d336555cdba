//! A cluster of a test's own on the machine's Docker, removed when the test ends.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, NetworkCreateRequest};
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use manyhands_supervisor::drivers::WorkerSettings;
use manyhands_supervisor::drivers::docker::{CLUSTER_LABEL, Config, Containers};
use manyhands_supervisor::{Driver, Instance, InstanceState, StartError};
use tempfile::TempDir;
use tokio::time::timeout;
use types::SandboxId;

use super::suite::Place;
pub use super::suite::{PATIENCE, launch};

/// An image that no engine has.
pub const NOWHERE: &str = "nowhere.invalid/nothing:1";

pub struct World {
    pub config: Config,
    pub driver: Containers,
    pub docker: Docker,
    _folder: TempDir,
}

/// A cluster whose workers run `script`.
pub async fn world(script: &str) -> World {
    world_with(script, |_| {}).await
}

pub async fn world_with(script: &str, change: impl FnOnce(&mut Config)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let cluster = format!("test{}", SandboxId::random());
    let image = std::env::var("MANYHANDS_TEST_IMAGE").unwrap_or("debian:bookworm-slim".to_owned());
    let program = folder.path().join("worker");
    let mut config = Config::new(cluster.clone(), image, format!("mh-{cluster}"), program);
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        config.host = host;
    }
    config.worker = WorkerSettings { nats_urls: vec!["nats://nats:4222".to_owned()], ..Default::default() };
    change(&mut config);
    write_program(&config, script);
    let driver = connect(&config).await;
    let docker = Docker::connect_with_host(&config.host).unwrap().negotiate_version().await.unwrap();
    let network =
        NetworkCreateRequest { name: format!("mh-{cluster}"), internal: Some(true), ..Default::default() };
    docker.create_network(network).await.unwrap();
    World { config, driver, docker, _folder: folder }
}

impl Place for World {
    type Driver = Containers;

    async fn begin(script: &str) -> Self {
        world(script).await
    }

    fn driver(&self) -> &Containers {
        &self.driver
    }

    async fn another(&self) -> Containers {
        connect(&self.config).await
    }

    async fn marked(&self, mark: &str) -> Containers {
        connect(&Config { mark: Some(mark.to_owned()), ..self.config.clone() }).await
    }

    async fn beside(&self) -> Self {
        world("read -r spec; exec sleep 1000").await
    }

    async fn volumes(&self) -> usize {
        let names = World::volumes(self).await;
        names.iter().filter(|name| !name.contains("-bin-")).count()
    }

    async fn remove_all(&self) -> ports::Result<()> {
        self.driver.remove_all().await
    }

    async fn try_out(&self) -> Result<(), StartError> {
        self.driver.try_out().await
    }
}

pub async fn connect(config: &Config) -> Containers {
    match Containers::connect(config.clone()).await {
        Ok(driver) => driver,
        Err(error) => panic!("these tests need Docker at {} ({error})", config.host),
    }
}

pub fn write_program(config: &Config, script: &str) {
    fs::write(&config.binary, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&config.binary, Permissions::from_mode(0o755)).unwrap();
}

impl World {
    pub async fn inspect(&self, instance: &Instance) -> ContainerInspectResponse {
        self.docker.inspect_container(&instance.name(&self.config.cluster), None).await.unwrap()
    }

    pub async fn states(&self) -> Vec<InstanceState> {
        self.driver.list().await.unwrap().into_iter().map(|found| found.state).collect()
    }

    pub async fn until(&self, condition: impl AsyncFn() -> bool) {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Waits until it has written `text`.
    pub async fn log_with(&self, instance: &Instance, text: &str) -> String {
        self.until(async || self.driver.log(instance).await.contains(text)).await;
        self.driver.log(instance).await
    }

    /// The names of all, whether they run or not.
    pub async fn containers(&self) -> Vec<String> {
        let label = format!("{CLUSTER_LABEL}={}", self.config.cluster);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await.unwrap();
        listed.into_iter().flat_map(|found| found.names.unwrap_or_default()).collect()
    }

    pub async fn volumes(&self) -> Vec<String> {
        let label = format!("{CLUSTER_LABEL}={}", self.config.cluster);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let listed = self.docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
        listed.into_iter().map(|volume| volume.name).collect()
    }

    async fn remove(&self) {
        let _ = self.driver.remove_all().await;
        let _ = self.docker.remove_network(&self.config.network).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map(|runtime| runtime.block_on(self.remove()))
            });
        });
    }
}
