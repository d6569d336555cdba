//! Which folder is meant: the one that was named, or the only repository below it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ports::rpc::Fault;
use tokio_util::sync::CancellationToken;

use super::super::super::git::Repository;
use super::limits::{Failure, Limits, Watch};

const DEEPEST: usize = 3;
const NO_PROJECTS: [&str; 4] = ["node_modules", "venv", "site-packages", "vendor"];

/// # Errors
/// A repository that cannot be read; a limit that is reached; also when `stop` is cancelled.
pub(super) async fn find(folder: PathBuf, limits: Limits, stop: CancellationToken) -> Result<PathBuf, Fault> {
    if Repository::of(&folder).await?.is_some() {
        return Ok(folder);
    }
    let search = move || only_below(folder, &Watch { limits, began: Instant::now(), stop: &stop });
    Ok(tokio::task::spawn_blocking(search).await.map_err(Fault::internal)??)
}

fn only_below(folder: PathBuf, watch: &Watch<'_>) -> Result<PathBuf, Failure> {
    let mut found = Vec::new();
    search(&folder, DEEPEST, &mut found, watch)?;
    Ok(<[PathBuf; 1]>::try_from(found).map_or(folder, |[only]| only))
}

/// Two are as good as many.
fn search(folder: &Path, levels: usize, found: &mut Vec<PathBuf>, watch: &Watch<'_>) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        watch.look()?;
        if found.len() > 1 {
            return Ok(());
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || name.starts_with('.') || NO_PROJECTS.contains(&name.as_str()) {
            continue;
        }
        let path = entry.path();
        if path.join(".git").exists() {
            found.push(path);
        } else if levels > 1 {
            search(&path, levels - 1, found, watch)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_search_ends_where_its_time_does_and_when_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/only/.git")).unwrap();
        let stop = CancellationToken::new();
        let search = |seconds: u64| {
            let limits = Limits { time: Duration::from_secs(seconds), ..Limits::default() };
            only_below(folder.path().to_owned(), &Watch { limits, began: Instant::now(), stop: &stop })
        };
        assert_eq!(search(60).unwrap(), folder.path().join("a/b/only"));
        assert!(matches!(search(0), Err(Failure::TooSlow(_))));
        stop.cancel();
        assert!(matches!(search(60), Err(Failure::Abandoned)));
    }
}
