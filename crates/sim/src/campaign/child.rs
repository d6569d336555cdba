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
    /// Does `work` in a copy of this process, which may take `patience` of a processor's time. To be called by the only thread there is.
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
                end_after(patience);
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

/// What one gets that waits for others, or for what never comes.
const STANDING_STILL: libc::c_uint = 600;

/// Has the system end this process once it has used so much of a processor's time: other work may keep it waiting, but not
/// for ever.
fn end_after(patience: Duration) {
    let limit = libc::rlimit { rlim_cur: patience.as_secs(), rlim_max: patience.as_secs() };
    // SAFETY: it reads the limit, which is there; the other reads nothing.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CPU, &raw const limit);
        libc::alarm(STANDING_STILL);
    }
}

/// Waits until one has ended; `None` where there is none.
pub fn any_that_ended() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: there is room for a status.
    let id = unsafe { libc::waitpid(-1, &raw mut status, 0) };
    (id > 0).then(|| Ended { id, is_well: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 })
}
