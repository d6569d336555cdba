//! Starts a program that was approved, and waits until it is ready.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ports::rpc::{Fault, Reason};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use types::app::{App, AppBackend, AppHealth, AppPhase, AppState};

use super::super::program::Program;
use super::approval::Approval;
use super::health::Place;
use super::runtime::{Running, Runtime, Slot, parts};
use super::{Service, conflict};

/// What a program may inherit.
const INHERITABLE: [&str; 6] = ["LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ"];

/// Bounds of what a manifest says.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Service {
    pub(super) async fn start(&self, app: &App, revision: &str) -> Result<AppState, Fault> {
        let slot = self.slot(&app.name)?;
        let Ok((backend, ..)) = parts(app) else { return self.status(app).await };
        let mut runtime = slot.runtime.lock().await;
        if self.over.is_cancelled() {
            return Err(Reason::ShuttingDown.into());
        }
        let runs = runtime.running.as_ref().is_some_and(|running| running.program.end_code().is_none());
        if runs {
            if runtime.revision.as_deref() != Some(revision) {
                return Err(conflict("a different backend revision is already running"));
            }
            if runtime.phase != AppPhase::Starting {
                runtime.refresh().await;
                return Ok(runtime.state(app, &self.folders));
            }
        } else {
            let artifact = self.approved(app, revision)?;
            // What has ended makes way, to others too.
            runtime.refresh().await;
            let place = self
                .place()
                .await
                .ok_or_else(|| conflict("At most 8 Canvas App backends run at one time."))?;
            runtime.turn += 1;
            runtime.revision = Some(revision.to_owned());
            slot.logs.clear();
            match self.spawn(app, backend, &artifact, &slot, place) {
                Ok(running) => {
                    runtime.running = Some(running);
                    (runtime.phase, runtime.detail) = (AppPhase::Starting, None);
                }
                Err(error) => {
                    runtime.fail(not_started(&error));
                    return Ok(runtime.state(app, &self.folders));
                }
            }
        }
        let turn = runtime.turn;
        drop(runtime);
        if let Ok(_preparing) = slot.preparing.try_lock() {
            self.tidy(&app.name, &slot).await;
        }
        self.over.run_until_cancelled(come_up(&slot, turn, &backend.health)).await;
        let mut runtime = slot.runtime.lock().await;
        if runtime.turn == turn && runtime.phase == AppPhase::Unhealthy {
            runtime.end(super::GRACE).await;
        }
        Ok(runtime.state(app, &self.folders))
    }

    /// The unpacked artifact of a revision, if it is the installed one, was approved, and is what it was then.
    fn approved(&self, app: &App, revision: &str) -> Result<PathBuf, Fault> {
        let (_, artifact, platform) = parts(app).map_err(conflict)?;
        if revision != app.revision {
            return Err(conflict("approval revision does not match installed revision"));
        }
        let approval = Approval::read(&self.folders.approval(&app.name));
        let approval = approval.filter(|approval| approval.revision == revision);
        let approval = approval.ok_or_else(|| conflict("backend revision must be prepared before start"))?;
        if approval != Approval::of(app, platform, &artifact.sha256) {
            return Err(conflict("prepared backend metadata does not match manifest"));
        }
        let folder = self.folders.artifact(&app.name, &artifact.sha256);
        if folder.is_dir() { Ok(folder) } else { Err(conflict("prepared backend artifact is missing")) }
    }

    fn spawn(
        &self,
        app: &App,
        backend: &AppBackend,
        artifact: &Path,
        slot: &Slot,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Running> {
        let data = self.folders.data(&app.name);
        let home = data.join("home");
        std::fs::create_dir_all(&home)?;
        let port = free_port()?;
        let argv = expanded(&backend.argv, port, &data, artifact)?;
        let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let is_inherited = |name: &str| {
            INHERITABLE.contains(&name) && backend.inherit_environment.iter().any(|own| own == name)
        };
        let inherited = child_environment::inherited();
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(&app.package)
            .env_clear()
            .envs(inherited.filter(|(name, _)| name.to_str().is_some_and(is_inherited)))
            .env("HOME", home);
        let mark = self.mark();
        let mut program = Program::start(command, mark.clone(), Stdio::piped())?;
        let (output, _input) = program.pipes()?;
        tokio::spawn(slot.logs.clone().take(output, b"[stdout] "));
        if let Some(complaints) = program.complaints() {
            tokio::spawn(slot.logs.clone().take(complaints, b"[stderr] "));
        }
        let place = Place { leader: program.id(), mark, port };
        let (artifact, health_path) = (artifact.to_owned(), backend.health.path.clone());
        Ok(Running { program, place, health_path, artifact, _permit: permit })
    }
}

/// The system's own words are for the log.
fn not_started(error: &io::Error) -> String {
    if error.get_ref().is_some() {
        return error.to_string();
    }
    tracing::warn!(%error, "the program of an extension cannot be started");
    match error.kind() {
        io::ErrorKind::PermissionDenied => "backend may not be started".to_owned(),
        _ => "backend cannot be started".to_owned(),
    }
}

/// Returns when the program is ready, has failed, or is somebody else's business.
async fn come_up(slot: &Slot, turn: u64, health: &AppHealth) {
    let give_up = Instant::now() + seconds(health.timeout_seconds).min(LONGEST_WAIT);
    let pause = seconds(health.interval_seconds).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
    loop {
        let coming = still_coming(&mut *slot.runtime.lock().await, turn, give_up);
        let Some(place) = coming else { return };
        if place.answers(&health.path).await {
            let mut runtime = slot.runtime.lock().await;
            if runtime.turn == turn && runtime.phase == AppPhase::Starting {
                (runtime.phase, runtime.detail) = (AppPhase::Ready, None);
            }
            return;
        }
        sleep(pause).await;
    }
}

/// Where a program is that may still get ready.
fn still_coming(runtime: &mut Runtime, turn: u64, give_up: Instant) -> Option<Place> {
    if runtime.turn != turn || runtime.phase != AppPhase::Starting {
        return None;
    }
    let running = runtime.running.as_ref()?;
    let place = running.place.clone();
    if let Some(code) = running.program.end_code() {
        runtime.fail(format!("backend exited with code {code}"));
        return None;
    }
    if Instant::now() >= give_up {
        runtime.fail("backend health check timed out".to_owned());
        return None;
    }
    Some(place)
}

/// Nobody holds it until the program does: another one may take it meanwhile, and then this one does not get ready.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The arguments with what stands for places in them; the first must be a program of the artifact.
fn expanded(argv: &[String], port: u16, data: &Path, artifact: &Path) -> io::Result<Vec<String>> {
    let outside = || {
        io::Error::other("backend executable must be an executable regular file inside the prepared artifact")
    };
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(outside);
    let (port, data, root) = (port.to_string(), text(data)?, text(artifact)?);
    let fill = |argument: &String| {
        argument.replace("{port}", &port).replace("{data_dir}", &data).replace("{artifact_dir}", &root)
    };
    let mut argv: Vec<String> = argv.iter().map(fill).collect();
    let program = argv.first_mut().ok_or_else(outside)?;
    let found = Path::new(program.as_str()).canonicalize().map_err(|_| outside())?;
    let metadata = found.metadata()?;
    let is_program = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    if !is_program || !found.starts_with(artifact.canonicalize()?) {
        return Err(outside());
    }
    *program = text(&found)?;
    Ok(argv)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
