//! Making and listing folders.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use ports::rpc::Fault;
use rustix::fs::{AtFlags, FileType, Mode, mkdirat, statat};
use rustix::io::Errno;
use tools::hands;
use types::calls::{HomeListing, Scope};
use types::files::{FileBrowserEntry, SubdirectoryEntry, SubdirectoryPage};

use super::super::fault::{bad_request, of_file};
use super::super::place::{self, FolderEntry, Missing};

const MOST_FAVORITES: usize = 50;

/// One that exists already is no error.
pub(super) fn make(scope: &Scope, path: &str) -> Result<(), Fault> {
    let Some(place) = FolderEntry::of(scope, Path::new(path), Missing::Make)? else { return Ok(()) };
    match mkdirat(&place.folder, &place.name, Mode::from_raw_mode(0o777)) {
        Ok(()) => {
            hands::give_at(&place.folder, &place.name).map_err(|error| of_file(&error, "Path not found"))
        }
        Err(Errno::EXIST) => {
            let found = statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW);
            let is_folder =
                found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
            if is_folder { Ok(()) } else { Err(bad_request("Path exists and is not a directory")) }
        }
        Err(error) => Err(of_file(&error.into(), "Path not found")),
    }
}

pub(super) fn home(include_hidden: bool) -> Result<HomeListing, Fault> {
    let home = std::env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/"));
    let mut favorites = folders_in(&home, include_hidden).unwrap_or_default();
    favorites.truncate(MOST_FAVORITES);
    let entry = |folder: SubdirectoryEntry| FileBrowserEntry { label: folder.name, path: folder.path };
    Ok(HomeListing {
        home: home.to_string_lossy().into_owned(),
        favorites: favorites.into_iter().map(entry).collect(),
        locations: vec![FileBrowserEntry { label: "/".into(), path: "/".into() }],
    })
}

/// The folders in a folder, from the one that `page_id` names on.
pub(super) fn list(
    path: &str,
    page_id: Option<&str>,
    limit: usize,
    include_hidden: bool,
) -> Result<SubdirectoryPage, Fault> {
    let path = Path::new(path);
    place::check(path)?;
    let about = fs::metadata(path).map_err(|error| of_file(&error, "Path not found"))?;
    if !about.is_dir() {
        return Err(bad_request("Path is not a directory"));
    }
    let mut items = folders_in(path, include_hidden)?;
    items.drain(..start_of(&items, page_id));
    let next_page_id = items.get(limit).map(|first| first.name.clone());
    items.truncate(limit);
    Ok(SubdirectoryPage { items, next_page_id })
}

/// An unknown cursor starts over.
fn start_of(items: &[SubdirectoryEntry], page_id: Option<&str>) -> usize {
    let Some(page_id) = page_id else { return 0 };
    let exact = items.iter().position(|item| item.name == page_id);
    exact.or_else(|| items.iter().position(|item| item.name.to_lowercase() == page_id)).unwrap_or(0)
}

/// By name in lower case, then by name; symlinks are left out.
fn folders_in(path: &Path, include_hidden: bool) -> Result<Vec<SubdirectoryEntry>, Fault> {
    let entries = fs::read_dir(path).map_err(|error| of_file(&error, "Path not found"))?;
    let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut folders: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(is_folder)
        .map(|entry| SubdirectoryEntry {
            name: entry.file_name().to_string_lossy().into_owned(),
            path: entry.path().to_string_lossy().into_owned(),
        })
        .filter(|folder| include_hidden || !folder.name.starts_with('.'))
        .collect();
    folders.sort_by_cached_key(|folder| (folder.name.to_lowercase(), folder.name.clone()));
    Ok(folders)
}
