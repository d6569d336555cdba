//! Making and listing folders.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use ports::rpc::Fault;
use rustix::fs::{AtFlags, FileType, statat};
use types::calls::{HomeListing, Scope};
use types::files::{FileBrowserEntry, SubdirectoryEntry, SubdirectoryPage};

use super::super::fault::{bad_request, of_file};
use super::super::place::{self, FolderEntry, Missing};

const MOST_FAVORITES: usize = 50;
/// Folders in one page, whatever is asked for.
const LONGEST_PAGE: usize = 1_000;

/// One that exists already is no error.
pub(super) fn make(scope: &Scope, path: &str) -> Result<(), Fault> {
    let Some(place) = FolderEntry::of(scope, Path::new(path), Missing::Make)? else { return Ok(()) };
    match place.folder.fresh(&place.name).and_then(|made| made.give()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW);
            let is_folder =
                found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
            if is_folder { Ok(()) } else { Err(bad_request("Path exists and is not a directory")) }
        }
        Err(error) => Err(of_file(&error, "Path not found")),
    }
}

pub(super) fn home(include_hidden: bool) -> Result<HomeListing, Fault> {
    let home = std::env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/"));
    let favorites = page(&home, None, MOST_FAVORITES, include_hidden).unwrap_or_default();
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
    let limit = limit.min(LONGEST_PAGE);
    let start = match page_id {
        Some(page_id) => start_of(path, page_id, include_hidden)?,
        None => None,
    };
    let mut items = page(path, start.as_ref(), limit + 1, include_hidden)?;
    let next_page_id = items.get(limit).map(|first| first.name.clone());
    items.truncate(limit);
    Ok(SubdirectoryPage { items, next_page_id })
}

/// Where a folder stands in a list: by its name in lower case, then by its name.
type Place = (String, String, OsString);

fn place_of(name: OsString) -> Place {
    let text = name.to_string_lossy().into_owned();
    (text.to_lowercase(), text, name)
}

/// Where the folder stands that `page_id` names, perhaps in lower case. `None`: no folder does.
fn start_of(path: &Path, page_id: &str, include_hidden: bool) -> Result<Option<Place>, Fault> {
    let mut start: Option<Place> = None;
    for place in folders_in(path, include_hidden)? {
        if place.1 == page_id {
            return Ok(Some((place.0, place.1, OsString::new())));
        }
        if place.0 == page_id && start.as_ref().is_none_or(|first| place < *first) {
            start = Some(place);
        }
    }
    Ok(start)
}

/// The first `most` folders from `start` on. No more than these are kept in memory, however many there are.
fn page(
    path: &Path,
    start: Option<&Place>,
    most: usize,
    include_hidden: bool,
) -> Result<Vec<SubdirectoryEntry>, Fault> {
    let mut first = BTreeSet::new();
    for place in folders_in(path, include_hidden)? {
        if start.is_none_or(|start| place >= *start) {
            first.insert(place);
        }
        if first.len() > most {
            first.pop_last();
        }
    }
    let entry = |(_, text, name): Place| SubdirectoryEntry {
        name: text,
        path: path.join(name).to_string_lossy().into_owned(),
    };
    Ok(first.into_iter().map(entry).collect())
}

/// In no order; symlinks are left out.
fn folders_in(path: &Path, include_hidden: bool) -> Result<impl Iterator<Item = Place>, Fault> {
    let entries = fs::read_dir(path).map_err(|error| of_file(&error, "Path not found"))?;
    let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let places = entries.filter_map(Result::ok).filter(is_folder).map(|entry| place_of(entry.file_name()));
    Ok(places.filter(move |(_, name, _)| include_hidden || !name.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(page: &SubdirectoryPage) -> Vec<&str> {
        page.items.iter().map(|item| item.name.as_str()).collect()
    }

    #[test]
    fn pages_are_the_whole_list_in_order_whatever_the_cursor_is_like() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        for name in ["b", "A", "a", "C", ".hidden", "d"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("aa"), "no folder").unwrap();
        let first = list(root, None, 2, false).unwrap();
        assert_eq!((names(&first), first.next_page_id.as_deref()), (vec!["A", "a"], Some("b")));
        let second = list(root, first.next_page_id.as_deref(), 2, false).unwrap();
        assert_eq!((names(&second), second.next_page_id.as_deref()), (vec!["b", "C"], Some("d")));
        assert_eq!(names(&list(root, Some("c"), 9, false).unwrap()), ["C", "d"], "in lower case");
        assert_eq!(
            names(&list(root, Some("gone"), 1, true).unwrap()),
            [".hidden"],
            "an unknown one starts over"
        );
        assert_eq!(list(root, Some("C"), usize::MAX, false).unwrap().next_page_id, None);
    }

    #[test]
    fn of_a_folder_with_many_folders_only_a_page_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..500 {
            fs::create_dir(folder.path().join(number.to_string())).unwrap();
        }
        assert_eq!(page(folder.path(), None, 3, false).unwrap().len(), 3);
        assert_eq!(list(folder.path().to_str().unwrap(), None, 499, false).unwrap().items.len(), 499);
    }
}
