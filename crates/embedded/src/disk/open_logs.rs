use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log_file::LogFile;
use super::make_folder;
use crate::place::Place;

/// How many logs nobody is using at the moment stay open.
const KEPT_OPEN: usize = 128;

/// The logs in use and some that lately were. All who use a log share one [`LogFile`], and with it its tail.
#[derive(Default)]
pub struct OpenLogs(Mutex<State>);

#[derive(Default)]
struct State {
    logs: HashMap<Place, Kept>,
    clock: u64,
}

/// Where a log is, and where it is noted that it has lost its front.
pub struct LogPaths {
    pub log: PathBuf,
    pub start: PathBuf,
}

struct Kept {
    log: Arc<LogFile>,
    last_used: u64,
}

/// What to do about a last line without an end when a log is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LastLine {
    CutIfTorn,
    /// It may be a change of the journal that is about to be done again.
    AsItIs,
}

impl OpenLogs {
    pub fn get(
        &self,
        place: &Place,
        paths: &LogPaths,
        last_line: LastLine,
    ) -> io::Result<Option<Arc<LogFile>>> {
        let mut state = self.lock();
        if let Some(log) = state.touch(place) {
            return Ok(Some(log));
        }
        let file = match OpenOptions::new().read(true).write(true).open(&paths.log) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        state.keep(place, file, noted_start(&paths.start)?, last_line).map(Some)
    }

    pub fn known(&self, place: &Place) -> Option<Arc<LogFile>> {
        self.lock().touch(place)
    }

    pub fn create(&self, place: &Place, paths: &LogPaths) -> io::Result<Arc<LogFile>> {
        let mut state = self.lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = match options.open(&paths.log) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                paths.log.parent().map_or(Ok(()), make_folder)?;
                options.open(&paths.log)?
            }
            file => file?,
        };
        state.keep(place, file, 0, LastLine::AsItIs)
    }

    /// Forgets a log while `remove` removes its file, so that nobody opens it in between.
    pub fn remove(&self, place: &Place, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        remove()?;
        state.logs.remove(place);
        Ok(())
    }

    pub fn clear(&self) {
        self.lock().logs.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self, place: &Place) -> Option<Arc<LogFile>> {
        self.clock += 1;
        let kept = self.logs.get_mut(place)?;
        kept.last_used = self.clock;
        Some(kept.log.clone())
    }

    fn keep(
        &mut self,
        place: &Place,
        file: File,
        start: u64,
        last_line: LastLine,
    ) -> io::Result<Arc<LogFile>> {
        let log = Arc::new(match last_line {
            LastLine::CutIfTorn => LogFile::open_whole(file, start, place)?,
            LastLine::AsItIs => LogFile::open(file, start, place)?,
        });
        self.make_room();
        self.clock += 1;
        self.logs.insert(place.clone(), Kept { log: log.clone(), last_used: self.clock });
        Ok(log)
    }

    /// Closes the log that was not used for longest. One that somebody holds stays: two with different tails
    /// must never meet.
    fn make_room(&mut self) {
        if self.logs.len() < KEPT_OPEN {
            return;
        }
        let unused = self.logs.iter().filter(|(_, kept)| Arc::strong_count(&kept.log) == 1);
        let oldest = unused.min_by_key(|(_, kept)| kept.last_used).map(|(place, _)| place.clone());
        if let Some(place) = oldest {
            self.logs.remove(&place);
        }
    }
}

/// 0 for a log that has lost nothing.
fn noted_start(path: &Path) -> io::Result<u64> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().parse().unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Area;

    #[test]
    fn idle_logs_are_closed_and_used_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let logs = OpenLogs::default();
        let create = |number: usize| {
            let place = Place { area: Area::BashEvents, path: format!("{number}.jsonl") };
            let log = folder.path().join(&place.path);
            let start = folder.path().join("none");
            let log = logs.create(&place, &LogPaths { log, start }).unwrap();
            (place, log)
        };
        let (used_place, used) = create(0);
        let idle: Vec<Place> = (1..KEPT_OPEN * 3).map(|number| create(number).0).collect();
        assert_eq!(logs.lock().logs.len(), KEPT_OPEN);
        used.write(0, b"x\n").unwrap();
        assert_eq!(logs.known(&used_place).unwrap().tail(), 2, "all who use it share it");
        assert!(logs.known(&idle[0]).is_none() && logs.known(idle.last().unwrap()).is_some());
    }
}
