//! What the committer does with what it is given.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::journal::segment;
use crate::options::Options;
use crate::place::{Area, Place};

/// What a transaction of these tests does to the log.
enum What {
    Append(u64, Vec<u8>),
    Truncate(u64),
}

struct Change(What, oneshot::Sender<Result<()>>);

impl Transaction for Change {
    fn bytes(&self) -> usize {
        0
    }

    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        match &self.0 {
            What::Append(offset, bytes) => stage.frame.append(&log(), *offset, &[bytes]),
            What::Truncate(first_kept) => stage.frame.truncate(&log(), *first_kept),
        }
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        let _ = self.1.send(outcome);
    }
}

/// A committer without its thread.
struct World {
    _folder: TempDir,
    journal: PathBuf,
    disk: Arc<Disk>,
    committer: Committer,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Always);
        let disk = Arc::new(Disk::open(&options).unwrap());
        let journal = options.root.join("journal");
        crate::disk::make_folder(&journal).unwrap();
        let committer =
            Committer::new(journal.clone(), &[], disk.clone(), Fsync::Always, Arc::new(Queue::new()));
        Self { _folder: folder, journal, disk, committer }
    }

    fn run(&mut self, what: What) -> Result<()> {
        let (answer, mut answered) = oneshot::channel();
        self.committer.work_through(vec![Box::new(Change(what, answer))]);
        answered.try_recv().unwrap()
    }

    fn append(&mut self, offset: u64, text: &str) -> Result<()> {
        self.run(What::Append(offset, text.into()))
    }

    fn checkpoint(&mut self) {
        self.committer.end_segment();
        self.committer.checkpoints.collect();
    }

    fn segments(&self) -> Vec<u64> {
        segment::numbers(&self.journal).unwrap()
    }
}

fn log() -> Place {
    Place { area: Area::BashEvents, path: "_bash.jsonl".to_owned() }
}

fn fails() -> io::Result<()> {
    Err(io::Error::other("a test has it fail"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_a_failed_sync_may_have_dropped_is_written_again_before_its_segment_goes() {
    let mut world = World::new();
    world.append(0, "acknowledged\n").unwrap();
    world.disk.before_next_sync(fails);
    world.checkpoint();
    assert_eq!(world.segments(), [1], "the segment is kept");
    // As the system shows it once the page it could not write is read from the disk again.
    let file = world.disk.path(&log());
    fs::write(&file, "acknow\0\0\0\0\0\0\0").unwrap();
    world.checkpoint();
    assert_eq!(read(&file), "acknowledged\n");
    assert_eq!(world.segments(), [0; 0], "now it may go");
}

#[test]
fn where_a_log_begins_is_noted_again_after_a_failed_sync() {
    let mut world = World::new();
    world.append(0, "one\ntwo\n").unwrap();
    world.run(What::Truncate(8)).unwrap();
    world.disk.before_next_sync(fails);
    world.checkpoint();
    // The system could not write the note, and shows what is on the disk.
    let note = world.disk.path(&Place::start_of(&log()));
    fs::write(&note, "").unwrap();
    world.checkpoint();
    assert_eq!(read(&note), "4\n");
    assert_eq!(world.segments(), [0; 0]);
}

#[test]
fn a_segment_that_cannot_be_removed_goes_with_a_later_checkpoint() {
    let mut world = World::new();
    world.append(0, "one\n").unwrap();
    world.disk.before_next_sync(fails);
    world.checkpoint();
    world.append(4, "two\n").unwrap();
    // In the way of the second removal, after the first.
    let (second, away) = (segment::path(&world.journal, 2), world.journal.join("away"));
    let (path, to) = (second.clone(), away.clone());
    world.disk.before_next_sync(move || {
        fs::rename(&path, to)?;
        fs::create_dir(path)
    });
    world.checkpoint();
    assert_eq!(world.segments(), [2], "the first has gone");
    fs::remove_dir(&second).unwrap();
    fs::rename(&away, &second).unwrap();
    world.append(8, "three\n").unwrap();
    world.checkpoint();
    assert_eq!(world.segments(), [0; 0], "all go once they can");
    assert_eq!(read(&world.disk.path(&log())), "one\ntwo\nthree\n");
}

#[test]
fn a_segment_that_has_gone_was_applied() {
    let mut world = World::new();
    world.append(0, "one\n").unwrap();
    world.disk.before_next_sync(fails);
    world.checkpoint();
    world.append(4, "two\n").unwrap();
    fs::remove_file(segment::path(&world.journal, 1)).unwrap();
    world.checkpoint();
    assert_eq!(world.segments(), [0; 0]);
    assert_eq!(read(&world.disk.path(&log())), "one\ntwo\n");
}

#[test]
fn segments_end_while_a_checkpoint_still_runs() {
    let mut world = World::new();
    world.committer.limits.segment = 1;
    let (go_on, wait) = mpsc::channel::<()>();
    world.disk.before_next_sync(move || {
        let _ = wait.recv();
        Ok(())
    });
    let mut end = 0;
    for _ in 0..4 {
        world.append(end, "text\n").unwrap();
        end += 5;
    }
    assert_eq!(world.segments(), [1, 2, 3, 4], "each is bounded, whatever the disk does");
    drop(go_on);
    world.committer.checkpoints.collect();
    assert_eq!(world.segments(), [2, 3, 4], "what came after the sync began stays");
    world.append(end, "text\n").unwrap();
    world.committer.checkpoints.collect();
    assert_eq!(world.segments(), [0; 0]);
}

#[test]
fn a_journal_that_cannot_be_emptied_takes_nothing_in_until_it_can() {
    let mut world = World::new();
    world.committer.limits = Limits { segment: 1, journal: 4_000, patience: Duration::ZERO };
    let (mut end, line) = (0, format!("{}\n", "x".repeat(999)));
    let refused = loop {
        world.disk.before_next_sync(fails);
        if let Err(error) = world.append(end, &line) {
            break error;
        }
        world.committer.checkpoints.collect();
        end += 1_000;
        assert!(end < 20_000, "it is refused at some time");
    };
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    world.committer.checkpoints.collect();
    assert_eq!(fs::metadata(world.disk.path(&log())).unwrap().len(), end, "what was refused is not there");
    // The disk works again: the next request begins a checkpoint, and once that is over, requests are taken.
    let _ = world.disk.sync();
    let _ = world.append(end, &line);
    world.committer.checkpoints.collect();
    world.append(end, &line).unwrap();
    world.committer.checkpoints.collect();
    assert_eq!(world.segments(), [0; 0]);
}
