//! The file that the journal is being written to.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::disk::absent_is_fine;

pub const MAGIC: &[u8; 8] = b"mhjrnl2\n";
pub const OLD_MAGIC: &[u8; 8] = b"mhjrnl1\n";
/// Zeros written after the frames when the file must grow. Most syncs then need not note a new length, which
/// spares them the journal of the file system: half of the time and more where others use the disk too.
const AHEAD_BYTES: usize = 256 << 10;
/// A write of as many bytes takes longer than its new length does: nothing is written ahead after it.
const LARGE_BYTES: usize = AHEAD_BYTES / 2;
const SUFFIX: &str = ".journal";

/// The file that frames are written to.
pub struct Segment {
    file: File,
    /// Of what is known to be good.
    length: u64,
    /// Of the file: zeros follow the good part.
    allocated: u64,
    /// How much of the good part is on the disk.
    synced: u64,
    /// What a voucher was written for.
    vouched: u64,
}

impl Segment {
    /// Makes segment `number`, durably; the folder and the one around it may be new too.
    pub fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = path(folder, number);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let written =
            file.write_all_at(MAGIC, 0).and_then(|()| folder.ancestors().take(2).try_for_each(sync_folder));
        if let Err(error) = written {
            fs::remove_file(&path)?;
            return Err(error);
        }
        let length = MAGIC.len() as u64;
        Ok(Self { file, length, allocated: length, synced: length, vouched: length })
    }

    /// How long a segment is that holds nothing yet.
    pub const fn empty_len() -> u64 {
        MAGIC.len() as u64
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    /// Writes after the good part, which does not grow before [`Segment::accept`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        let end = self.length + bytes.len() as u64;
        if end <= self.allocated {
            return Ok(());
        }
        self.allocated = end;
        if bytes.len() >= LARGE_BYTES {
            return Ok(());
        }
        match self.file.write_all_at(&vec![0; AHEAD_BYTES], end) {
            Ok(()) => self.allocated += AHEAD_BYTES as u64,
            // The frames found room, and only they are needed.
            Err(_) => self.file.set_len(end)?,
        }
        Ok(())
    }

    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Makes durable what was written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Notes that the good part was synced.
    pub fn note_synced(&mut self) {
        self.synced = self.length;
    }

    /// Whether all is on the disk, and nothing in the segment says so yet.
    pub fn lacks_voucher(&self) -> bool {
        self.synced == self.length && self.vouched < self.length
    }

    /// Notes that a voucher for all that is there was written, or at least tried.
    pub fn note_vouched(&mut self) {
        self.vouched = self.length;
    }

    /// Counts `bytes` that were written as good.
    pub fn accept(&mut self, bytes: usize) {
        self.length += bytes as u64;
    }

    /// Removes all after `length`, and nothing before.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.length = self.length.min(length);
        self.synced = self.synced.min(length);
        self.allocated = self.length;
        self.file.set_len(self.length)?;
        self.file.sync_data()
    }
}

/// The numbers of the segments in `folder`, oldest first.
pub fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|text| text.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Cuts a segment that is not written to any more.
pub fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_data()
}

/// Removes segments, oldest first and none after one that stays: whatever a crash leaves is then a whole tail of the
/// history. Answers those that have gone.
pub fn remove(folder: &Path, numbers: &[u64]) -> (Vec<u64>, io::Result<()>) {
    let mut gone = Vec::new();
    for number in numbers {
        if let Err(error) = absent_is_fine(fs::remove_file(path(folder, *number))) {
            return (gone, Err(error));
        }
        gone.push(*number);
    }
    (gone, sync_folder(folder))
}

pub fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}{SUFFIX}"))
}

pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
