//! An editor in the browser, OpenVSCode Server, where the image has one.
//!
//! It is started when somebody wants to open it, and not before: it takes some hundred megabytes of memory. What opens it is
//! a token of its own; whoever has that reaches the files of the workspace, and nothing of the API. It ends with the worker,
//! and whatever it has started with it.

mod program;

use std::path::PathBuf;

use ports::rpc::Fault;
use tokio::sync::Mutex;
use types::calls::{EditorCall, EditorState};

use program::Program;

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
    running: Mutex<Option<Program>>,
}

impl Service {
    pub(super) fn new(config: Option<EditorConfig>) -> Self {
        Self { config, running: Mutex::default() }
    }

    pub(super) async fn answer(&self, call: EditorCall) -> Result<EditorState, Fault> {
        let mut running = self.running.lock().await;
        if running.as_mut().is_some_and(|program| !program.is_running()) {
            *running = None;
        }
        if running.is_none() && call == (EditorCall::Start {}) {
            *running = self.start().await;
        }
        let token = running.as_ref().map(|program| program.token().to_owned());
        Ok(EditorState { running: token.is_some(), token })
    }

    /// `None` where there is none, or it does not come up: whoever asked can do nothing about it.
    async fn start(&self) -> Option<Program> {
        let config = self.config.as_ref().filter(|config| config.program.is_file())?;
        match Program::start(config).await {
            Ok(program) => Some(program),
            Err(error) => {
                tracing::warn!(%error, "the editor does not start");
                None
            }
        }
    }

    pub(super) async fn end(&self) {
        let program = self.running.lock().await.take();
        let Some(program) = program else { return };
        if tokio::task::spawn_blocking(move || program.end()).await.is_err() {
            tracing::warn!("the editor has not ended in order");
        }
    }
}
