//! What the tools of a conversation are made with.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use uuid::Uuid;

use crate::files::Edits;
use crate::secrets::{NoSecrets, Secrets};

/// What tools keep in the conversation's own folder.
const OBSERVATIONS: &str = "observations";
const EDITS: &str = "edits";
pub(crate) const TASKS: &str = "TASKS.json";
pub(crate) const NEW_TASKS: &str = ".TASKS.json.new";
const KEPT: [&str; 4] = [OBSERVATIONS, EDITS, TASKS, NEW_TASKS];
/// And what nobody keeps any more, or is not to be found until it is known whether its conversation stays.
const ASIDE: &str = ".aside-";

/// Where the tools of a conversation work and keep their files, and what they must hide.
#[derive(Clone)]
pub struct ToolContext {
    pub working_dir: PathBuf,
    /// The conversation's own folder: `TASKS.json`, `observations/`, `edits/`. Made when first needed.
    pub persistence_dir: PathBuf,
    pub secrets: Arc<dyn Secrets>,
    /// What programs that tools start find in their environment, whatever else they inherit.
    pub environment: Vec<(String, String)>,
    /// What these tools have changed, and can take back.
    pub edits: Edits,
}

impl ToolContext {
    /// Of a conversation without secrets.
    #[must_use]
    pub fn new(working_dir: impl Into<PathBuf>, persistence_dir: impl Into<PathBuf>) -> Self {
        let (working_dir, persistence_dir) = (working_dir.into(), persistence_dir.into());
        let edits = Edits::new(persistence_dir.join(EDITS));
        Self { working_dir, persistence_dir, secrets: Arc::new(NoSecrets), environment: Vec::new(), edits }
    }

    /// Where results that are too large for an event are kept.
    pub(crate) fn observations(&self) -> PathBuf {
        self.persistence_dir.join(OBSERVATIONS)
    }
}

/// Renames what the tools of a deleted conversation have kept in its own folder, which takes no time: what those of another one
/// with its id keep there from then on is not what [`remove_set_aside`] removes. Goes on as long as `goes_on` says so, which is
/// asked before every step.
///
/// # Errors
/// Why something is left as it was; `Interrupted` when it was told to end.
pub fn set_aside(persistence_dir: &Path, deletion: Uuid, goes_on: impl Fn() -> bool) -> io::Result<()> {
    let renamed = KEPT.map(|name| {
        if !goes_on() {
            return Err(ErrorKind::Interrupted.into());
        }
        // Beside it: a folder that may not be written can be moved nowhere else.
        let aside = aside(persistence_dir, deletion, name);
        let rename = || fs::rename(persistence_dir.join(name), &aside);
        match rename() {
            // An agent may have taken the right to write there away.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                fs::set_permissions(persistence_dir, fs::Permissions::from_mode(0o700))?;
                unless_absent(rename())
            }
            renamed => unless_absent(renamed),
        }
    });
    renamed.into_iter().collect()
}

/// Takes back what one deletion has [set aside](set_aside), but for what there is again by now.
///
/// # Errors
/// Why something stays aside.
pub fn put_back(persistence_dir: &Path, deletion: Uuid) -> io::Result<()> {
    let put_back = KEPT.map(|name| {
        let place = persistence_dir.join(name);
        match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                unless_absent(fs::rename(aside(persistence_dir, deletion, name), place))
            }
            found => found.map(drop),
        }
    });
    put_back.into_iter().collect()
}

/// Takes back what any deletion has [set aside](set_aside) of a conversation that is there: of each the latest, unless there is one
/// again by now. The others go.
///
/// # Errors
/// Why something stays aside.
pub fn put_all_back(persistence_dir: &Path) -> io::Result<()> {
    let found = match fs::read_dir(persistence_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let mut aside = Vec::new();
    for entry in found {
        let entry = entry?;
        if let Some(kept) = entry.file_name().to_str().and_then(kept_aside) {
            let known = entry.metadata()?;
            // Renaming changes it, and nothing else does then.
            aside.push(((known.ctime(), known.ctime_nsec()), entry.path(), kept));
        }
    }
    aside.sort();
    aside.into_iter().rev().try_for_each(|(_, path, kept)| {
        let place = persistence_dir.join(kept);
        match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(path, place),
            found => found.and_then(|_| trees::remove(&path)),
        }
    })
}

/// What is aside under this name.
fn kept_aside(name: &str) -> Option<&'static str> {
    let (_, of) = name.strip_prefix(ASIDE)?.split_once('-')?;
    KEPT.into_iter().find(|kept| kept.trim_start_matches('.') == of)
}

fn aside(persistence_dir: &Path, deletion: Uuid, name: &str) -> PathBuf {
    persistence_dir.join(format!("{ASIDE}{}-{}", deletion.simple(), name.trim_start_matches('.')))
}

/// What is absent need not be renamed.
fn unless_absent(renamed: io::Result<()>) -> io::Result<()> {
    match renamed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes what is [set aside](set_aside) in the folder, and the folder if nothing else is in it.
///
/// # Errors
/// Why something is left. The rest is removed all the same.
pub fn remove_set_aside(persistence_dir: &Path) -> io::Result<()> {
    let found = match fs::read_dir(persistence_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let mut removed = Ok(());
    for entry in found {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(ASIDE.as_bytes()) {
            removed = removed.and(trees::remove(&entry.path()));
        }
    }
    removed?;
    match fs::remove_dir(persistence_dir) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

impl fmt::Debug for ToolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { working_dir, persistence_dir, .. } = self;
        f.debug_struct("ToolContext")
            .field("working_dir", working_dir)
            .field("persistence_dir", persistence_dir)
            .finish_non_exhaustive()
    }
}
