//! The peer's own code, opening what was written for it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const SCRIPT: &str = include_str!("../../moving/open.py");

/// A Python with the peer's SDK.
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
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/environment.sh");
        let output = Command::new(script).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(output.status.success(), "no Python with the SDK");
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

    /// What the peer reads of a conversation in `folder`, and what comes of `say`.
    ///
    /// # Panics
    /// When it fails.
    pub async fn open(&self, folder: &Path, id: &str, key: &str, model: &str, say: Option<&str>) -> Value {
        let seen = folder.to_str().unwrap().strip_prefix(&self.root).unwrap();
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
