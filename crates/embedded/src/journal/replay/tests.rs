//! What a start makes of the segments it finds.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::journal::frame::FrameWriter;
use crate::journal::segment::MAGIC;
use crate::options::{Fsync, Options};
use crate::place::Area;

struct World {
    _folder: TempDir,
    journal: PathBuf,
    disk: Disk,
}

/// The number of its log, where it begins, what it says.
type Append<'a> = (u8, u64, &'a [u8]);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Always);
        let disk = Disk::open(&options).unwrap();
        let journal = options.root.join("journal");
        make_folder(&journal).unwrap();
        Self { _folder: folder, journal, disk }
    }

    /// Makes a segment of batches, each synced before the next; answers where its frames begin.
    fn segment(&self, number: u64, batches: &[&[Append<'_>]]) -> Vec<usize> {
        let (mut segment, mut starts) = (MAGIC.to_vec(), Vec::new());
        for batch in batches {
            let mut writer = FrameWriter::default();
            let base = segment.len();
            writer.begin(base as u64, base as u64);
            for (log, offset, bytes) in *batch {
                writer.append(&place(*log), *offset, &[bytes]);
                starts.push(base + writer.finish().unwrap().start);
            }
            segment.extend(writer.bytes());
        }
        fs::write(self.path(number), segment).unwrap();
        starts
    }

    fn damage(&self, number: u64, position: usize) -> Vec<u8> {
        let mut bytes = fs::read(self.path(number)).unwrap();
        bytes[position] ^= 1;
        fs::write(self.path(number), &bytes).unwrap();
        bytes
    }

    fn path(&self, number: u64) -> PathBuf {
        segment::path(&self.journal, number)
    }

    fn replay(&self) {
        replay(&self.journal, &self.disk).unwrap();
    }

    fn log(&self, log: u8) -> Option<String> {
        fs::read_to_string(self.disk.path(&place(log))).ok()
    }

    fn set_aside(&self) -> Vec<Vec<u8>> {
        let kept = fs::read_dir(self.journal.join("set-aside")).into_iter().flatten();
        kept.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

fn place(log: u8) -> Place {
    Place { area: Area::BashEvents, path: format!("_{log}.jsonl") }
}

#[test]
fn whole_frames_that_are_cut_with_a_torn_one_are_kept_aside() {
    let world = World::new();
    let starts = world.segment(1, &[&[(0, 0, b"a\n")], &[(1, 0, b"b\n"), (2, 0, b"c\n")]]);
    let whole = world.damage(1, starts[1] + 20);
    world.replay();
    assert_eq!((world.log(0).as_deref(), world.log(2)), (Some("a\n"), None));
    assert_eq!(world.set_aside(), [whole]);
}

#[test]
fn a_frame_that_is_torn_alone_is_cut_and_nothing_is_kept() {
    let world = World::new();
    let starts = world.segment(1, &[&[(0, 0, b"a\n")], &[(1, 0, b"b\n")]]);
    world.damage(1, starts[1] + 20);
    world.replay();
    assert_eq!(world.log(0).as_deref(), Some("a\n"));
    assert_eq!(world.set_aside(), Vec::<Vec<u8>>::new());
}

#[test]
fn only_what_the_journal_has_lost_is_filled_in() {
    let world = World::new();
    let batches: [&[Append<'_>]; 5] = [
        // Cut by hand, before anything is lost.
        &[(1, 40, b"of a cut log\n")],
        &[(2, 0, b"lost\n")],
        &[(2, 5, b"kept\n")],
        // Cut by hand, by more than was lost.
        &[(3, 5_000, b"of a cut log\n")],
        &[(4, 0, b"last\n")],
    ];
    let starts = world.segment(1, &batches);
    world.damage(1, starts[1] + 20);
    world.replay();
    assert_eq!(world.log(2).as_deref(), Some("    \nkept\n"));
    assert_eq!(world.log(4).as_deref(), Some("last\n"));
    for cut in [1, 3] {
        assert_eq!(world.log(cut).unwrap_or_default(), "", "nothing is made up for log {cut}");
    }
}

#[test]
fn a_large_gap_becomes_many_small_records() {
    let world = World::new();
    let lost = [&[b'x'; (1 << 20) - 1][..], b"\n"].concat();
    let starts = world.segment(1, &[&[(0, 0, &lost)], &[(0, 1 << 20, b"kept\n")]]);
    world.damage(1, starts[0] + 20);
    world.replay();
    let log = world.log(0).unwrap();
    assert_eq!(log.len(), (1 << 20) + 5, "what is kept is where it was");
    assert!(log.lines().all(|line| line.len() < 64 << 10));
    assert_eq!(log.lines().find(|line| !line.trim().is_empty()), Some("kept"));
}

#[test]
fn a_long_journal_is_done_again_in_little_memory() {
    const SEGMENTS: u64 = 12;
    const BYTES: usize = 8 << 20;
    let world = World::new();
    let line = [&[b'x'; BYTES - 1][..], b"\n"].concat();
    for number in 1..=SEGMENTS {
        world.segment(number, &[&[(0, (number - 1) * BYTES as u64, &line)]]);
    }
    let before = highest_memory();
    world.replay();
    let taken = highest_memory().saturating_sub(before);
    assert!(taken < 6 * BYTES, "{taken} bytes, of {}", BYTES * SEGMENTS as usize);
    let length = fs::metadata(world.disk.path(&place(0))).unwrap().len();
    assert_eq!(length, SEGMENTS * BYTES as u64);
}

/// The most that this process had in memory so far.
fn highest_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
