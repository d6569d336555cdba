//! A driver without workers: it remembers what it was told, and lets a test play their part.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ports::{Error, Result};
use tokio::sync::{Barrier, Notify};
use types::SandboxId;

use crate::{Driver, Found, Instance, InstanceState, Launch, StartError};

#[derive(Default)]
pub struct Workers {
    instances: Mutex<HashMap<Instance, InstanceState>>,
    /// In the order they happened.
    pub started: Mutex<Vec<Instance>>,
    pub stopped: Mutex<Vec<(Instance, Duration)>>,
    pub erased: Mutex<Vec<SandboxId>>,
    pub refuses: Mutex<Option<StartError>>,
    pub is_away: AtomicBool,
    pub files_are_used: AtomicBool,
    /// Instances are there after they were stopped.
    pub nothing_ends: AtomicBool,
    /// How often it was asked what runs.
    pub lists: AtomicUsize,
    /// And what there is of one sandbox.
    pub finds: AtomicUsize,
    /// Starts wait for so many at a time to go on together.
    pub starts_together: Mutex<Option<Arc<Barrier>>>,
    /// What each of them wrote at its end, if that matters.
    pub last_words: Mutex<Option<String>>,
    /// What is there may be started once more.
    pub takes_twins: AtomicBool,
    /// Files take for ever to be removed.
    pub files_are_many: AtomicBool,
    changes: Mutex<VecDeque<SandboxId>>,
    changed: Notify,
}

impl Workers {
    /// What is there, in order.
    pub fn instances(&self) -> Vec<Instance> {
        let mut instances: Vec<Instance> = self.instances.lock().unwrap().keys().cloned().collect();
        instances.sort_by(|a, b| (&a.sandbox, a.epoch).cmp(&(&b.sandbox, b.epoch)));
        instances
    }

    pub fn set(&self, instance: Instance, state: InstanceState) {
        let sandbox = instance.sandbox.clone();
        self.instances.lock().unwrap().insert(instance, state);
        self.tell(sandbox);
    }

    pub fn lose(&self, instance: &Instance) {
        self.instances.lock().unwrap().remove(instance);
        self.tell(instance.sandbox.clone());
    }

    fn tell(&self, sandbox: SandboxId) {
        self.changes.lock().unwrap().push_back(sandbox);
        self.changed.notify_one();
    }

    fn all(&self) -> Result<Vec<Found>> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("gone fishing".to_owned()));
        }
        let instances = self.instances.lock().unwrap();
        Ok(instances
            .iter()
            .map(|(instance, state)| Found { instance: instance.clone(), state: state.clone() })
            .collect())
    }

    pub fn refuse(&self, error: Option<StartError>) {
        *self.refuses.lock().unwrap() = error;
    }

    pub fn started(&self) -> Vec<Instance> {
        self.started.lock().unwrap().clone()
    }

    pub fn stopped(&self) -> Vec<Instance> {
        self.stopped.lock().unwrap().iter().map(|(instance, _)| instance.clone()).collect()
    }
}

#[async_trait]
impl Driver for Workers {
    async fn list(&self) -> Result<Vec<Found>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.all()
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Vec<Found>> {
        self.finds.fetch_add(1, Ordering::Relaxed);
        self.all().map(|all| all.into_iter().filter(|found| found.instance.sandbox == *sandbox).collect())
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let together = self.starts_together.lock().unwrap().clone();
        if let Some(together) = together {
            together.wait().await;
        }
        if let Some(error) = self.refuses.lock().unwrap().clone() {
            return Err(error);
        }
        let instance = launch.instance.clone();
        let credentials = launch.credentials.as_ref().map(|credentials| credentials.inbox_prefix.clone());
        let own = format!("_INBOX_{}_{}", instance.sandbox, instance.epoch.0);
        assert!(credentials.is_none_or(|prefix| prefix == own), "credentials of another incarnation");
        let twin = self.instances().into_iter().find(|other| other.sandbox == instance.sandbox);
        let may_be = self.takes_twins.load(Ordering::Relaxed) && twin.as_ref() == Some(&instance);
        assert!(twin.is_none() || may_be, "{instance:?} is started beside another");
        self.started.lock().unwrap().push(instance.clone());
        self.set(instance, InstanceState::Running);
        Ok(())
    }

    async fn stop(&self, instance: &Instance, grace: Duration) -> Result<()> {
        self.stopped.lock().unwrap().push((instance.clone(), grace));
        if !self.nothing_ends.load(Ordering::Relaxed) {
            self.instances.lock().unwrap().remove(instance);
        }
        Ok(())
    }

    async fn log(&self, instance: &Instance) -> String {
        let words = self.last_words.lock().unwrap().clone();
        words.unwrap_or_else(|| format!("last words of {}", instance.epoch.0))
    }

    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()> {
        if self.files_are_used.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("in use".to_owned()));
        }
        if self.files_are_many.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.erased.lock().unwrap().push(sandbox.clone());
        Ok(())
    }

    async fn changed(&self) -> Option<SandboxId> {
        loop {
            if let Some(sandbox) = self.changes.lock().unwrap().pop_front() {
                return Some(sandbox);
            }
            self.changed.notified().await;
        }
    }
}
