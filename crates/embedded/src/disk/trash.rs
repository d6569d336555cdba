//! Folders of conversations that are no more, on their way out.
//!
//! A folder holds whatever an agent has made, so its removal may take any time, and may fail. The journal therefore
//! only renames it to here, which takes no time and cannot half happen, and a thread of its own empties the trash: at
//! the start what an earlier process has left, and then whenever something comes in. What cannot be removed is
//! reported, and tried again at the next start. The thread ends between two steps when the store ends.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use super::make_folder;

/// No conversation and no sandbox is called so.
const NAME: &str = ".trash";

pub struct Trash {
    folder: PathBuf,
    next: AtomicU64,
    is_over: Arc<AtomicBool>,
    emptier: Mutex<Option<Emptier>>,
}

struct Emptier {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Trash {
    /// The trash of the folders in `area`. It is emptied from now on.
    pub fn open(area: &Path) -> io::Result<Self> {
        let (folder, is_over) = (area.join(NAME), Arc::new(AtomicBool::new(false)));
        let (wake, woken) = sync_channel(1);
        let emptying = empty_whenever(woken, folder.clone(), is_over.clone());
        let thread = thread::Builder::new().name("trash".to_owned()).spawn(emptying)?;
        let trash = Self {
            folder,
            next: AtomicU64::new(0),
            is_over,
            emptier: Mutex::new(Some(Emptier { wake, thread })),
        };
        trash.wake();
        Ok(trash)
    }

    /// Takes a folder away from where it is. An absent one is no error.
    pub fn take(&self, path: &Path) -> io::Result<()> {
        loop {
            let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
            match fs::rename(path, self.folder.join(name)) {
                Ok(()) => break,
                // Something of an earlier process has the name.
                Err(error) if is_taken(&error) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                    _ => make_folder(&self.folder)?,
                },
                // Of an image's own layer, or mounted.
                Err(error) if matches!(error.kind(), ErrorKind::CrossesDevices | ErrorKind::ResourceBusy) => {
                    return trees::remove(path);
                }
                Err(error) => return Err(error),
            }
        }
        self.wake();
        Ok(())
    }

    /// Ends the thread; what is still in the trash is removed after the next start.
    pub fn close(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        let emptier = self.emptier.lock().take();
        if let Some(Emptier { wake, thread }) = emptier {
            drop(wake);
            if thread.join().is_err() {
                tracing::error!("the thread that empties the trash has panicked");
            }
        }
    }

    fn wake(&self) {
        if let Some(emptier) = &*self.emptier.lock() {
            // One that was woken already looks at everything that is there.
            let _ = emptier.wake.try_send(());
        }
    }
}

impl Drop for Trash {
    fn drop(&mut self) {
        self.close();
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DirectoryNotEmpty
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
    )
}

fn empty_whenever(woken: Receiver<()>, folder: PathBuf, is_over: Arc<AtomicBool>) -> impl FnOnce() {
    move || {
        while woken.recv().is_ok() && !is_over.load(Ordering::Relaxed) {
            if let Err(error) = empty(&folder, &is_over) {
                tracing::warn!(folder = %folder.display(), %error, "the trash cannot be read");
            }
        }
    }
}

fn empty(folder: &Path, is_over: &AtomicBool) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        match trees::remove_while(&path, || !is_over.load(Ordering::Relaxed)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a deleted conversation's files stay")
            }
            Ok(()) => {}
        }
    }
    // Only if nothing is left in it.
    let _ = fs::remove_dir(folder);
    Ok(())
}
