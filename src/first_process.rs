//! The server as the first process of a container.
//!
//! What loses its parent in a container becomes a child of the first process, and stays a zombie until that one
//! asks for its end. A server that asks for the end of every child would take it from those of its own tasks that
//! wait for it. So the server becomes a child, and the first process does nothing but hand on signals and ask for
//! ends.
//!
//! An init such as `tini` does the same, and keeps the environment that it was started with: whoever runs commands
//! as the same user reads the server's keys in `/proc/1/environ`. This one starts itself anew without an
//! environment.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, getpid, kill_process, set_dumpable_behavior, wait,
};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// Says to the first process that it is the one in front, and of which child.
const CHILD: &str = "MANYHANDS_SERVER_PROCESS";

const HANDED_ON: [Signal; 6] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// `None`: this is not the first process, and is to serve itself. Otherwise the server is a child and has ended.
///
/// # Errors
/// When the child cannot be started, or this process cannot begin anew.
pub fn stand_before_server() -> anyhow::Result<Option<ExitCode>> {
    if !getpid().is_init() {
        return Ok(None);
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot protect the process")?;
    match std::env::var(CHILD) {
        Ok(child) => {
            let child =
                child.parse().ok().and_then(Pid::from_raw).context("the server's process is no number")?;
            stand(child).map(Some)
        }
        Err(_) => Err(start_server()?),
    }
}

/// Returns only what kept it from going on as the one in front.
fn start_server() -> anyhow::Result<anyhow::Error> {
    let program = std::env::current_exe().context("cannot find the own program")?;
    // In a group of its own: a terminal's Ctrl-C then comes once, by way of the first process.
    let mut server = Command::new(&program);
    let server = server.args(std::env::args_os().skip(1)).process_group(0);
    let child = server.spawn().context("cannot start the server as a child")?;
    let mut front = Command::new(program);
    let front = front.args(std::env::args_os().skip(1)).env_clear().env(CHILD, child.id().to_string());
    Ok(anyhow::Error::new(front.exec()).context("cannot start again with a clean environment"))
}

fn stand(child: Pid) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut ends = signal(SignalKind::child())?;
        for wanted in HANDED_ON {
            tokio::spawn(hand_on(signal(SignalKind::from_raw(wanted.as_raw()))?, wanted, child));
        }
        loop {
            if let Some(status) = collect(child)? {
                return Ok(as_code(status));
            }
            ends.recv().await;
        }
    })
}

async fn hand_on(mut signals: Signals, wanted: Signal, child: Pid) {
    while signals.recv().await.is_some() {
        // It may have ended already.
        let _ = kill_process(child, wanted);
    }
}

/// Asks for the end of all that have ended; how the server did, if it is among them.
fn collect(child: Pid) -> anyhow::Result<Option<ExitStatus>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => {
                return Ok(Some(ExitStatus::from_raw(status.as_raw())));
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error).context("cannot wait for the server"),
        }
    }
}

/// As shells tell it.
fn as_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_server_is_told_as_shells_tell_it() {
        let told = |raw| format!("{:?}", as_code(ExitStatus::from_raw(raw)));
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(told(0), code(0));
        assert_eq!(told(64 << 8), code(64));
        assert_eq!(told(9), code(137));
    }
}
