//! The workspace services on the real embedded store.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use embedded::{Fsync, Guard, Options};
use manyhands_worker::services::{EditorConfig, ExtensionConfig, PublicSource, ServicesConfig, serve};
use ports::Ports;
use ports::rpc::{self, Address, Fault};
use tempfile::TempDir;
use testing::PATIENCE;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tools::extensions::project::Home;
use types::bash::{BashEvent, BashOutput, ExecuteBashRequest};
use types::calls::{
    BashCall, BashStarted, BashStopped, FileCall, FileChunk, FileStat, GitAnswer, GitCall, Scope,
    ScopedWorkspace, UploadBegun, UploadDone,
};
use types::git::{GitChange, GitChangeStatus, GitDiff};
use types::log::LogRecord;
use types::service::{AnswerTo, OfWorker};
use types::{ConversationId, Epoch, LogId, SandboxId, Seq};

pub struct World {
    pub dir: TempDir,
    pub ports: Ports,
    pub shutdown: CancellationToken,
    pub tracker: TaskTracker,
    pub epoch: Epoch,
    editor: Option<EditorConfig>,
    /// Of the public catalogue; else it is a folder.
    catalogue: Option<String>,
    _guard: Guard,
}

impl World {
    pub async fn start() -> Self {
        Self::on(|_| {}).await
    }

    /// On changed ports.
    pub async fn on(change: impl FnOnce(&mut Ports)) -> Self {
        Self::made(change, |_| None, None).await
    }

    /// With this script for an editor.
    pub async fn with_editor(script: &str) -> Self {
        let write = |root: &Path| {
            let program = root.join("editor");
            std::fs::write(&program, script).unwrap();
            std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            Some(EditorConfig { program, port: 8765, base_path: Some("/e".to_owned()) })
        };
        Self::made(|_| {}, write, None).await
    }

    /// With a public catalogue at this address.
    pub async fn with_catalogue(url: &str) -> Self {
        Self::made(|_| {}, |_| None, Some(url.to_owned())).await
    }

    async fn made(
        change: impl FnOnce(&mut Ports),
        editor: impl FnOnce(&Path) -> Option<EditorConfig>,
        catalogue: Option<String>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let options = Options::within(&root, Fsync::Always);
        let (mut ports, guard) = embedded::open(options).await.unwrap();
        change(&mut ports);
        std::fs::create_dir(root.join("w")).unwrap();
        let world = Self {
            dir,
            ports,
            shutdown: Default::default(),
            tracker: TaskTracker::new(),
            epoch: Epoch(1),
            editor: editor(&root),
            catalogue,
            _guard: guard,
        };
        world.serve(None).await;
        world
    }

    pub async fn serve(&self, bash_retention: Option<Duration>) {
        let config = ServicesConfig {
            sandbox: SandboxId::shared(),
            incarnation: None,
            epoch: self.epoch,
            default_cwd: self.path(""),
            scratch: self.path("../scratch"),
            most_commands: 1_000,
            bash_retention,
            editor: self.editor.clone(),
            apps: self.path("../apps"),
            worktrees: self.path("../worktrees"),
            makes_repositories: true,
            extensions: self.extensions(),
            outbound: Default::default(),
            activity: Default::default(),
            watch: rpc::unwatched(),
        };
        serve(config, self.ports.clone(), self.tracker.clone(), self.shutdown.clone()).await.unwrap();
    }

    /// A home of its own.
    fn extensions(&self) -> ExtensionConfig {
        let root = self.path("..");
        let home = Home { folder: root.join("home"), persistence: root.join("home/.openhands") };
        let public = match self.catalogue.clone() {
            Some(url) => PublicSource::Repository { url, reference: "main".to_owned() },
            None => PublicSource::Folder(root.join("public")),
        };
        ExtensionConfig { home, public, places: true }
    }

    /// Ends the services as at the end of the process.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Another worker in the place of this one.
    pub async fn restart(&mut self) {
        self.stop().await;
        (self.shutdown, self.tracker) = Default::default();
        self.serve(None).await;
    }

    /// A path in the workspace folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("w").join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn scope(&self) -> Scope {
        let root = self.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        Scope { workspace: Some(ScopedWorkspace { conversation: ConversationId::random(), root }) }
    }

    pub async fn call<S: OfWorker, A: AnswerTo<S>>(
        &self,
        body: &S,
        blob: Bytes,
    ) -> Result<(A, Bytes), Fault> {
        let address = Address::of_worker(&SandboxId::shared(), None);
        rpc::call(self.ports.bus.as_ref(), &address, body, blob, PATIENCE).await
    }

    pub async fn bash<A: AnswerTo<BashCall>>(&self, call: BashCall) -> Result<A, Fault> {
        Ok(self.call(&call, Bytes::new()).await?.0)
    }

    pub async fn start_command(&self, command: &str, timeout: i64) -> BashStarted {
        let request = ExecuteBashRequest { command: command.to_owned(), cwd: None, timeout };
        self.bash(BashCall::Start { scope: Scope::default(), request }).await.unwrap()
    }

    pub async fn stop_command(&self, id: &str) -> Result<(), Fault> {
        let stop = BashCall::Stop { scope: Scope::default(), command_id: id.to_owned() };
        let BashStopped { ended } = self.bash(stop).await?;
        assert!(ended, "{id} does not end");
        Ok(())
    }

    pub async fn events(&self, scope: &Scope) -> Vec<BashEvent> {
        let log = LogId::bash(&SandboxId::shared(), scope.bash());
        let entries = self.ports.log.read_all(&log, Seq::ZERO).await.unwrap();
        let events = entries.iter().filter(|entry| !LogRecord::is_control(&entry.payload));
        events.map(|entry| serde_json::from_slice(&entry.payload).unwrap()).collect()
    }

    pub async fn outputs(&self, scope: &Scope, id: &str) -> Vec<BashOutput> {
        let log = LogId::bash(&SandboxId::shared(), scope.bash());
        let entries = self.ports.log.read_all(&log, Seq::ZERO).await.unwrap();
        entries.iter().filter_map(|entry| output_of(id, &entry.payload)).collect()
    }

    /// All output of a command, once it has ended.
    pub async fn ended(&self, scope: &Scope, id: &str) -> Vec<BashOutput> {
        let log = LogId::bash(&SandboxId::shared(), scope.bash());
        let (mut seen, mut outputs) = (Seq::ZERO, Vec::new());
        eventually(async || {
            let entries = self.ports.log.read_all(&log, seen).await.unwrap();
            seen = entries.last().map_or(seen, |entry| entry.seq);
            outputs.extend(entries.iter().filter_map(|entry| output_of(id, &entry.payload)));
            let last: Option<&BashOutput> = outputs.last();
            last.is_some_and(|last| last.exit_code.is_some()).then(|| std::mem::take(&mut outputs))
        })
        .await
    }

    pub async fn execute(&self, command: &str, timeout: i64) -> Vec<BashOutput> {
        let started = self.start_command(command, timeout).await;
        self.ended(&Scope::default(), &started.command.id).await
    }

    pub async fn file<A: AnswerTo<FileCall>>(
        &self,
        call: FileCall,
        blob: Bytes,
    ) -> Result<(A, Bytes), Fault> {
        self.call(&call, blob).await
    }

    pub async fn upload(&self, scope: &Scope, path: &str, content: &[u8]) -> Result<u64, Fault> {
        let begin = FileCall::Begin { scope: scope.clone(), path: path.to_owned() };
        let (UploadBegun { upload }, _) = self.file(begin, Bytes::new()).await?;
        let write = FileCall::Write { upload: upload.clone(), offset: 0 };
        self.file::<()>(write, Bytes::copy_from_slice(content)).await?;
        let (UploadDone { size }, _) = self.file(FileCall::Commit { upload }, Bytes::new()).await?;
        Ok(size)
    }

    pub async fn stat(&self, scope: &Scope, path: &str) -> Result<FileStat, Fault> {
        let stat = FileCall::Stat { scope: scope.clone(), path: path.to_owned() };
        Ok(self.file(stat, Bytes::new()).await?.0)
    }

    pub async fn read(
        &self,
        scope: &Scope,
        path: &str,
        stat: &FileStat,
        offset: u64,
        len: u64,
    ) -> Result<Bytes, Fault> {
        let stamp = stat.stamp.clone();
        let read = FileCall::Read { scope: scope.clone(), path: path.to_owned(), offset, len, stamp };
        let (chunk, bytes) = self.file::<FileChunk>(read, Bytes::new()).await?;
        assert_eq!(chunk.len, bytes.len() as u64);
        Ok(bytes)
    }

    pub async fn download(&self, path: &str) -> Result<Vec<u8>, Fault> {
        let stat = self.stat(&Scope::default(), path).await?;
        let mut all = Vec::new();
        loop {
            let bytes = self.read(&Scope::default(), path, &stat, all.len() as u64, 512 * 1024).await?;
            if bytes.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&bytes);
        }
    }

    pub async fn git(&self, call: GitCall) -> Result<GitAnswer, Fault> {
        Ok(self.call(&call, Bytes::new()).await?.0)
    }

    /// Changes as `A name`, `D name`, `U name`.
    pub async fn changes(&self, path: &str, reference: Option<&str>) -> Vec<String> {
        let reference = reference.map(str::to_owned);
        let call = GitCall::Changes { scope: Scope::default(), path: path.to_owned(), reference };
        listed(self.git(call).await.unwrap())
    }

    pub async fn diff(&self, path: &str, commit: Option<&str>) -> Result<GitDiff, Fault> {
        let commit = commit.map(str::to_owned);
        let call = GitCall::Diff { scope: Scope::default(), path: path.to_owned(), reference: None, commit };
        match self.git(call).await? {
            GitAnswer::Diff(diff) => Ok(diff),
            other => panic!("not a diff: {other:?}"),
        }
    }

    /// Runs a shell script in the workspace folder.
    pub fn sh(&self, script: &str) -> String {
        let output = Command::new("/bin/sh")
            .args(["-ec", script])
            .current_dir(self.path(""))
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "a@b.c")])
            .envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "a@b.c")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

pub fn listed(answer: GitAnswer) -> Vec<String> {
    let GitAnswer::Changes(changes) = answer else { panic!("not changes: {answer:?}") };
    let line = |change: GitChange| match change.status {
        GitChangeStatus::Added => format!("A {}", change.path),
        GitChangeStatus::Deleted => format!("D {}", change.path),
        GitChangeStatus::Updated => format!("U {}", change.path),
        GitChangeStatus::Moved => format!("M {}", change.path),
    };
    changes.into_iter().map(line).collect()
}

pub async fn eventually<T>(probe: impl AsyncFnMut() -> Option<T>) -> T {
    testing::eventually("what the test asks for", probe).await
}

/// What a record says that a command has printed.
fn output_of(command: &str, record: &[u8]) -> Option<BashOutput> {
    if LogRecord::is_control(record) {
        return None;
    }
    match serde_json::from_slice(record).unwrap() {
        BashEvent::BashOutput(output) if output.command_id == command => Some(output),
        _ => None,
    }
}
