//! An editor in the browser, OpenVSCode Server, where the image has one.
//!
//! It is started when somebody wants to open it, and not before: it takes some hundred megabytes of memory. What opens it is
//! a token of its own; whoever has that reaches the files of the workspace, and nothing of the API. It ends with the worker,
//! and whatever it has started with it; what a worker that was killed has left of it the next one ends.

mod program;

use std::path::PathBuf;

use ports::rpc::Fault;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use types::calls::{EditorCall, EditorState};

use program::Editor;

/// Where an editor is, and how it is reached.
#[derive(Clone, Debug)]
pub struct EditorConfig {
    pub program: PathBuf,
    pub port: u16,
    /// A path all of its pages are below.
    pub base_path: Option<String>,
}

pub(super) struct Service {
    /// `None`: there is none.
    config: Option<EditorConfig>,
    kin: (String, String),
    running: Mutex<Option<Editor>>,
    /// Nothing is started any more.
    ended: CancellationToken,
}

impl Service {
    /// `kin`: the variable by which a later worker finds what this one could not end.
    pub(super) fn new(config: Option<EditorConfig>, kin: (String, String)) -> Self {
        Self { config, kin, running: Mutex::default(), ended: CancellationToken::new() }
    }

    pub(super) async fn answer(&self, call: EditorCall) -> Result<EditorState, Fault> {
        let mut running = self.running.lock().await;
        if running.as_ref().is_some_and(|editor| !editor.is_running()) {
            *running = None;
        }
        if running.is_none() && call == (EditorCall::Start {}) {
            *running = self.ended.run_until_cancelled(self.start()).await.flatten();
        }
        let token = running.as_ref().map(|editor| editor.token().to_owned());
        Ok(EditorState { running: token.is_some(), token })
    }

    /// `None` where there is none, or it does not come up: whoever asked can do nothing about it.
    async fn start(&self) -> Option<Editor> {
        let config = self.config.as_ref().filter(|config| config.program.is_file())?;
        match Editor::start(config, &self.kin).await {
            Ok(editor) => Some(editor),
            Err(error) => {
                tracing::warn!(%error, "the editor does not start");
                None
            }
        }
    }

    /// Also of calls that wait by then nothing is started any more, and none is waited for.
    pub(super) async fn end(&self) {
        self.ended.cancel();
        let editor = self.running.lock().await.take();
        if let Some(editor) = editor {
            editor.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::program::PATIENCE;
    use super::*;

    #[tokio::test]
    async fn an_editor_that_is_asked_for_at_the_end_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let service = service_of(&folder, "echo Server bound to a port\nsleep 1000\n");
        assert!(service.answer(EditorCall::Start {}).await.unwrap().running);
        service.end().await;
        assert!(!service.answer(EditorCall::Start {}).await.unwrap().running);
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_an_editor_that_does_not_come_up() {
        let folder = tempfile::tempdir().unwrap();
        let (service, begun) =
            (service_of(&folder, "touch \"$0.begun\"\nsleep 1000\n"), folder.path().join("editor.begun"));
        let ended = async {
            while !begun.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let in_time = tokio::time::timeout(PATIENCE / 3, service.end()).await;
            assert!(in_time.is_ok());
        };
        let (answered, ()) = tokio::join!(service.answer(EditorCall::Start {}), ended);
        assert!(!answered.unwrap().running);
    }

    fn service_of(folder: &TempDir, script: &str) -> Service {
        let program = folder.path().join("editor");
        std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let config = EditorConfig { program, port: 1, base_path: None };
        Service::new(Some(config), ("MANYHANDS_CONVERSATION".to_owned(), "x".to_owned()))
    }
}
