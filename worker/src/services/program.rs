//! Programs that users name and that speak over pipes, and the editor. Each is started in a process group of its own and with a
//! mark, so that whatever it begins ends with it, also where the program itself has ended before.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, test_kill_process_group, waitid,
};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{sleep, timeout};
use tools::exit::Exit;
use tools::hands;
use tools::offspring::{Mark, Offspring};

/// A program that was killed is over at once, unless the kernel keeps it.
const DEATH: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

/// The code of an end that the kernel does not describe.
const UNKNOWN: i32 = -1;

/// Ends when it is dropped, then without a chance to do so in order.
pub(super) struct Program {
    child: Child,
    /// Its number, which is that of its group: nobody else's until it is reaped, and that is done last.
    group: Pid,
    end: Exit,
    offspring: Option<Offspring>,
    is_reaped: bool,
}

impl Program {
    /// With pipes for what it reads and prints; `complaints` where what it complains of is read, too. In a tokio runtime.
    ///
    /// # Errors
    /// When the system does not start it.
    pub fn start(mut command: Command, mark: Mark, complaints: Stdio) -> io::Result<Self> {
        command
            .env(mark.name, &mark.value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .process_group(0);
        hands::lend(&mut command);
        let offspring = Offspring::of(mark);
        let mut child = command.spawn()?;
        let group = Pid::from_child(&child);
        match Exit::of(group) {
            Ok(end) => Ok(Self { child, group, end, offspring: Some(offspring), is_reaped: false }),
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// What it prints and what it reads. Once.
    ///
    /// # Errors
    /// When they were taken before.
    pub fn pipes(&mut self) -> io::Result<(ChildStdout, ChildStdin)> {
        let pipes = self.child.stdout.take().zip(self.child.stdin.take());
        let (output, input) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
        Ok((ChildStdout::from_std(output)?, ChildStdin::from_std(input)?))
    }

    /// What it complains of. Once, and where that was asked for.
    pub fn complaints(&mut self) -> Option<ChildStderr> {
        ChildStderr::from_std(self.child.stderr.take()?).ok()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// With what it has ended, if it has: that a signal has ended it is told by its number, below zero.
    pub fn end_code(&self) -> Option<i32> {
        let looking = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(self.group), looking) {
            Ok(status) => status.as_ref().map(code),
            Err(_) => Some(UNKNOWN),
        }
    }

    /// Asks it to end, gives it so long, and kills what is left of it. It is over when this returns.
    pub async fn end(mut self, grace: Duration) {
        if !grace.is_zero() && self.end_code().is_none() {
            let _ = kill_process_group(self.group, Signal::TERM);
            let _ = timeout(grace, self.end.status()).await;
        }
        let offspring = self.offspring.take();
        let ending = tokio::task::spawn_blocking(move || offspring.map(Offspring::end));
        if ending.await.is_err() {
            tracing::warn!("what a program has started has not ended in order");
        }
        let group = self.group;
        let _ = kill_process_group(group, Signal::KILL);
        self.is_reaped = true;
        let reaping = tokio::task::spawn_blocking(move || waitid(WaitId::Pid(group), WaitIdOptions::EXITED));
        let over = async {
            let _ = reaping.await;
            // Those that are left of the group are reaped by somebody else.
            while test_kill_process_group(group).is_ok() {
                sleep(STEP).await;
            }
        };
        let _ = timeout(DEATH, over).await;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        let group = self.group;
        let _ = kill_process_group(group, Signal::KILL);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || waitid(WaitId::Pid(group), WaitIdOptions::EXITED));
        }
    }
}

fn code(status: &WaitIdStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| -signal)).unwrap_or(UNKNOWN)
}
