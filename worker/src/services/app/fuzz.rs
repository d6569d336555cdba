//! Archives of any content: what is unpacked stays in its folder, and is files and folders alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tar::Header;
use tokio_util::sync::CancellationToken;
use tools::open::{Symlink, content};

use super::bounds::Bounds;
use super::unpack::unpack;

#[derive(Clone, Debug)]
struct Piece {
    path: Vec<u8>,
    link: Vec<u8>,
    kind: u8,
    mode: u32,
    data: Vec<u8>,
    /// Where it is not that of the data.
    size: Option<u64>,
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(
        &["..", ".", "", "a", "b", "canary", "\\", "ä", "\n", "very-long-name-of-a-folder"][..],
    );
    prop_oneof![vec(part, 1..6).prop_map(|parts| parts.join("/").into_bytes()), vec(any::<u8>(), 0..100),]
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let kind = prop::sample::select(&b"\x005123467LKgxSVZ0"[..]);
    let size = prop::option::weighted(0.1, any::<u64>());
    (any_path(), any_path(), kind, any::<u32>(), vec(any::<u8>(), 0..600), size)
        .prop_map(|(path, link, kind, mode, data, size)| Piece { path, link, kind, mode, data, size })
}

fn packed(pieces: &[Piece], flipped: Option<(usize, u8)>) -> Vec<u8> {
    let mut archive = Vec::new();
    for piece in pieces {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name.iter_mut().zip(&piece.path).for_each(|(to, from)| *to = *from);
        old.linkname.iter_mut().zip(&piece.link).for_each(|(to, from)| *to = *from);
        old.linkflag = [piece.kind];
        header.set_mode(piece.mode & 0o7777);
        header.set_size(piece.size.unwrap_or(piece.data.len() as u64));
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&piece.data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    if let Some((at, byte)) = flipped {
        let at = at % archive.len();
        archive[at] ^= byte;
    }
    archive
}

fn write(place: &Path, archive: &[u8]) {
    let mut packing = GzEncoder::new(File::create(place).unwrap(), Compression::fast());
    packing.write_all(archive).unwrap();
    packing.finish().unwrap();
}

fn bounds() -> Bounds {
    Bounds {
        bytes: 1 << 20,
        entries: 100,
        path_bytes: 1 << 16,
        until: Instant::now() + Duration::from_secs(60),
        ended: CancellationToken::new(),
    }
}

/// All files by their paths.
fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
        } else {
            found.insert(path, content(&entry.path(), Symlink::Refuse, 1 << 20).unwrap());
        }
    }
}

fn assert_is_plain(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        assert!(kind.is_dir() || kind.is_file(), "{} is {kind:?}", entry.path().display());
        if kind.is_dir() {
            assert_is_plain(&entry.path());
        }
    }
}

proptest! {
    #[test]
    fn no_archive_leads_out_of_its_folder(
        pieces in vec(any_piece(), 0..8),
        flipped in prop::option::of((any::<usize>(), any::<u8>())),
        strip in 0_usize..3,
    ) {
        let world = tempfile::tempdir().unwrap();
        let (folder, canary) = (world.path().join("folder"), world.path().join("canary"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&canary, "untouched").unwrap();
        let file = world.path().join("packed");
        write(&file, &packed(&pieces, flipped));
        let _ = unpack(&File::open(&file).unwrap(), &folder, strip, &bounds());
        assert_is_plain(&folder);
        let mut beside: Vec<_> = std::fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        prop_assert_eq!(beside, ["canary", "folder", "packed"]);
        prop_assert_eq!(std::io::read_to_string(File::open(&canary).unwrap().take(64)).unwrap(), "untouched");
        // Whatever modes it has, it can be removed again.
        trees::remove(&folder).unwrap();
    }

    #[test]
    fn an_archive_of_files_alone_is_unpacked_whole(
        // No file has the name of a folder.
        files in btree_map("([a-cä ]{1,2}/){0,3}[a-cä ]{1,3}[.]f", vec(any::<u8>(), 0..1_500), 1..8),
        mode in any::<u32>(),
        strip in 0_usize..3,
    ) {
        let world = tempfile::tempdir().unwrap();
        let (folder, file) = (world.path().join("folder"), world.path().join("packed"));
        std::fs::create_dir(&folder).unwrap();
        let piece = |(path, data): (&String, &Vec<u8>)| Piece {
            path: format!("{}{path}", "top/".repeat(strip)).into_bytes(),
            link: Vec::new(),
            kind: b'0',
            mode: mode | 0o444,
            data: data.clone(),
            size: None,
        };
        write(&file, &packed(&files.iter().map(piece).collect::<Vec<_>>(), None));
        unpack(&File::open(&file).unwrap(), &folder, strip, &bounds()).unwrap();
        let mut found = BTreeMap::new();
        collect(&folder, "", &mut found);
        prop_assert_eq!(found, files);
        trees::remove(&folder).unwrap();
    }
}
