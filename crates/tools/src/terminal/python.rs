//! Finding the `python` a shell would run, without asking the shell.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

/// Folders on a search path may be anywhere, also on a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The answer for a `$PATH`.
#[derive(Clone, Debug, Default)]
pub struct Python {
    path: String,
    pub program: String,
}

impl Python {
    /// The first executable `python` on `path`; empty when there is none, or none that is found in time.
    pub async fn on_path(self, path: &str) -> Self {
        if self.path == path {
            return self;
        }
        let path = path.to_owned();
        let searched = path.clone();
        let search = tokio::task::spawn_blocking(move || find(&searched));
        let found = tokio::time::timeout(PATIENCE, search).await;
        let program = found.ok().and_then(Result::ok).flatten().unwrap_or_default();
        Self { path, program }
    }
}

fn find(path: &str) -> Option<String> {
    let candidates = path.split(':').filter(|folder| !folder.is_empty());
    let mut candidates = candidates.map(|folder| format!("{}/python", folder.trim_end_matches('/')));
    candidates.find(|candidate| is_executable(Path::new(candidate)))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
