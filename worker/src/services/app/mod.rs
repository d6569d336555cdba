//! Programs that extensions of the user interface bring along. The user approves an exact revision of one; that is fetched and
//! unpacked, and nothing else is ever started.
//!
//! ```text
//!   prepare(revision) ─▶ is it the installed one? ─▶ artifact, its checksum, unpacked ─▶ note of the approval
//!   start(revision) ──▶ approved and unchanged? ─▶ starting ─▶ it answers itself, at its health page: ready
//!                                                     ├─▶ it ends, or takes too long: unhealthy, and is ended
//!   status ─▶ ready: is asked again; it has ended: unhealthy, and what it left is ended
//!   stop ──▶ asked to end, 5 seconds, killed with all that it has started: stopped
//! ```
//!
//! **Who owns what.** Each extension has a [`Slot`]; its lock is held while its state is decided and while it is ended, but
//! not while it comes up, nor while an artifact is made ready or what is not used is removed: a program can be stopped all
//! the time. A turn number tells who waits for it whether it is still the same program, and another number whether it is
//! still the same installation. Folders: `artifacts/<name>/<checksum>` are unpacked once, cannot be written, and go when another
//! one is used; `data/<name>` is the program's own and outlives it and the extension, `approvals/<name>.json` says what was
//! approved.
//!
//! **How it ends.** With the worker, which starts none once it has begun to end, and gives those that run 3 seconds; what a
//! worker that was killed has left is found by its mark, by the next one when it begins, before that answers its first call; files
//! that it was about to put in their place or to remove are removed beside that. Programs inherit six variables at most, a home of
//! their own, and no secret of anybody.

mod approval;
mod artifact;
mod bounds;
mod download;
mod entries;
mod folders;
#[cfg(test)]
mod fuzz;
mod health;
mod listener;
mod logs;
mod runtime;
mod start;
mod unpack;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbound::Outbound;
use parking_lot::Mutex;
use ports::rpc::{Code, Fault};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tools::offspring::{Mark, Offspring};
use types::app::{App, AppLogs, AppState};
use types::calls::{AppAnswer, AppCall};

use approval::Approval;
use folders::{Folders, take_away};
use runtime::Slot;

/// The variable by which a program and what it has started are found.
const MARK: &str = "MANYHANDS_APP";

const MOST_RUNNING: usize = 8;

/// What a program gets to end in order.
const GRACE: Duration = Duration::from_secs(5);
/// The same where the worker ends, for which it must not be too late.
const LAST_GRACE: Duration = Duration::from_secs(3);

pub(super) struct Service {
    folders: Folders,
    outbound: Outbound,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    places: Arc<Semaphore>,
    /// What a worker that was killed has left, and is to be removed.
    remains: OnceCell<Vec<PathBuf>>,
    /// Cancelled when the worker begins to end.
    over: CancellationToken,
}

impl Service {
    pub fn new(root: PathBuf, outbound: Outbound) -> Self {
        Self {
            folders: Folders::new(root),
            outbound,
            slots: Mutex::default(),
            places: Arc::new(Semaphore::new(MOST_RUNNING)),
            remains: OnceCell::new(),
            over: CancellationToken::new(),
        }
    }

    /// Ends and removes what a worker that was killed has left. Calls wait for the end of its programs.
    pub async fn clean(&self) {
        let remains = self.remains().await.to_owned();
        // It cannot fail.
        let _ = self.remove(remains).await;
    }

    async fn remains(&self) -> &[PathBuf] {
        self.remains.get_or_init(|| self.end_remains()).await
    }

    /// # Errors
    /// `Conflict` with the reason where it cannot be done now.
    pub async fn answer(&self, call: AppCall) -> Result<AppAnswer, Fault> {
        self.remains().await;
        match call {
            AppCall::Status { app } => self.status(&app).await.map(AppAnswer::State),
            AppCall::Prepare { app, revision } => self.prepare(&app, &revision).await.map(AppAnswer::State),
            AppCall::Start { app, revision } => self.start(&app, &revision).await.map(AppAnswer::State),
            AppCall::Stop { name } => {
                if let Some(slot) = self.known(&name) {
                    slot.stop(GRACE).await;
                }
                Ok(AppAnswer::Stopped)
            }
            AppCall::Forget { name } => self.forget(&name).await.map(|()| AppAnswer::Stopped),
            AppCall::Logs { name, limit_bytes } => {
                let (logs, truncated) =
                    self.known(&name).map(|slot| slot.logs(limit_bytes)).unwrap_or_default();
                Ok(AppAnswer::Logs(AppLogs { name, logs, truncated }))
            }
            AppCall::DeleteData { app } => self.delete_data(&app).await.map(AppAnswer::State),
            AppCall::Endpoint { name } => {
                let port = match self.known(&name) {
                    Some(slot) => slot.ready_port().await,
                    None => None,
                };
                Ok(AppAnswer::Endpoint(port))
            }
            AppCall::Running {} => {
                self.clear().await;
                Ok(AppAnswer::Running(self.places.available_permits() < MOST_RUNNING))
            }
        }
    }

    async fn status(&self, app: &App) -> Result<AppState, Fault> {
        let slot = self.slot(&app.name)?;
        let mut runtime = slot.runtime.lock().await;
        runtime.refresh().await;
        Ok(runtime.state(app, &self.folders))
    }

    /// Nothing of it is started after that, nor is what is being made ready. Its data stays.
    async fn forget(&self, name: &str) -> Result<(), Fault> {
        let slot = self.slot(name)?;
        let mut runtime = slot.runtime.lock().await;
        runtime.life += 1;
        let forgotten = Approval::forget(&self.folders.approval(name));
        runtime.stop(GRACE).await;
        // In one go: who makes it ready anew must not find what is about to go.
        let unused = self.take_unused(name, &runtime);
        drop(runtime);
        self.remove(unused);
        self.let_go(name, &slot);
        forgotten.map_err(Fault::internal)
    }

    /// Remembers nothing of an extension that nobody else asks about.
    fn let_go(&self, name: &str, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        // Ours, and that among them.
        if Arc::strong_count(slot) == 2 {
            slots.remove(name);
        }
    }

    /// For one more program.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if self.places.available_permits() == 0 {
            self.clear().await;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Cleans up after all programs that have ended. Those that somebody sees to already are left to him.
    async fn clear(&self) {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            if let Ok(mut runtime) = slot.runtime.try_lock() {
                runtime.clear().await;
            }
        }
    }

    async fn delete_data(&self, app: &App) -> Result<AppState, Fault> {
        let slot = self.slot(&app.name)?;
        let mut runtime = slot.runtime.lock().await;
        runtime.refresh().await;
        if runtime.is_running() {
            return Err(conflict("stop the backend before deleting its data"));
        }
        let aside = take_away(&self.folders.data(&app.name)).map_err(Fault::internal)?;
        let state = runtime.state(app, &self.folders);
        drop(runtime);
        if let Some(aside) = aside {
            let removing = tokio::task::spawn_blocking(move || trees::remove(&aside));
            removing.await.map_err(Fault::internal)?.map_err(Fault::internal)?;
        }
        Ok(state)
    }

    /// Goes on until the worker ends, whether anybody waits or not. What is not removed is found by the next one.
    fn remove(&self, paths: Vec<PathBuf>) -> JoinHandle<()> {
        let over = self.over.clone();
        tokio::task::spawn_blocking(move || {
            for path in paths {
                if let Err(error) = trees::remove_while(&path, || !over.is_cancelled()) {
                    tracing::warn!(%error, "what programs of extensions have left is not removed");
                }
            }
        })
    }

    fn known(&self, name: &str) -> Option<Arc<Slot>> {
        self.slots.lock().get(name).map(Arc::clone)
    }

    /// That of an extension of this name, which names folders here.
    fn slot(&self, name: &str) -> Result<Arc<Slot>, Fault> {
        folders::check(name)?;
        let mut slots = self.slots.lock();
        Ok(Arc::clone(slots.entry(name.to_owned()).or_default()))
    }

    /// A mark for one more program: how it begins tells that it is of this server.
    fn mark(&self) -> Mark {
        let own = Mark::unique(MARK);
        Mark { value: format!("{}-{}", self.folders.id(), own.value), ..own }
    }

    async fn end_remains(&self) -> Vec<PathBuf> {
        let programs = Offspring::of(Mark { name: MARK, value: self.folders.id() });
        if tokio::task::spawn_blocking(move || programs.end()).await.is_err() {
            tracing::warn!("programs of extensions that an earlier worker has left may go on");
        }
        self.folders.remains()
    }

    /// Ends all of them.
    pub async fn end(&self) {
        self.over.cancel();
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        futures_util::future::join_all(slots.iter().map(|slot| slot.stop(LAST_GRACE))).await;
    }
}

/// In the words of the client's user.
fn conflict(why: impl Into<String>) -> Fault {
    Fault::new(Code::Conflict, why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use ports::rpc::Reason;
    use types::app::{AppArtifact, AppBackend, AppHealth};

    use super::*;

    const CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    /// Without an artifact in its package.
    fn app(package: &Path) -> App {
        let artifact = AppArtifact {
            path: "app.tar.gz".to_owned(),
            url: None,
            sha256: CHECKSUM.to_owned(),
            strip_components: 0,
        };
        let platforms =
            ["linux-amd64", "linux-arm64"].map(|platform| (platform.to_owned(), artifact.clone()));
        let backend = AppBackend {
            artifacts: BTreeMap::from(platforms),
            argv: vec!["{artifact_dir}/run".to_owned()],
            health: AppHealth::default(),
            inherit_environment: Vec::new(),
        };
        App {
            name: "my-app".to_owned(),
            revision: "r1".to_owned(),
            package: package.to_str().unwrap().to_owned(),
            backend: Some(backend),
        }
    }

    #[tokio::test]
    async fn a_start_that_comes_when_the_worker_ends_starts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::new(folder.path().to_owned(), Outbound::default());
        service.end().await;
        let fault = service.start(&app(folder.path()), "r1").await.unwrap_err();
        assert_eq!(fault.reason, Some(Reason::ShuttingDown));
    }

    #[tokio::test]
    async fn what_is_about_to_go_is_not_approved_anew() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::new(folder.path().to_owned(), Outbound::default());
        let (app, artifact) = (app(folder.path()), service.folders.artifact("my-app", CHECKSUM));
        std::fs::create_dir_all(&artifact).unwrap();
        service.prepare(&app, "r1").await.unwrap();
        let slot = service.slot("my-app").unwrap();
        let held = slot.runtime.lock().await;
        // Both wait, in this order.
        let releasing = async { drop(held) };
        let (forgotten, prepared, ()) =
            tokio::join!(service.forget("my-app"), service.prepare(&app, "r1"), releasing);
        forgotten.unwrap();
        assert!(prepared.is_err() && !artifact.exists());
        assert_eq!(Approval::read(&service.folders.approval("my-app")), None);
    }

    #[tokio::test]
    async fn what_goes_while_it_is_made_ready_is_not_approved() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::new(folder.path().to_owned(), Outbound::default());
        let (app, artifact) = (app(folder.path()), service.folders.artifact("my-app", CHECKSUM));
        std::fs::create_dir_all(&artifact).unwrap();
        let slot = service.slot("my-app").unwrap();
        let held = slot.runtime.lock().await;
        // It is found to be there, then it goes, then it would be approved.
        let releasing = async { drop(held) };
        let (prepared, forgotten, ()) =
            tokio::join!(service.prepare(&app, "r1"), service.forget("my-app"), releasing);
        forgotten.unwrap();
        let refused = prepared.unwrap_err();
        assert_eq!(refused.public, "the extension was installed anew or removed meanwhile");
        assert!(!artifact.exists());
        assert_eq!(Approval::read(&service.folders.approval("my-app")), None);
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_extensions_that_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::new(folder.path().to_owned(), Outbound::default());
        for number in 0..3 {
            let app = App { name: format!("app-{number}"), ..app(folder.path()) };
            service.status(&app).await.unwrap();
            service.forget(&app.name).await.unwrap();
        }
        assert!(service.slots.lock().is_empty());
    }
}
