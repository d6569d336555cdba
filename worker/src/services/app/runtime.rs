//! The program of one extension, and where it stands.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use types::app::{App, AppArtifact, AppBackend, AppPhase, AppState};

use super::super::program::Program;
use super::approval::{Approval, platform};
use super::folders::Folders;
use super::health::Place;
use super::logs::Logs;

const NO_ANSWER: &str = "Backend health probe failed";

/// Of one extension.
#[derive(Default)]
pub(super) struct Slot {
    /// Held while an artifact of it is made ready, one after the other.
    pub preparing: tokio::sync::Mutex<()>,
    pub runtime: tokio::sync::Mutex<Runtime>,
    pub logs: Logs,
}

#[derive(Default)]
pub(super) struct Runtime {
    pub running: Option<Running>,
    pub phase: AppPhase,
    pub detail: Option<String>,
    /// Of what runs or has run.
    pub revision: Option<String>,
    /// Another one for each start and each stop.
    pub turn: u64,
    /// Another one each time that the extension is forgotten.
    pub life: u64,
}

pub(super) struct Running {
    pub program: Program,
    pub place: Place,
    pub health_path: String,
    pub artifact: PathBuf,
    /// One of those that may run at one time.
    pub _permit: OwnedSemaphorePermit,
}

/// What would be started here.
pub(super) fn parts(app: &App) -> Result<(&AppBackend, &AppArtifact, &'static str), &'static str> {
    let backend = app.backend.as_ref().ok_or("Canvas App does not declare a backend")?;
    let found = platform().and_then(|platform| Some((backend, backend.artifacts.get(platform)?, platform)));
    found.ok_or("Canvas App backend does not support this platform")
}

impl Slot {
    pub async fn stop(&self, grace: Duration) {
        self.runtime.lock().await.stop(grace).await;
    }

    pub fn logs(&self, most: usize) -> (String, bool) {
        self.logs.end(most)
    }

    /// Where the program is reached, if it is ready and has not ended.
    pub async fn ready_port(&self) -> Option<u16> {
        let runtime = self.runtime.lock().await;
        let is_ready = runtime.phase == AppPhase::Ready;
        let running = runtime.running.as_ref().filter(|_| is_ready)?;
        running.program.end_code().is_none().then_some(running.place.port)
    }
}

impl Runtime {
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Cleans up after a program that has ended.
    pub async fn clear(&mut self) {
        if let Some(code) = self.running.as_ref().and_then(|running| running.program.end_code()) {
            self.fail(format!("Backend exited with code {code}"));
            self.end(Duration::ZERO).await;
        }
    }

    /// Looks at the program: one that has ended is cleaned up after, one that missed a look gets another.
    pub async fn refresh(&mut self) {
        self.clear().await;
        let Some(running) = &self.running else { return };
        let has_missed = self.phase == AppPhase::Unhealthy && self.detail.as_deref() == Some(NO_ANSWER);
        if self.phase == AppPhase::Ready || has_missed {
            match running.place.answers(&running.health_path).await {
                true => (self.phase, self.detail) = (AppPhase::Ready, None),
                false => self.fail(NO_ANSWER.to_owned()),
            }
        }
    }

    pub fn fail(&mut self, why: String) {
        (self.phase, self.detail) = (AppPhase::Unhealthy, Some(why));
    }

    pub async fn stop(&mut self, grace: Duration) {
        self.turn += 1;
        self.end(grace).await;
        (self.phase, self.detail) = (AppPhase::Stopped, None);
    }

    pub async fn end(&mut self, grace: Duration) {
        if let Some(running) = self.running.take() {
            running.program.end(grace).await;
        }
    }

    pub fn state(&self, app: &App, folders: &Folders) -> AppState {
        let (state, detail) = match parts(app) {
            Err(why) => (AppPhase::Unsupported, Some(why.to_owned())),
            Ok(_) => (self.phase, self.detail.clone()),
        };
        let approval = Approval::read(&folders.approval(&app.name));
        AppState {
            name: app.name.clone(),
            state,
            revision: Some(app.revision.clone()),
            prepared_revision: approval.map(|approval| approval.revision),
            pid: self.running.as_ref().map(|running| running.place.leader),
            port: self.running.as_ref().map(|running| running.place.port),
            detail,
        }
    }
}
