//! The peer's own code, opening what was written for it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const SCRIPT: &str = include_str!("../../moving/open.py");
const RECORD: &str = include_str!("../../moving/record.py");
const GO_ON: &str = include_str!("../../moving/go_on.py");

/// A Python with the peer's SDK, or with its server.
pub struct Python {
    command: Vec<String>,
    /// What it takes for `/`; empty: the same.
    root: String,
    /// One that it sees, too.
    folder: tempfile::TempDir,
}

impl Python {
    /// # Panics
    /// When there is none and none can be made.
    pub async fn find() -> Self {
        Self::by(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/environment.sh")).await
    }

    /// One that can start the peer.
    ///
    /// # Panics
    /// As [`Python::find`].
    pub async fn with_the_peer() -> Self {
        let python = Self::by(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/moving/environment.sh")).await;
        for (name, script) in [("record.py", RECORD), ("go_on.py", GO_ON)] {
            std::fs::write(python.folder.path().join(name), script).unwrap();
        }
        python
    }

    async fn by(script: &str) -> Self {
        let output = Command::new(script).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(output.status.success(), "{script}: no Python");
        let command = String::from_utf8(output.stdout).unwrap();
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let root = if command[0] == "chroot" { command[1].clone() } else { String::new() };
        let folder = tempfile::tempdir_in(format!("{root}/tmp")).unwrap();
        Self { command, root, folder }
    }

    /// A folder that is not there yet.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// What the peer has written into a new folder.
    ///
    /// # Panics
    /// When it fails.
    pub async fn record(&self) -> PathBuf {
        let recorded = self.folder.path().join("recorded");
        self.run("record.py", &[self.seen(&recorded)]).await;
        recorded
    }

    /// What the peer answers on an exported folder, and what comes of `say` there.
    ///
    /// # Panics
    /// When it fails.
    pub async fn go_on(&self, folder: &Path, id: &str, say: &str) -> Value {
        let told = self.run("go_on.py", &[self.seen(folder), id, say]).await;
        serde_json::from_str(told.lines().last().unwrap()).unwrap()
    }

    async fn run(&self, script: &str, arguments: &[&str]) -> String {
        let script = self.folder.path().join(script);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(self.seen(&script)).args(arguments);
        let output = command.env("TMPDIR", "/tmp").kill_on_drop(true).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// As it is called there.
    fn seen<'a>(&self, path: &'a Path) -> &'a str {
        path.to_str().unwrap().strip_prefix(&self.root).unwrap()
    }

    /// What the peer reads of a conversation in `folder`, and what comes of `say`.
    ///
    /// # Panics
    /// When it fails.
    pub async fn open(&self, folder: &Path, id: &str, key: &str, model: &str, say: Option<&str>) -> Value {
        let seen = self.seen(folder);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(["-", seen, id, key, model]).args(say);
        let mut process = command
            .env("HOME", folder.parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(SCRIPT.as_bytes()).await.unwrap();
        let output = process.wait_with_output().await.unwrap();
        let (told, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let last = told.lines().rev().find(|line| line.starts_with('{'));
        let last = last.unwrap_or_else(|| panic!("the peer does not open it:\n{told}\n{errors}"));
        serde_json::from_str(last).unwrap()
    }
}
