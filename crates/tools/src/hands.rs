//! Whom the agent's commands run as.
//!
//! In a sandbox the worker holds credentials that commands must not reach, so commands run as another user,
//! and what the worker makes in a workspace is given to that user. Like a process' own user it is chosen
//! once, at start; without a choice commands run as the worker does.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{fchown, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use types::placement::CommandUser;

use crate::folder::Folder;

static USER: OnceLock<CommandUser> = OnceLock::new();

/// Chooses the user. The worker needs the capabilities to change its own and files' owners.
///
/// # Errors
/// `user` again, when one was chosen before.
pub fn choose(user: CommandUser) -> Result<(), CommandUser> {
    USER.set(user)
}

/// Makes `command` run as the user, without further groups.
pub fn lend(command: &mut Command) {
    if let Some(user) = USER.get() {
        command.uid(user.uid).gid(user.gid);
    }
}

/// The same for a command on a terminal.
pub(crate) fn lend_terminal(command: pty_process::Command) -> pty_process::Command {
    match USER.get() {
        Some(user) => command.uid(user.uid).gid(user.gid),
        None => command,
    }
}

/// Gives an open file or folder to the user.
///
/// # Errors
/// Without the right to give files away.
pub fn give(file: impl AsFd) -> io::Result<()> {
    let Some(user) = USER.get() else { return Ok(()) };
    fchown(file, Some(user.uid), Some(user.gid))
}

/// Gives what is at `path` to the user; a symbolic link itself, not where it leads.
///
/// # Errors
/// Without the right to give files away.
pub fn give_path(path: &Path) -> io::Result<()> {
    let Some(user) = USER.get() else { return Ok(()) };
    lchown(path, Some(user.uid), Some(user.gid))
}

/// Makes a folder and those above it that are missing, and gives the new ones to the user.
///
/// # Errors
/// As [`std::fs::create_dir_all`], and as [`Folder::make`] where any are missing.
pub fn make_folders(path: &Path) -> io::Result<()> {
    if USER.get().is_none() {
        return std::fs::create_dir_all(path);
    }
    if path.is_dir() { Ok(()) } else { Folder::make(path).map(drop) }
}

/// Whom commands run as, where that is not who the worker runs as.
pub(crate) fn user() -> Option<&'static CommandUser> {
    USER.get()
}
