//! Which folder is meant: the one that was named, or the only repository below it.

use std::fs;
use std::path::{Path, PathBuf};

use ports::rpc::Fault;

use super::super::super::git::Repository;

const DEEPEST: usize = 3;
const NO_PROJECTS: [&str; 4] = ["node_modules", "venv", "site-packages", "vendor"];

pub(super) async fn find(folder: PathBuf) -> Result<PathBuf, Fault> {
    if Repository::of(&folder).await?.is_some() {
        return Ok(folder);
    }
    let search = move || {
        let mut found = Vec::new();
        search(&folder, DEEPEST, &mut found);
        match <[PathBuf; 1]>::try_from(found) {
            Ok([only]) => only,
            Err(_) => folder,
        }
    };
    tokio::task::spawn_blocking(search).await.map_err(Fault::internal)
}

/// Two are as good as many.
fn search(folder: &Path, levels: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if found.len() > 1 || !is_folder || name.starts_with('.') || NO_PROJECTS.contains(&name.as_str()) {
            continue;
        }
        let path = entry.path();
        if path.join(".git").exists() {
            found.push(path);
        } else if levels > 1 {
            search(&path, levels - 1, found);
        }
    }
}
