//! Workers as child processes: for tests, and for development without containers.
//!
//! They are isolated by nothing, and they end with this process, also when it is killed: a supervisor that
//! starts anew finds none of them and starts the next incarnations.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ports::{Error, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use types::SandboxId;

use super::{LOG_BYTES, LOG_LINES, WorkerSettings, remove_folder, tail};
use crate::{Driver, Found, Instance, InstanceState, Launch, StartError};

/// What a child that was killed gets to be gone.
const DYING: Duration = Duration::from_secs(5);
/// What is still read of what a child wrote that has ended: others may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(200);

pub struct Config {
    /// Started as `<program> worker`.
    pub program: PathBuf,
    /// Absolute. Each sandbox has a folder of its own in it.
    pub root: PathBuf,
    /// All of the children's environment.
    pub environment: Vec<(OsString, OsString)>,
    pub worker: WorkerSettings,
}

pub struct Processes {
    config: Config,
    children: Mutex<HashMap<Instance, Process>>,
    ended: Arc<Notify>,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Process {
    group: Pid,
    status: watch::Receiver<Option<ExitStatus>>,
    log: Log,
}

impl Processes {
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, children: Mutex::default(), ended: Arc::default(), tasks: TaskTracker::new() }
    }

    fn child(&self, instance: &Instance) -> Option<Process> {
        self.children.lock().get(instance).cloned()
    }

    fn folder(&self, sandbox: &SandboxId) -> PathBuf {
        self.config.root.join(sandbox.as_str())
    }

    async fn spawn(&self, launch: &Launch) -> std::result::Result<Child, StartError> {
        let folder = self.folder(&launch.instance.sandbox);
        let (project, state) = (folder.join("project"), folder.join("state"));
        let line = self.config.worker.spec(launch, text(&project)?, text(&state)?)?;
        for made in [&project, &state] {
            tokio::fs::create_dir_all(made).await.map_err(|error| failed("folder", &error))?;
        }
        let mut child = Command::new(&self.config.program)
            .arg("worker")
            .current_dir(&project)
            .env_clear()
            .envs(self.config.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("program", &error))?;
        if let Some(mut input) = child.stdin.take() {
            // One that has ended before it read its line is found by the next look.
            let _ = input.write_all(&line).await;
        }
        Ok(child)
    }

    /// Follows a child to its end.
    fn watch(&self, mut child: Child, group: Pid) -> Process {
        let log = Log::default();
        let readers = TaskTracker::new();
        if let Some(output) = child.stdout.take() {
            readers.spawn(log.clone().read(output));
        }
        if let Some(output) = child.stderr.take() {
            readers.spawn(log.clone().read(output));
        }
        readers.close();
        let (ending, status) = watch::channel(None);
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            let status = child.wait().await.unwrap_or_default();
            let _ = timeout(LAST_WORDS, readers.wait()).await;
            ending.send_replace(Some(status));
            ended.notify_one();
        });
        Process { group, status, log }
    }
}

#[async_trait]
impl Driver for Processes {
    async fn list(&self) -> Result<Vec<Found>> {
        let found = |(instance, child): (&Instance, &Process)| Found {
            instance: instance.clone(),
            state: child.state(),
        };
        Ok(self.children.lock().iter().map(found).collect())
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        if self.child(&launch.instance).is_some() {
            return Ok(());
        }
        let child = self.spawn(launch).await?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = id.ok_or_else(|| StartError::Failed("The worker ended at once.".to_owned()))?;
        let process = self.watch(child, group);
        self.children.lock().insert(launch.instance.clone(), process);
        Ok(())
    }

    async fn stop(&self, instance: &Instance, grace: Duration) -> Result<()> {
        let Some(child) = self.child(instance) else { return Ok(()) };
        if !grace.is_zero() {
            child.signal(Signal::TERM);
        }
        if !child.is_gone_within(grace).await {
            child.signal(Signal::KILL);
            if !child.is_gone_within(DYING).await {
                return Err(Error::Unavailable("a killed worker is still there".to_owned()));
            }
        }
        self.children.lock().remove(instance);
        Ok(())
    }

    async fn log(&self, instance: &Instance) -> String {
        self.child(instance).map(|child| child.log.text()).unwrap_or_default()
    }

    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()> {
        remove_folder(self.folder(sandbox)).await
    }

    async fn changed(&self) -> Option<SandboxId> {
        self.ended.notified().await;
        None
    }
}

impl Process {
    fn state(&self) -> InstanceState {
        self.status.borrow().map_or(InstanceState::Running, |status| InstanceState::Exited {
            code: status.code().map(i64::from),
        })
    }

    /// To the child and what it started, unless it has ended: then the number may be somebody else's.
    fn signal(&self, signal: Signal) {
        if self.status.borrow().is_none() {
            let _ = kill_process_group(self.group, signal);
        }
    }

    async fn is_gone_within(&self, patience: Duration) -> bool {
        let mut status = self.status.clone();
        timeout(patience, status.wait_for(Option::is_some)).await.is_ok()
    }
}

/// The last lines a child wrote.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Log {
    /// Of a line that is longer than all that is kept, what stands at its beginning.
    async fn read(self, output: impl AsyncRead + Unpin) {
        let (mut output, mut line) = (BufReader::new(output), Vec::new());
        while let Ok(piece @ [_, ..]) = output.fill_buf().await {
            let end = piece.iter().position(|byte| *byte == b'\n');
            let (text, taken) =
                (piece.get(..end.unwrap_or(piece.len())), end.map_or(piece.len(), |end| end + 1));
            let room = LOG_BYTES.saturating_sub(line.len());
            line.extend(text.unwrap_or_default().iter().take(room));
            output.consume(taken);
            if end.is_some() {
                self.keep(&std::mem::take(&mut line));
            }
        }
        if !line.is_empty() {
            self.keep(&line);
        }
    }

    fn keep(&self, line: &[u8]) {
        let mut kept = self.lines.lock();
        if kept.len() == LOG_LINES {
            kept.pop_front();
        }
        kept.push_back(String::from_utf8_lossy(line).into_owned());
    }

    fn text(&self) -> String {
        let mut lines = self.lines.lock();
        tail(&lines.make_contiguous().join("\n")).to_owned()
    }
}

fn text(path: &Path) -> std::result::Result<&str, StartError> {
    path.to_str().ok_or_else(|| StartError::Failed("The sandboxes' folder is no valid text.".to_owned()))
}

fn failed(what: &str, error: &std::io::Error) -> StartError {
    StartError::Failed(format!("The worker's {what} cannot be used: {}.", error.kind()))
}
