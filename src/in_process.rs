//! The driver of embedded mode: a worker is a task of this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ports::{Driver, Error, Ports, Result, Unit};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub struct InProcess {
    /// Makes the worker's settings for an incarnation.
    configure: Box<dyn Fn(&Unit) -> worker::Config + Send + Sync>,
    ports: Ports,
    models: llm::Client,
    units: Mutex<HashMap<Unit, Running>>,
    ended: std::sync::Arc<Notify>,
}

impl InProcess {
    pub fn new(
        ports: Ports,
        models: llm::Client,
        configure: impl Fn(&Unit) -> worker::Config + Send + Sync + 'static,
    ) -> Self {
        let (units, ended) = (Mutex::default(), std::sync::Arc::default());
        Self { configure: Box::new(configure), ports, models, units, ended }
    }

    fn units(&self) -> MutexGuard<'_, HashMap<Unit, Running>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Driver for InProcess {
    async fn list(&self) -> Result<Vec<Unit>> {
        let mut units = self.units();
        units.retain(|_, running| !running.task.is_finished());
        Ok(units.keys().cloned().collect())
    }

    async fn start(&self, unit: &Unit) -> Result<()> {
        let stop = CancellationToken::new();
        let work = worker::run((self.configure)(unit), self.ports.clone(), self.models.clone(), stop.clone());
        let (ended, id) = (self.ended.clone(), unit.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = work.await {
                tracing::error!(sandbox.id = %id.sandbox, epoch = id.epoch.0, %error, "the worker has failed");
            }
            ended.notify_one();
        });
        self.units().insert(unit.clone(), Running { stop, task });
        Ok(())
    }

    async fn stop(&self, unit: &Unit) -> Result<()> {
        let Some(running) = self.units().remove(unit) else { return Ok(()) };
        running.stop.cancel();
        running.task.await.map_err(|error| Error::Internal(error.to_string()))
    }

    async fn changed(&self) {
        self.ended.notified().await;
    }
}
