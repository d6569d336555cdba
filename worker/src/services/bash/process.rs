//! One shell in a process group of its own.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use tokio::net::unix::pipe::Receiver;
use tools::exit::Exit;
use tools::hands;
use types::bash::BashCommand;

use super::remains::MARK;

/// The shell stays unreaped while this lives, so its process group cannot become somebody else's.
/// Dropping it ends the group's every process, unless they were left alone.
pub(super) struct Group {
    shell: Child,
    id: Pid,
    end: Exit,
    left_alone: bool,
}

pub(super) struct Spawned {
    pub(super) group: Group,
    pub(super) stdout: Option<Receiver>,
    pub(super) stderr: Option<Receiver>,
}

/// Starts `/bin/sh -c command`.
///
/// # Errors
/// When the folder is missing or the system refuses a process or a pipe.
pub(super) fn spawn(
    BashCommand { command, id, .. }: &BashCommand,
    cwd: &Path,
    environment: &[(OsString, OsString)],
) -> io::Result<Spawned> {
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(command)
        .current_dir(cwd)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(MARK, id)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    hands::lend(&mut shell);
    let mut shell = shell.spawn()?;
    let (stdout, stderr) = (shell.stdout.take(), shell.stderr.take());
    let group = Group::of(shell)?;
    let stdout = stdout.map(|pipe| receiver(pipe.into())).transpose()?;
    let stderr = stderr.map(|pipe| receiver(pipe.into())).transpose()?;
    Ok(Spawned { group, stdout, stderr })
}

fn receiver(pipe: OwnedFd) -> io::Result<Receiver> {
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    Receiver::from_owned_fd_unchecked(pipe)
}

impl Group {
    fn of(mut shell: Child) -> io::Result<Self> {
        let id = Pid::from_child(&shell);
        let end = Exit::of(id);
        match end {
            Ok(end) => Ok(Self { shell, id, end, left_alone: false }),
            Err(error) => {
                let _ = shell.kill();
                let _ = shell.wait();
                Err(error)
            }
        }
    }

    /// Waits for the shell's end: its exit code, or -N where signal N ended it.
    ///
    /// # Cancel safety
    /// Safe, but not to be called again after it has answered.
    pub(super) async fn shell_ended(&mut self) -> io::Result<i32> {
        Ok(self.end.status().await?.as_ref().map_or(UNKNOWN, code))
    }

    /// A group without processes is no error.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }

    /// The shell has ended; children that it left in the background may go on.
    pub(super) fn leave_alone(mut self) {
        self.left_alone = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.left_alone {
            self.signal(Signal::KILL);
        }
        if let Ok(None) = self.shell.try_wait() {
            let id = self.id;
            // It was killed just now; only a process stuck in the kernel takes long.
            let reap = move || waitid(WaitId::Pid(id), WaitIdOptions::EXITED);
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn_blocking(reap);
            }
        }
    }
}

/// The exit code of an end that the kernel did not describe.
const UNKNOWN: i32 = -1;

fn code(status: &WaitIdStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| -signal)).unwrap_or(UNKNOWN)
}
