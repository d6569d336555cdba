//! What the tasks of a role run on.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How long a thread that has waited for files stays for more of it. Each holds a stack: a server at rest needs none.
const IDLE_THREAD: Duration = Duration::from_millis(500);

/// The same in a sandbox, whose agent may have taken all the threads there are by the time that more is to be done.
#[cfg(feature = "cluster")]
const IDLE_THREAD_OF_A_WORKER: Duration = Duration::from_secs(10);

/// # Errors
/// Where the system has no more threads, or files for it.
pub fn start() -> io::Result<Runtime> {
    start_with(IDLE_THREAD)
}

/// # Errors
/// As [`start`].
#[cfg(feature = "cluster")]
pub fn start_in_a_sandbox() -> io::Result<Runtime> {
    start_with(IDLE_THREAD_OF_A_WORKER)
}

fn start_with(idle: Duration) -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_keep_alive(idle).build()
}
