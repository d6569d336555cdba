//! Unpacks an artifact: regular files and folders, nothing that leads out, nothing twice, and not without end.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry};

use super::bounds::{Bound, Bounded, Bounds};
use super::entries::Walk;

/// Of a path.
const MOST_LENGTH: usize = 1_024;
const MOST_DEPTH: usize = 64;

/// What the user is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("backend artifact is not a valid gzip tar archive")]
    NoArchive(#[source] io::Error),
    #[error("backend artifact contains an unsafe archive entry")]
    Unsafe,
    #[error("backend artifact contains no files after stripping")]
    Empty,
    #[error("backend artifact unpacks to more than is kept")]
    TooLarge,
    #[error("backend artifact takes too long to unpack")]
    TooSlow,
    #[error("nobody waits for the backend artifact any more")]
    Ended,
    #[error("backend artifact cannot be unpacked")]
    Io(#[source] io::Error),
}

impl Error {
    pub fn of_reading(error: io::Error) -> Self {
        match Bound::of(&error) {
            Some(Bound::Bytes) => Self::TooLarge,
            Some(Bound::Time) => Self::TooSlow,
            Some(Bound::Ended) => Self::Ended,
            None => Self::NoArchive(error),
        }
    }
}

/// From where the file stands into an empty folder; `strip`: so many folders of each path are left out. What comes of it cannot be written.
///
/// # Errors
/// Where it is not all of that, or more than its bounds. What was unpacked before is left.
pub(super) fn unpack(packed: &File, folder: &Path, strip: usize, bounds: &Bounds) -> Result<(), Error> {
    let mut archive = Archive::new(Bounded::new(MultiGzDecoder::new(BufReader::new(packed)), bounds));
    let mut entries = Walk::through(&mut archive, bounds.entries, bounds.bytes)?;
    let (mut seen, mut folders) = (BTreeSet::new(), BTreeSet::new());
    let mut path_bytes = bounds.path_bytes;
    let mut keep = |path: &Path| -> Result<PathBuf, Error> {
        path_bytes = path_bytes.checked_sub(path.as_os_str().len()).ok_or(Error::TooLarge)?;
        Ok(path.to_owned())
    };
    while let Some((path, mut entry)) = entries.next_entry()? {
        let Some(path) = inside(&path, strip)? else { continue };
        let (place, kind) = (folder.join(&path), entry.header().entry_type());
        let above = if kind.is_dir() { Some(path.as_path()) } else { path.parent() };
        for folder in above.into_iter().flat_map(Path::ancestors) {
            if folders.contains(folder) {
                break;
            }
            folders.insert(keep(folder)?);
        }
        if folders.len() > bounds.entries {
            return Err(Error::TooLarge);
        }
        if !seen.insert(keep(&path)?) {
            return Err(Error::Unsafe);
        }
        if kind.is_dir() {
            std::fs::create_dir_all(&place).map_err(Error::Io)?;
        } else if kind.is_file() {
            write(&mut entry, &place)?;
        } else {
            return Err(Error::Unsafe);
        }
    }
    if seen.is_empty() {
        return Err(Error::Empty);
    }
    // The deepest first: in what cannot be written nothing can be changed any more.
    for path in folders.iter().rev() {
        std::fs::set_permissions(folder.join(path), Permissions::from_mode(0o555)).map_err(Error::Io)?;
    }
    Ok(())
}

/// The path without its first folders; `None` where nothing is left.
fn inside(path: &Path, strip: usize) -> Result<Option<PathBuf>, Error> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Error::Unsafe),
        }
    }
    if parts.len() > MOST_DEPTH || path.as_os_str().len() > MOST_LENGTH {
        return Err(Error::Unsafe);
    }
    let kept: PathBuf = parts.into_iter().skip(strip).collect();
    Ok((!kept.as_os_str().is_empty()).then_some(kept))
}

fn write(entry: &mut Entry<'_, impl Read>, place: &Path) -> Result<(), Error> {
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(Error::Io)?;
    }
    let mode = entry.header().mode().map_err(Error::NoArchive)? & 0o555;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(place).map_err(Error::Io)?;
    io::copy(entry, &mut file).map_err(Error::of_reading)?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(Error::Io)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::{Duration, Instant};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, EntryType, Header};
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;

    use super::*;

    type Packing = Builder<GzEncoder<File>>;

    type Pack<'a> = &'a dyn Fn(&mut Packing);

    /// What becomes of an archive within bounds, and where it was unpacked.
    fn unpacked(
        pack: impl FnOnce(&mut Packing),
        strip: usize,
        bounds: &Bounds,
    ) -> (Result<(), Error>, TempDir) {
        let world = tempfile::tempdir().unwrap();
        let (packed, folder) = (world.path().join("packed"), world.path().join("folder"));
        let mut packing = Builder::new(GzEncoder::new(File::create(&packed).unwrap(), Compression::fast()));
        pack(&mut packing);
        packing.into_inner().unwrap().finish().unwrap();
        std::fs::create_dir(&folder).unwrap();
        let result = unpack(&File::open(&packed).unwrap(), &folder, strip, bounds);
        (result, world)
    }

    fn bounds() -> Bounds {
        let until = Instant::now() + Duration::from_secs(60);
        Bounds { bytes: 1 << 20, entries: 10, path_bytes: 1_000, until, ended: CancellationToken::new() }
    }

    /// An entry of so many zeros.
    fn add(packing: &mut Packing, kind: EntryType, path: &str, size: u64) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(path).unwrap();
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        packing.append(&header, io::repeat(0).take(size)).unwrap();
    }

    fn file(packing: &mut Packing, path: &str, size: u64) {
        add(packing, EntryType::Regular, path, size);
    }

    #[test]
    fn an_archive_of_anything_but_files_and_folders_is_refused() {
        use EntryType::{Block, Char, Fifo, GNUSparse, Link, Symlink};
        for kind in [Symlink, Link, Char, Block, Fifo, GNUSparse] {
            let (result, _world) = unpacked(|packing| add(packing, kind, "a", 0), 0, &bounds());
            assert!(matches!(result, Err(Error::Unsafe)), "{kind:?}: {result:?}");
        }
    }

    #[test]
    fn what_stands_ahead_of_an_entry_does_not_fill_the_memory() {
        use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
        for kind in [GNULongName, GNULongLink, XHeader, XGlobalHeader] {
            let pack = |packing: &mut Packing| {
                add(packing, kind, "ahead", 100 << 10);
                file(packing, "a", 1);
            };
            let (result, _world) = unpacked(pack, 0, &bounds());
            assert!(matches!(result, Err(Error::Unsafe)), "{kind:?}: {result:?}");
        }
    }

    #[test]
    fn an_entry_with_two_lengths_is_refused() {
        let pack = |packing: &mut Packing| {
            packing.append_pax_extensions([("size", &b"1024"[..])]).unwrap();
            file(packing, "a", 0);
        };
        let (result, _world) = unpacked(pack, 0, &bounds());
        assert!(matches!(result, Err(Error::Unsafe)), "{result:?}");
    }

    #[test]
    fn a_long_name_is_kept_however_it_is_told() {
        let name = format!("{}/{}", "a".repeat(90), "b".repeat(90));
        let pack = |packing: &mut Packing| {
            let mut header = Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            packing.append_data(&mut header, &name, &b"x"[..]).unwrap();
            packing.append_pax_extensions([("path", &b"c/d"[..])]).unwrap();
            file(packing, "short", 1);
        };
        let (result, world) = unpacked(pack, 0, &bounds());
        assert!(result.is_ok(), "{result:?}");
        for name in [name.as_str(), "c/d"] {
            assert!(world.path().join("folder").join(name).is_file(), "{name}");
        }
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_refused_whether_it_is_kept_or_not() {
        let large = 2 << 20;
        let kept = |packing: &mut Packing| file(packing, "a", large);
        let passed_over = |packing: &mut Packing| (0..4).for_each(|_| file(packing, "a", large / 4));
        let folder = |packing: &mut Packing| add(packing, EntryType::Directory, "a/", large);
        let many = |packing: &mut Packing| (0..11).for_each(|_| file(packing, "a", 0));
        let deep = |packing: &mut Packing| file(packing, &"a/".repeat(11).as_str()[..21], 0);
        let named = |packing: &mut Packing| {
            ('a'..='g').for_each(|name| file(packing, &format!("{0}/{0}", name.to_string().repeat(49)), 0));
        };
        let cases: [(Pack<'_>, usize); 6] =
            [(&kept, 0), (&passed_over, 1), (&folder, 0), (&many, 1), (&deep, 0), (&named, 0)];
        for (case, (pack, strip)) in cases.into_iter().enumerate() {
            let (result, _world) = unpacked(pack, strip, &bounds());
            assert!(matches!(result, Err(Error::TooLarge)), "{case}: {result:?}");
        }
    }

    #[test]
    fn an_archive_that_was_packed_in_pieces_is_unpacked_whole() {
        let world = tempfile::tempdir().unwrap();
        let (packed, folder) = (world.path().join("packed"), world.path().join("folder"));
        let mut archive = Builder::new(Vec::new());
        for name in ["a", "b"] {
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, io::empty()).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        // Between the entries.
        let pieces = archive.split_at(512);
        let mut packing = File::create(&packed).unwrap();
        for piece in [pieces.0, pieces.1] {
            let mut piece_packing = GzEncoder::new(&mut packing, Compression::fast());
            piece_packing.write_all(piece).unwrap();
            piece_packing.finish().unwrap();
        }
        std::fs::create_dir(&folder).unwrap();
        unpack(&File::open(&packed).unwrap(), &folder, 0, &bounds()).unwrap();
        assert!(folder.join("a").exists() && folder.join("b").exists());
    }

    #[test]
    fn unpacking_ends_at_its_time_and_when_nobody_waits() {
        let pack = |packing: &mut Packing| file(packing, "a", 1);
        let late = Bounds { until: Instant::now(), ..bounds() };
        let (result, _world) = unpacked(pack, 0, &late);
        assert!(matches!(result, Err(Error::TooSlow)), "{result:?}");
        let left = bounds();
        left.ended.cancel();
        let (result, _world) = unpacked(pack, 0, &left);
        assert!(matches!(result, Err(Error::Ended)), "{result:?}");
    }

    #[test]
    fn what_was_unpacked_cannot_be_written() {
        let (result, world) = unpacked(|packing| file(packing, "a/b", 1), 0, &bounds());
        assert!(result.is_ok(), "{result:?}");
        for (place, mode) in [("", 0o555), ("a", 0o555), ("a/b", 0o444)] {
            let metadata = world.path().join("folder").join(place).metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{place}");
        }
    }
}
