//! What the tasks of a role run on.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How long a thread that has waited for files stays for more of it. Each holds a stack: a server at rest needs none.
const IDLE_THREAD: Duration = Duration::from_millis(500);

/// # Errors
/// Where the system has no more threads, or files for it.
pub fn start() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_keep_alive(IDLE_THREAD).build()
}
