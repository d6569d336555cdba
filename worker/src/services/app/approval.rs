//! What was approved by the user: a revision, and the artifact that it stood for then.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tools::open::{self, Symlink};
use types::app::App;

use super::folders::beside;

const MOST: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Approval {
    pub revision: String,
    pub platform: String,
    pub sha256: String,
    /// The digest of all that is known of the extension: where it is, and how its program is started.
    pub extension: String,
}

impl Approval {
    pub fn of(app: &App, platform: &str, sha256: &str) -> Self {
        let all = serde_json::to_vec(app).unwrap_or_default();
        Self {
            revision: app.revision.clone(),
            platform: platform.to_owned(),
            sha256: sha256.to_owned(),
            extension: types::hex(&Sha256::digest(all)),
        }
    }

    /// `None` where there is none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&open::content(path, Symlink::Refuse, MOST).ok()?).ok()
    }

    /// # Errors
    /// Where it cannot be removed.
    pub fn forget(path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = beside(path);
        open::fresh(&beside, 0o600)?.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(beside, path)
    }
}

/// The platform of this machine, as manifests call it; `None` for one they do not know.
pub(super) fn platform() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("linux-amd64"),
        ("linux", "aarch64") => Some("linux-arm64"),
        _ => None,
    }
}
