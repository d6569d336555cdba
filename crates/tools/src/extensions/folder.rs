//! Looking through folders that others have filled, with bounds.

use std::fs::FileType;
use std::path::{Path, PathBuf};

use super::Unfit;
use crate::open::{self, Symlink};

/// Names of one look; what is beyond is not seen.
const MOST_NAMES: usize = 20_000;
const DEEPEST: usize = 32;

/// Bytes of a text.
const LONGEST: u64 = 320 * 1024;

/// What is in a folder, in the order of its names. Nothing where it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.take(MOST_NAMES).filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    paths
}

/// All files below a folder, in the order of their paths; folders that `enters` refuses by their paths are left out, and no
/// link to a folder is followed.
pub fn files(folder: &Path, enters: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let (mut found, mut seen) = (Vec::new(), 0);
    let mut ahead = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = ahead.pop() {
        for path in entries(&folder) {
            seen += 1;
            if seen > MOST_NAMES {
                tracing::warn!(folder = %folder.display(), "more files than are looked at");
                ahead.clear();
                break;
            }
            let Some(kind) = kind(&path) else { continue };
            if !kind.is_dir() {
                found.push(path);
            } else if depth < DEEPEST && enters(&path) {
                ahead.push((path, depth + 1));
            }
        }
    }
    found.sort_unstable();
    found
}

fn kind(path: &Path) -> Option<FileType> {
    Some(std::fs::symlink_metadata(path).ok()?.file_type())
}

/// The text of a file.
///
/// # Errors
/// What is no file, too long or no text.
pub fn text(path: &Path) -> Result<String, Unfit> {
    let bytes = open::content(path, Symlink::Follow, LONGEST)?;
    String::from_utf8(bytes).map_err(|_| Unfit::NoText)
}

/// A JSON object.
///
/// # Errors
/// As [`text`]; what is no object.
pub fn object(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>, Unfit> {
    let text = text(path)?;
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|_| Unfit::Field("the file"))
}

/// Whether `path`, with its links resolved, is inside `root`.
pub(super) fn is_within(path: &Path, root: &Path) -> bool {
    match (path.canonicalize(), root.canonicalize()) {
        (Ok(path), Ok(root)) => path.starts_with(root),
        _ => false,
    }
}

/// A folder's own name.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether a name ends like that of a text with front matter.
pub(super) fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The nearest folder above, or this one, that is the root of a repository.
#[must_use]
pub fn repository_of(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok())
}
