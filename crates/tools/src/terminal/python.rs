//! Finding the `python` a shell would run, without asking the shell.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Remembers the answer for the last `$PATH`.
#[derive(Default)]
pub struct Python {
    known: Option<(String, String)>,
}

impl Python {
    /// The first executable `python` on `path`; empty when there is none.
    pub fn on_path(&mut self, path: &str) -> String {
        if let Some((known_path, python)) = &self.known
            && known_path == path
        {
            return python.clone();
        }
        let python = find(path).unwrap_or_default();
        self.known = Some((path.to_owned(), python.clone()));
        python
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
