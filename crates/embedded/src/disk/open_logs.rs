//! The log files that are open, and how many stay so.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::log_file::LogFile;
use super::make_folder;
use crate::place::Place;

/// How many logs nobody is using at the moment stay open.
const KEPT_OPEN: usize = 128;

/// The logs in use and some that lately were. All who use a log share one [`LogFile`], and with it its tail.
///
/// The lock on the map is held for a look into it only, so that it may be taken anywhere. Whoever opens, makes or removes
/// the file of a log holds the lock on its slot meanwhile: others who want that log wait, and nobody else.
#[derive(Default)]
pub struct OpenLogs(Mutex<State>);

#[derive(Default)]
struct State {
    logs: HashMap<Place, Kept>,
    clock: u64,
}

type Slot = Mutex<Held>;

/// What is known of a log's file.
#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    /// It is not there. Only [`OpenLogs::create`] makes it.
    Absent,
    Open(Arc<LogFile>),
}

/// Where a log is, and where it is noted that it has lost its front.
pub struct LogPaths {
    pub log: PathBuf,
    pub start: PathBuf,
}

struct Kept {
    slot: Arc<Slot>,
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
        let slot = self.slot(place);
        let mut held = slot.lock();
        if let Held::Open(log) = &*held {
            return Ok(Some(log.clone()));
        }
        let file = match OpenOptions::new().read(true).write(true).open(&paths.log) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *held = Held::Absent;
                return Ok(None);
            }
            file => file?,
        };
        let log = opened(place, file, noted_start(&paths.start)?, last_line)?;
        *held = Held::Open(log.clone());
        Ok(Some(log))
    }

    /// Where a log ends that is open, or known to be absent: without waiting for a disk.
    pub fn known_tail(&self, place: &Place) -> Option<u64> {
        let slot = self.0.lock().touch(place)?;
        let held = slot.try_lock()?;
        match &*held {
            Held::Nothing => None,
            Held::Absent => Some(0),
            Held::Open(log) => Some(log.tail()),
        }
    }

    pub fn create(&self, place: &Place, paths: &LogPaths) -> io::Result<Arc<LogFile>> {
        let slot = self.slot(place);
        let mut held = slot.lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = match options.open(&paths.log) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                paths.log.parent().map_or(Ok(()), make_folder)?;
                options.open(&paths.log)?
            }
            file => file?,
        };
        let log = opened(place, file, 0, LastLine::AsItIs)?;
        *held = Held::Open(log.clone());
        Ok(log)
    }

    /// Forgets a log while `remove` removes its file, so that nobody opens it in between.
    pub fn remove(&self, place: &Place, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let slot = self.slot(place);
        let mut held = slot.lock();
        remove()?;
        *held = Held::Absent;
        Ok(())
    }

    pub fn clear(&self) {
        self.0.lock().logs.clear();
    }

    fn slot(&self, place: &Place) -> Arc<Slot> {
        let mut state = self.0.lock();
        if let Some(slot) = state.touch(place) {
            return slot;
        }
        state.make_room();
        let (slot, last_used) = (Arc::<Slot>::default(), state.clock);
        state.logs.insert(place.clone(), Kept { slot: slot.clone(), last_used });
        slot
    }
}

fn opened(place: &Place, file: File, start: u64, last_line: LastLine) -> io::Result<Arc<LogFile>> {
    let log = match last_line {
        LastLine::CutIfTorn => LogFile::open_whole(file, start, place)?,
        LastLine::AsItIs => LogFile::open(file, start, place)?,
    };
    Ok(Arc::new(log))
}

impl State {
    fn touch(&mut self, place: &Place) -> Option<Arc<Slot>> {
        self.clock += 1;
        let kept = self.logs.get_mut(place)?;
        kept.last_used = self.clock;
        Some(kept.slot.clone())
    }

    /// Closes the log that was not used for longest, or forgets one that is not open. One that somebody holds stays: two
    /// with different tails must never meet.
    fn make_room(&mut self) {
        if self.logs.len() < KEPT_OPEN {
            return;
        }
        let unused = self.logs.iter().filter_map(|(place, kept)| {
            let held = kept.slot.try_lock().filter(|_| Arc::strong_count(&kept.slot) == 1)?;
            match &*held {
                Held::Open(log) if Arc::strong_count(log) > 1 => None,
                Held::Open(_) => Some((true, kept.last_used, place)),
                Held::Nothing | Held::Absent => Some((false, kept.last_used, place)),
            }
        });
        if let Some((_, _, oldest)) = unused.min_by_key(|(is_open, last_used, _)| (*is_open, *last_used)) {
            let oldest = oldest.clone();
            self.logs.remove(&oldest);
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
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

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
        assert_eq!(logs.0.lock().logs.len(), KEPT_OPEN);
        used.write(0, b"x\n").unwrap();
        assert_eq!(logs.known_tail(&used_place), Some(2), "all who use it share it");
        assert!(logs.known_tail(&idle[0]).is_none() && logs.known_tail(idle.last().unwrap()).is_some());
    }

    #[test]
    fn that_a_log_is_not_there_is_known_until_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let logs = OpenLogs::default();
        let place = Place { area: Area::BashEvents, path: "new.jsonl".to_owned() };
        let of = || LogPaths { log: folder.path().join(&place.path), start: folder.path().join("none") };
        assert_eq!(logs.known_tail(&place), None, "nobody has looked");
        assert!(logs.get(&place, &of(), LastLine::CutIfTorn).unwrap().is_none());
        assert_eq!(logs.known_tail(&place), Some(0));
        logs.create(&place, &of()).unwrap().write(0, b"x\n").unwrap();
        assert_eq!(logs.known_tail(&place), Some(2));
        logs.remove(&place, || fs::remove_file(of().log)).unwrap();
        assert_eq!(logs.known_tail(&place), Some(0));
        logs.create(&place, &of()).unwrap().write(0, b"longer\n").unwrap();
        assert_eq!(logs.known_tail(&place), Some(7));
    }

    #[test]
    fn who_waits_for_the_disk_keeps_nobody_waiting_who_wants_another_log() {
        let folder = tempfile::tempdir().unwrap();
        let logs = OpenLogs::default();
        let of = |name: &str| {
            let place = Place { area: Area::BashEvents, path: format!("{name}.jsonl") };
            let paths = LogPaths { log: folder.path().join(&place.path), start: folder.path().join("none") };
            (place, paths)
        };
        let (slow, slow_paths) = of("slow");
        let (open, open_paths) = of("open");
        logs.create(&slow, &slow_paths).unwrap();
        logs.create(&open, &open_paths).unwrap().write(0, b"x\n").unwrap();
        thread::scope(|scope| {
            let (began, begin) = mpsc::channel();
            let (finish, finished) = mpsc::channel::<()>();
            let logs = &logs;
            let removed = slow.clone();
            scope.spawn(move || {
                let removal = || {
                    began.send(()).unwrap();
                    let _ = finished.recv();
                    Ok(())
                };
                logs.remove(&removed, removal).unwrap();
            });
            begin.recv().unwrap();
            let (answer, answered) = mpsc::channel();
            scope.spawn(move || {
                let known = logs.known_tail(&open);
                let (new, paths) = of("new");
                logs.create(&new, &paths).unwrap();
                let there = logs.get(&new, &paths, LastLine::CutIfTorn).unwrap().is_some();
                answer.send((known, there, logs.known_tail(&slow).is_none())).unwrap();
            });
            let found = answered.recv_timeout(Duration::from_secs(20));
            drop(finish);
            assert_eq!(found, Ok((Some(2), true, true)));
        });
    }
}
