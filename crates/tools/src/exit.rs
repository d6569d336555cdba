//! Learning that a child has ended without reaping it: until it is reaped no other process can have its number.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// The end of a child of this process.
pub struct Exit {
    child: Pid,
    end: End,
}

/// How the end is learned.
enum End {
    Polled(AsyncFd<OwnedFd>),
    /// Where the kernel has no pidfd.
    Waited(JoinHandle<io::Result<Option<WaitIdStatus>>>),
}

impl Exit {
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The runtime cannot watch one more file.
    pub fn of(child: Pid) -> io::Result<Self> {
        let end = match pidfd_open(child, PidfdFlags::empty()) {
            Ok(handle) => End::Polled(watched(handle)?),
            Err(_) => End::Waited(tokio::task::spawn_blocking(move || look(child, WaitIdOptions::empty()))),
        };
        Ok(Self { child, end })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The child is reaped already.
    ///
    /// # Cancel safety
    /// Safe, but not to be called again after it has answered.
    pub async fn status(&mut self) -> io::Result<Option<WaitIdStatus>> {
        match &mut self.end {
            End::Polled(handle) => loop {
                let mut ready = handle.readable().await?;
                if let Some(status) = look(self.child, WaitIdOptions::NOHANG)? {
                    return Ok(Some(status));
                }
                ready.clear_ready();
            },
            End::Waited(status) => status.await.map_err(io::Error::other)?,
        }
    }
}

fn look(child: Pid, how: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
    Ok(waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how)?)
}

#[expect(deprecated, reason = "its safe successor does not exist; an owned descriptor stays the same one")]
fn watched(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(handle)
}
