//! A driver without workers: it remembers what it was told, and lets a test play their part.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ports::{Driver, Error, Found, Launch, Result, StartError, Unit, UnitState};
use tokio::sync::Notify;
use types::SandboxId;

#[derive(Default)]
pub struct Workers {
    units: Mutex<HashMap<Unit, UnitState>>,
    /// In the order they happened.
    pub started: Mutex<Vec<Unit>>,
    pub stopped: Mutex<Vec<(Unit, Duration)>>,
    pub erased: Mutex<Vec<SandboxId>>,
    pub refuses: Mutex<Option<StartError>>,
    pub is_away: AtomicBool,
    pub files_are_used: AtomicBool,
    pub changed: Notify,
}

impl Workers {
    /// What is there, in order.
    pub fn units(&self) -> Vec<Unit> {
        let mut units: Vec<Unit> = self.units.lock().unwrap().keys().cloned().collect();
        units.sort_by(|a, b| (&a.sandbox, a.epoch).cmp(&(&b.sandbox, b.epoch)));
        units
    }

    pub fn set(&self, unit: Unit, state: UnitState) {
        self.units.lock().unwrap().insert(unit, state);
        self.changed.notify_one();
    }

    pub fn lose(&self, unit: &Unit) {
        self.units.lock().unwrap().remove(unit);
        self.changed.notify_one();
    }

    pub fn refuse(&self, error: Option<StartError>) {
        *self.refuses.lock().unwrap() = error;
    }

    pub fn started(&self) -> Vec<Unit> {
        self.started.lock().unwrap().clone()
    }

    pub fn stopped(&self) -> Vec<Unit> {
        self.stopped.lock().unwrap().iter().map(|(unit, _)| unit.clone()).collect()
    }
}

#[async_trait]
impl Driver for Workers {
    async fn list(&self) -> Result<Vec<Found>> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("gone fishing".to_owned()));
        }
        let units = self.units.lock().unwrap();
        Ok(units.iter().map(|(unit, state)| Found { unit: unit.clone(), state: *state }).collect())
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        if let Some(error) = self.refuses.lock().unwrap().clone() {
            return Err(error);
        }
        let unit = launch.unit.clone();
        let credentials = launch.credentials.as_ref().map(|credentials| credentials.inbox_prefix.clone());
        let own = format!("_INBOX_{}_{}", unit.sandbox, unit.epoch.0);
        assert!(credentials.is_none_or(|prefix| prefix == own), "credentials of another incarnation");
        let twin = self.units().into_iter().find(|other| other.sandbox == unit.sandbox);
        assert_eq!(twin, None, "{unit:?} is started beside another");
        self.started.lock().unwrap().push(unit.clone());
        self.set(unit, UnitState::Running);
        Ok(())
    }

    async fn stop(&self, unit: &Unit, grace: Duration) -> Result<()> {
        self.stopped.lock().unwrap().push((unit.clone(), grace));
        self.units.lock().unwrap().remove(unit);
        Ok(())
    }

    async fn log(&self, unit: &Unit) -> String {
        format!("last words of {}", unit.epoch.0)
    }

    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()> {
        if self.files_are_used.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("in use".to_owned()));
        }
        self.erased.lock().unwrap().push(sandbox.clone());
        Ok(())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
