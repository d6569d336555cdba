//! A patch, carried out: everything that can be checked is checked before anything is written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::MOST_TOLD;
use super::find::patched;
use super::parse::{Change, Section};
use crate::files::{Before, History, Told, store};
use crate::hands;

/// Bytes of all files that a patch changes, before and after.
const MOST: usize = 64 * 1024 * 1024;

/// What is to be done with a file.
pub struct Step {
    /// As the model has written it.
    pub name: String,
    path: PathBuf,
    pub kind: Kind,
}

pub enum Kind {
    Add {
        text: String,
    },
    /// What it holds, if that is a text that an event can tell.
    Delete {
        text: Option<String>,
    },
    Update {
        before: Before,
        text: String,
        move_to: Option<Target>,
    },
}

pub struct Target {
    pub name: String,
    path: PathBuf,
}

/// The steps, and how far off the lines of the patch were.
pub struct Plan {
    pub steps: Vec<Step>,
    pub off: u64,
}

impl Plan {
    /// # Errors
    /// What cannot be done, in words for the model.
    pub fn of(sections: Vec<Section>, working_dir: &Path) -> Result<Self, String> {
        let root = fs::canonicalize(working_dir)
            .map_err(|error| format!("Ran into {error} while trying to reach {}", working_dir.display()))?;
        let workspace = Workspace { working_dir, root };
        let mut plan = Self { steps: Vec::new(), off: 0 };
        let (mut taken, mut held, mut deleted) = (BTreeSet::new(), 0, 0);
        for Section { path: name, change } in sections {
            let verb = verb(&change);
            let wrong = |what: &str| format!("{verb} File Error: {what}: {name}");
            let path = workspace.place(&name)?;
            if !taken.insert(path.clone()) {
                return Err(wrong("Duplicate Path"));
            }
            let meta = path.symlink_metadata().ok();
            if let Some(meta) = &meta
                && meta.is_dir()
            {
                return Err(wrong("Path is a directory"));
            }
            let kind = match change {
                Change::Add(_) if meta.is_some() => return Err(wrong("File already exists")),
                Change::Delete | Change::Update { .. } if meta.is_none() => {
                    return Err(wrong("Missing File"));
                }
                Change::Add(lines) => {
                    let text: String = lines.into_iter().map(|line| line + "\n").collect();
                    store::check_size(&path, text.len() as u64)?;
                    Kind::Add { text }
                }
                Change::Delete => {
                    let text = told(&path).filter(|text| deleted + text.len() <= MOST_TOLD);
                    deleted += text.as_ref().map_or(0, String::len);
                    Kind::Delete { text }
                }
                Change::Update { move_to, hunks } => {
                    let before = Before::read(&path)?;
                    let (text, off) = patched(&before.text, &hunks)?;
                    store::check_size(&path, before.size_with(&text))?;
                    plan.off += off;
                    held += before.text.len() + text.len();
                    if held > MOST {
                        return Err("The patch changes too much at once. Part it.".to_owned());
                    }
                    let move_to =
                        move_to.map(|name| workspace.target(name, &path, &mut taken)).transpose()?;
                    Kind::Update { before, text, move_to: move_to.flatten() }
                }
            };
            plan.steps.push(Step { name, path, kind });
        }
        Ok(plan)
    }
}

impl Step {
    /// Does it, and answers with what there is to say of it.
    ///
    /// # Errors
    /// Why it was not done, in words for the model.
    pub fn carry_out(&self, history: &mut History) -> Result<Option<String>, String> {
        match &self.kind {
            Kind::Add { text } => {
                make_folder(&self.path)?;
                store::create(&self.path, text.as_bytes())?;
            }
            Kind::Delete { .. } => {
                fs::remove_file(&self.path).map_err(|error| {
                    format!("Ran into {error} while trying to delete {}", self.path.display())
                })?;
            }
            Kind::Update { before, text, move_to } => {
                let is_changed = *text != before.text;
                let remark = if is_changed { before.save(&self.path, text, history)? } else { None };
                if let Some(target) = move_to {
                    make_folder(&target.path)?;
                    move_file(&self.path, &target.path)?;
                }
                return Ok(remark);
            }
        }
        Ok(None)
    }
}

struct Workspace<'a> {
    working_dir: &'a Path,
    /// The same without links.
    root: PathBuf,
}

impl Workspace<'_> {
    /// Where a path of the patch leads: below the working directory, also by way of the links that are there.
    fn place(&self, name: &str) -> Result<PathBuf, String> {
        let refused = || format!("Absolute or escaping paths are not allowed: {name}");
        let path = Path::new(name);
        let below = match path.is_absolute() {
            true => path
                .strip_prefix(self.working_dir)
                .or_else(|_| path.strip_prefix(&self.root))
                .map_err(|_| refused())?,
            false => path,
        };
        let below: PathBuf = below.components().filter(|part| *part != Component::CurDir).collect();
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || below.as_os_str().is_empty() {
            return Err(refused());
        }
        let path = self.working_dir.join(below);
        let there = path.ancestors().find(|path| path.symlink_metadata().is_ok()).ok_or_else(refused)?;
        let is_inside = fs::canonicalize(there).is_ok_and(|there| there.starts_with(&self.root));
        if is_inside { Ok(path) } else { Err(refused()) }
    }

    /// Where a file is moved; nowhere if it is there already.
    fn target(
        &self,
        name: String,
        from: &Path,
        taken: &mut BTreeSet<PathBuf>,
    ) -> Result<Option<Target>, String> {
        let path = self.place(&name)?;
        if path == from {
            return Ok(None);
        }
        if path.symlink_metadata().is_ok() || !taken.insert(path.clone()) {
            return Err(format!("Update File Error: Move target already exists: {name}"));
        }
        Ok(Some(Target { name, path }))
    }
}

/// What a file holds that is to go: to be deleted it need not be read.
fn told(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|meta| meta.len() <= Told::LONGEST as u64);
    if !is_small {
        return None;
    }
    Some(Before::read(path).ok()?.text)
}

fn verb(change: &Change) -> &'static str {
    match change {
        Change::Add(_) => "Add",
        Change::Delete => "Delete",
        Change::Update { .. } => "Update",
    }
}

fn make_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    hands::make_folders(folder)
        .map_err(|error| format!("Ran into {error} while trying to make the folder {}", folder.display()))
}

/// Mode, owner and other names stay as they are; what has come there meanwhile stays, too.
fn move_file(from: &Path, to: &Path) -> Result<(), String> {
    let moved = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can tell.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(from, to),
        moved => moved.map_err(io::Error::from),
    };
    moved.map_err(|error| {
        format!("Ran into {error} while trying to move {} to {}", from.display(), to.display())
    })
}
