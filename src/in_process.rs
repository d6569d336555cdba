//! The driver of embedded mode: a worker is a task of this process.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use ports::{Error, Ports, Result};
use supervisor::{Driver, Found, Instance, InstanceState, Launch, StartError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::SandboxId;

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub struct InProcess {
    /// Makes the worker's settings for an incarnation.
    configure: Box<dyn Fn(&Instance) -> worker::Config + Send + Sync>,
    ports: Ports,
    models: llm::Client,
    instances: Mutex<HashMap<Instance, Running>>,
    ended: std::sync::Arc<Notify>,
}

impl InProcess {
    pub fn new(
        ports: Ports,
        models: llm::Client,
        configure: impl Fn(&Instance) -> worker::Config + Send + Sync + 'static,
    ) -> Self {
        let (instances, ended) = (Mutex::default(), std::sync::Arc::default());
        Self { configure: Box::new(configure), ports, models, instances, ended }
    }
}

#[async_trait::async_trait]
impl Driver for InProcess {
    async fn list(&self) -> Result<Vec<Found>> {
        let found = |(instance, running): (&Instance, &Running)| {
            let state = match running.task.is_finished() {
                true => InstanceState::Exited { code: None },
                false => InstanceState::Running,
            };
            Found { instance: instance.clone(), state }
        };
        Ok(self.instances.lock().iter().map(found).collect())
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let id = launch.instance.clone();
        let stop = CancellationToken::new();
        let work = worker::run((self.configure)(&id), self.ports.clone(), self.models.clone(), stop.clone());
        let ended = self.ended.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = work.await {
                tracing::error!(sandbox.id = %id.sandbox, epoch = id.epoch.0, %error, "the worker has failed");
            }
            ended.notify_one();
        });
        self.instances.lock().insert(launch.instance.clone(), Running { stop, task });
        Ok(())
    }

    /// A task cannot be ended by force: it gets the time it needs.
    async fn stop(&self, instance: &Instance, _grace: Duration) -> Result<()> {
        let Some(running) = self.instances.lock().remove(instance) else { return Ok(()) };
        running.stop.cancel();
        running.task.await.map_err(|error| Error::Internal(error.to_string()))
    }

    async fn log(&self, _unit: &Instance) -> String {
        String::new()
    }

    /// The files are the user's own.
    async fn remove_files(&self, _sandbox: &SandboxId) -> Result<()> {
        Ok(())
    }

    async fn changed(&self) -> Option<SandboxId> {
        self.ended.notified().await;
        None
    }
}
