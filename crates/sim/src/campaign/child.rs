//! Processes that are copies of this one, each for one world.
#![expect(unsafe_code, reason = "no safe function copies a process")]

use std::io::{PipeReader, Write, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub struct Child {
    id: i32,
    words: PipeReader,
}

/// One that is over.
pub struct Ended {
    pub id: i32,
    pub is_well: bool,
}

impl Child {
    /// Does `work` in a copy of this process, which ends after `patience` in any case. To be called by the only thread there is.
    ///
    /// # Errors
    /// Where the system gives no more processes or files.
    pub fn begin(patience: Duration, work: impl FnOnce() -> String) -> std::io::Result<Self> {
        let (words, mut says) = pipe()?;
        // SAFETY: there is one thread, so nothing is half done in the copy.
        let id = unsafe { libc::fork() };
        match id {
            0 => {
                drop(words);
                let seconds = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX);
                // SAFETY: it only asks for a signal, which ends this process.
                unsafe { libc::alarm(seconds) };
                let said = catch_unwind(AssertUnwindSafe(work)).unwrap_or_default();
                let is_told = says.write_all(said.as_bytes()).is_ok();
                // SAFETY: nothing of this process has to be put in order: its parent does that.
                unsafe { libc::_exit(i32::from(!is_told)) }
            }
            -1 => Err(std::io::Error::last_os_error()),
            id => Ok(Self { id, words }),
        }
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    pub fn words(&mut self) -> &mut PipeReader {
        &mut self.words
    }
}

/// Waits until one has ended; `None` where there is none.
pub fn any_that_ended() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: there is room for a status.
    let id = unsafe { libc::waitpid(-1, &raw mut status, 0) };
    (id > 0).then(|| Ended { id, is_well: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 })
}
