//! The same on a real cluster of one node, whose containers are those of the Docker engine here: `KUBECONFIG` names it, and
//! `MANYHANDS_TEST_IMAGE` an image of the engine with a shell, and `KUBECTL` that program if it is not in the search path.

use std::fmt::Write;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubernetes::types::{PersistentVolumeClaim, ServiceAccount};
use kubernetes::{Access, Client};
use manyhands_supervisor::StartError;
use manyhands_supervisor::drivers::WorkerSettings;
use manyhands_supervisor::drivers::kubernetes::{ApiAccess, Config, Pods};
use types::SandboxId;

use super::suite::Place;

pub struct Real {
    namespace: String,
    config: Config,
    driver: Pods,
}

/// A tag that is not `latest`: that one would be asked for in a registry.
const TAG: &str = "kubernetes-test";

fn image() -> String {
    let image = std::env::var("MANYHANDS_TEST_IMAGE").unwrap_or("debian:bookworm-slim".to_owned());
    let tagged = format!("{}:{TAG}", image.split(':').next().unwrap());
    docker(&["tag", &image, &tagged], "");
    tagged
}

/// An image that installs this script as a worker's program.
fn program(image: &str, script: &str) -> String {
    let script = STANDARD.encode(format!("#!/bin/sh\nexec 2>&1\n{script}\n"));
    let mut lines = format!("FROM {image}\nUSER 0\n");
    writeln!(lines, "RUN echo {script} | base64 -d > /program-of-test && chmod 755 /program-of-test")
        .unwrap();
    writeln!(lines, r#"ENTRYPOINT ["/bin/sh", "-c", "test $0 = install && cp /program-of-test $2/worker"]"#)
        .unwrap();
    let name = format!("manyhands-test-program-{}:{TAG}", &SandboxId::random().as_str()[..8]);
    docker(&["build", "-q", "-t", &name, "-"], &lines);
    name
}

fn docker(arguments: &[&str], input: &str) {
    let mut child =
        Command::new("docker").args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "docker {arguments:?}");
}

fn kubectl(arguments: &[&str]) -> bool {
    let program = std::env::var_os("KUBECTL").unwrap_or("kubectl".into());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

async fn client(namespace: &str) -> Client {
    Client::new(Access::Inferred, Some(namespace.to_owned())).await.unwrap()
}

impl Real {
    async fn with(config: Config, namespace: String) -> Self {
        let driver = Pods::new(config.clone(), ApiAccess::Inferred, Some(namespace.clone())).await.unwrap();
        Self { namespace, config, driver }
    }

    async fn driver_of(&self, config: Config) -> Pods {
        Pods::new(config, ApiAccess::Inferred, Some(self.namespace.clone())).await.unwrap()
    }
}

impl Place for Real {
    type Driver = Pods;

    async fn begin(script: &str) -> Self {
        let namespace = format!("mh-test-{}", &SandboxId::random().as_str()[..8]);
        assert!(kubectl(&["create", "namespace", &namespace]), "no cluster: set KUBECONFIG");
        let image = image();
        let mut config =
            Config::new(format!("t-{}", &namespace[8..]), image.clone(), program(&image, script));
        config.worker =
            WorkerSettings { nats_urls: vec!["tls://localhost:4222".to_owned()], ..Default::default() };
        config.resources.request_cpus = 0.01;
        config.resources.request_memory_mib = 16;
        config.volume.mebibytes = 64;
        let place = Self::with(config, namespace).await;
        let accounts = client(&place.namespace).await.objects::<ServiceAccount>();
        place.until(async || accounts.find("default").await.unwrap().is_some()).await;
        place
    }

    fn driver(&self) -> &Pods {
        &self.driver
    }

    async fn another(&self) -> Pods {
        self.driver_of(self.config.clone()).await
    }

    async fn marked(&self, mark: &str) -> Pods {
        self.driver_of(Config { mark: Some(mark.to_owned()), ..self.config.clone() }).await
    }

    async fn beside(&self) -> Self {
        let cluster = format!("{}-2", self.config.cluster);
        Self::with(Config { cluster, ..self.config.clone() }, self.namespace.clone()).await
    }

    async fn volumes(&self) -> usize {
        let label = format!("manyhands.io/cluster={}", self.config.cluster);
        let claims = client(&self.namespace).await.objects::<PersistentVolumeClaim>();
        claims.list(&label).await.unwrap().items.len()
    }

    async fn remove_all(&self) -> ports::Result<()> {
        self.driver.remove_all().await
    }

    async fn try_out(&self) -> Result<(), StartError> {
        self.driver.try_out().await
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        kubectl(&["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"]);
    }
}
