//! The edits of a conversation, whatever tools make them.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::history::History;

/// What the tools of a conversation have changed. There is one edit at a time, so that two of one file cannot cross.
#[derive(Clone)]
pub struct Edits(Arc<Mutex<History>>);

impl Edits {
    /// Kept in `folder`; nothing is read or made yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(History::new(folder))))
    }

    /// Begins an edit, which ends with the guard. Blocks while there is another.
    pub(crate) fn begin(&self) -> MutexGuard<'_, History> {
        self.0.lock()
    }
}
