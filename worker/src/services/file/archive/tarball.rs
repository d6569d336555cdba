//! A folder as a compressed tar file, with a list of what is in it.
//!
//! The tree belongs to the agent, which may change it meanwhile and may have made it to do harm. So it is walked
//! from open folder to open folder, with a stack of our own: a name is looked up in the folder that was entered,
//! and no symlink is followed on the way. What is no file or folder is left out. Depth, names, bytes and time have an
//! end, and the walk stops when nobody waits for it any more.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use serde_json::json;
use tar::{Builder, EntryType, Header};
use tokio_util::sync::CancellationToken;
use tools::open::{self, Opened, Symlink};

use super::excludes::Excludes;
use super::limits::{DEEPEST, Failure, Limits, Watch};

const MANIFEST: &str = "archive_manifest.json";

/// Symlinks and special files are left out; what vanishes meanwhile, too.
///
/// # Errors
/// What cannot be read or written, or a limit that is reached; also when `stop` is cancelled.
pub(super) fn write(
    folder: &Path,
    excludes: &Excludes,
    file: File,
    limits: Limits,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let packed = GzEncoder::new(BufWriter::with_capacity(256 * 1024, file), Compression::fast());
    let watch = Watch { limits, began: Instant::now(), stop };
    let tar = Builder::new(packed);
    let mut tarball = Tarball { tar, folder, excludes, watch, waiting: 0, files: 0, bytes: 0 };
    tarball.tree()?;
    tarball.manifest()?;
    Ok(tarball.tar.into_inner()?.finish()?.flush()?)
}

struct Tarball<'a, W: Write> {
    tar: Builder<W>,
    folder: &'a Path,
    excludes: &'a Excludes,
    watch: Watch<'a>,
    /// Names of all levels that are still to come.
    waiting: usize,
    files: u64,
    bytes: u64,
}

/// A folder on the way down.
struct Level {
    folder: OwnedFd,
    /// From the root of the archive.
    inside: PathBuf,
    /// Those still to come, the next at the end.
    names: Vec<OsString>,
}

impl<W: Write> Tarball<'_, W> {
    fn tree(&mut self) -> Result<(), Failure> {
        let root = openat(CWD, self.folder, FOLDER, Mode::empty())?;
        let mut levels = vec![self.enter(root, PathBuf::new())?];
        while let Some(level) = levels.last_mut() {
            self.watch.look()?;
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            self.waiting -= 1;
            match self.add(level, &name) {
                Ok(None) => {}
                Ok(Some(_)) if levels.len() >= DEEPEST => return Err(Failure::TooDeep),
                Ok(Some(deeper)) => levels.push(deeper),
                Err(Failure::Io(error)) if is_passed_over(&error) => {
                    tracing::debug!(name = %name.to_string_lossy(), %error, "left out of an archive");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Adds what is called `name`; a folder is entered.
    fn add(&mut self, level: &Level, name: &OsString) -> Result<Option<Level>, Failure> {
        let inside = level.inside.join(name);
        let found = statat(&level.folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if self.excludes.has(&inside, kind == FileType::Directory) {
            return Ok(None);
        }
        match kind {
            FileType::Directory => {
                let folder = openat(&level.folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
                self.enter(folder, inside).map(Some)
            }
            FileType::RegularFile => {
                if let Opened::File(file) = open::at(&level.folder, Path::new(name), Symlink::Refuse)? {
                    self.file(&file, &inside)?;
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn enter(&mut self, folder: OwnedFd, inside: PathBuf) -> Result<Level, Failure> {
        let folder = File::from(folder);
        let mut header = Header::new_gnu();
        header.set_metadata(&folder.metadata()?);
        header.set_size(0);
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            self.watch.look()?;
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
            if self.waiting + names.len() > self.watch.limits.names {
                return Err(Failure::TooMany(self.watch.limits.names));
            }
        }
        self.waiting += names.len();
        names.sort_unstable_by(|one, other| other.cmp(one));
        // The empty name at the end is a slash, as for any folder in a tar file.
        self.tar.append_data(&mut header, self.member(&inside).join(""), io::empty())?;
        Ok(Level { folder: folder.into(), inside, names })
    }

    /// Always of the size that it had at first, as the size stands before the content.
    fn file(&mut self, file: &File, inside: &Path) -> Result<(), Failure> {
        let metadata = file.metadata()?;
        let bytes = self.bytes.saturating_add(metadata.len());
        if bytes > self.watch.limits.bytes {
            return Err(Failure::TooLarge(self.watch.limits.bytes));
        }
        let mut header = Header::new_gnu();
        header.set_metadata(&metadata);
        let content = Watched { file, watch: &self.watch }.chain(io::repeat(0)).take(metadata.len());
        let member = member(self.folder, inside);
        if let Err(error) = self.tar.append_data(&mut header, member, content) {
            self.watch.look()?;
            return Err(unfinished(error));
        }
        self.files += 1;
        self.bytes = bytes;
        Ok(())
    }

    fn manifest(&mut self) -> io::Result<()> {
        if std::fs::symlink_metadata(self.folder.join(MANIFEST)).is_ok() {
            return Ok(());
        }
        let manifest = json!({
            "excludes": self.excludes.texts(),
            "file_count": self.files,
            "format": "tar.gz",
            "source": name_of(self.folder).to_string_lossy(),
            "total_bytes": self.bytes,
        });
        let content = serde_json::to_vec_pretty(&manifest)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, self.member(Path::new(MANIFEST)), content.as_slice())
    }

    fn member(&self, inside: &Path) -> PathBuf {
        member(self.folder, inside)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A file that is read no further once the walk must end.
struct Watched<'a> {
    file: &'a File,
    watch: &'a Watch<'a>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.look().map_err(io::Error::other)?;
        self.file.read(buffer)
    }
}

fn member(folder: &Path, inside: &Path) -> PathBuf {
    Path::new(name_of(folder)).join(inside)
}

/// That of the folder alone: where it lies is nobody's business who gets the archive.
fn name_of(folder: &Path) -> &OsStr {
    folder.file_name().unwrap_or("root".as_ref())
}

fn is_passed_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

/// Half a file cannot be passed over: what follows would be read as its rest.
fn unfinished(error: io::Error) -> Failure {
    if is_passed_over(&error) { Failure::Io(io::Error::other(error)) } else { Failure::Io(error) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packed(folder: &Path, limits: Limits, stop: &CancellationToken) -> Result<(), Failure> {
        let file = tempfile::tempfile().unwrap();
        write(folder, &Excludes::new(&[], false), file, limits, stop)
    }

    #[test]
    fn packing_ends_where_time_or_names_do_and_when_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in 0..20 {
            std::fs::write(folder.path().join(name.to_string()), "x").unwrap();
        }
        let limits =
            |time: u64, names: usize| Limits { time: Duration::from_secs(time), names, ..Limits::default() };
        let stop = CancellationToken::new();
        assert!(packed(folder.path(), limits(60, 20), &stop).is_ok());
        assert!(matches!(packed(folder.path(), limits(60, 19), &stop), Err(Failure::TooMany(19))));
        assert!(matches!(packed(folder.path(), limits(0, 20), &stop), Err(Failure::TooSlow(_))));
        stop.cancel();
        assert!(matches!(packed(folder.path(), limits(60, 20), &stop), Err(Failure::Abandoned)));
    }
}
