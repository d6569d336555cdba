//! What a file is, and pieces of it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ports::rpc::{Code, Fault};
use rustix::buffer::spare_capacity;
use rustix::fs::{fstat, fstatfs};
use types::calls::{FileChunk, FileStamp, FileStat, Scope};

use super::super::fault::{bad_request, of_file};
use super::super::place::{self, FolderEntry, Missing};
use super::buffers::{Buffers, Lent};
use super::open_files::{Held, Key, OpenFiles};
use tools::open::{self, Opened, Symlink};

/// Bytes in one piece, however many are asked for.
const LONGEST_READ: u64 = 4 * 1024 * 1024;

const MISSING: &str = "File not found";

pub(super) fn stat(files: &OpenFiles, scope: &Scope, path: &str) -> Result<FileStat, Fault> {
    let resolved = place::within(scope, Path::new(path))?;
    let Some(file) = open_existing(scope, path)? else {
        let stamp = FileStamp { inode: 0, size: 0, mtime: 0 };
        return Ok(FileStat { stamp, is_dir: true, path: text(&resolved), sized: true });
    };
    let stamp = stamp_of(&file).map_err(Fault::internal)?;
    let sized = !is_made_up(&file);
    let key = Key { scope: scope.clone(), path: path.to_owned(), stamp: stamp.clone() };
    files.put(key, Held { file: Arc::new(file), sized });
    Ok(FileStat { stamp, is_dir: false, path: text(&resolved), sized })
}

pub(super) fn chunk(
    files: &OpenFiles,
    buffers: &Arc<Buffers>,
    scope: &Scope,
    path: &str,
    offset: u64,
    len: u64,
    stamp: &FileStamp,
) -> Result<(FileChunk, Bytes), Fault> {
    let key = Key { scope: scope.clone(), path: path.to_owned(), stamp: stamp.clone() };
    let held = match files.get(&key) {
        Some(held) => held,
        None => {
            let file = open_existing(scope, path)?.ok_or_else(|| bad_request("Path is not a file"))?;
            let held = Held { sized: !is_made_up(&file), file: Arc::new(file) };
            files.put(key, held.clone());
            held
        }
    };
    let bytes = read_at(&held.file, buffers.lend(), offset, len.min(LONGEST_READ))
        .map_err(|error| of_file(&error, MISSING))?;
    // Looked at after the reading: so what was read belongs to the state that was asked for. Of what is made up only the
    // size says anything: a file of another kind has another one.
    let now = stamp_of(&held.file).map_err(Fault::internal)?;
    let is_same = if held.sized { now == *stamp } else { now.size == stamp.size };
    if !is_same {
        return Err(Fault::new(Code::Conflict, "The file has changed"));
    }
    Ok((FileChunk { len: bytes.len() as u64 }, bytes))
}

/// `None`: it is a folder.
fn open_existing(scope: &Scope, path: &str) -> Result<Option<File>, Fault> {
    let opened = if scope.workspace.is_none() {
        open::path(Path::new(path), Symlink::Follow)
    } else {
        let Some(place) = FolderEntry::of(scope, Path::new(path), Missing::Fail)? else { return Ok(None) };
        open::at(&place.folder, Path::new(&place.name), Symlink::Refuse).map_err(io::Error::from)
    };
    match opened.map_err(|error| of_file(&error, MISSING))? {
        Opened::File(file) => Ok(Some(file)),
        Opened::Folder => Ok(None),
        Opened::Other => Err(bad_request("Path is not a file")),
    }
}

fn stamp_of(file: &File) -> io::Result<FileStamp> {
    let stat = fstat(file)?;
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Ok(FileStamp {
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        mtime: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanoseconds),
    })
}

/// Files of `/proc`, `/sys` and the like are made while they are read.
fn is_made_up(file: &File) -> bool {
    const MADE_UP: [u64; 6] = [
        0x9fa0,      // proc
        0x6265_6572, // sysfs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup 2
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
    ];
    fstatfs(file).is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| MADE_UP.contains(&kind)))
}

fn read_at(file: &File, mut buffer: Lent, offset: u64, len: u64) -> io::Result<Bytes> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let bytes = buffer.bytes();
    bytes.reserve_exact(len);
    while bytes.len() < len {
        let at = offset.saturating_add(bytes.len() as u64);
        match rustix::io::pread(file, spare_capacity(bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(Bytes::from_owner(buffer))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
