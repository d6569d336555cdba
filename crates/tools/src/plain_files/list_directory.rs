//! `list_directory`: what is in a folder.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use types::time;

use super::{READS, failure, place};
use crate::args::Args;
use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::observation::Observation;
use crate::paths;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};

/// Entries that are told.
const MOST: usize = 500;
/// Entries that are looked at.
const MOST_SEEN: usize = 10_000;

const DESCRIPTION: &str = "List what is in a folder: its folders, which have a slash at their end, and its files with their \
sizes. With `recursive` also what is in its folders, but not in those below. At most 500 entries are shown.";

pub struct ListDirectory {
    working_dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    dir_path: String,
    recursive: bool,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    path: String,
    #[serde(skip)]
    at: PathBuf,
    is_directory: bool,
    size: u64,
    modified_time: String,
}

impl Listed for ListDirectory {
    const NAME: &'static str = "list_directory";
    const CLASS: &'static str = "ListDirectory";
    const SUMMARY: Option<&'static str> = Some("Lists folders");
    const USER_SELECTABLE: bool = false;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: context.working_dir.clone() })
    }
}

impl Tool for ListDirectory {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {
                "dir_path": {"type": "string", "description": "The folder, the working directory when left out."},
                "recursive": {"type": "boolean", "description": "Whether to show two levels, one when left out."},
            },
        });
        Spec::of::<Self>(format!("{DESCRIPTION}\n\n{}", place(&self.working_dir)), parameters, READS)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let dir_path = args.optional_text("dir_path").unwrap_or_else(|| ".".to_owned());
        let recursive = args.flag("recursive");
        args.finish()?;
        Ok(Action { dir_path, recursive })
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let path = paths::at(&self.working_dir, &action.dir_path);
        blocking(move || list(&path, action.recursive).unwrap_or_else(|why| failure(&why))).await
    }
}

fn list(path: &Path, is_recursive: bool) -> Result<Observation, String> {
    let shown = path.display();
    if !path.exists() {
        return Err(format!("Directory not found: {shown}"));
    }
    if !path.is_dir() {
        return Err(format!("Path is not a directory: {shown}"));
    }
    let mut found = Vec::new();
    collect(path, if is_recursive { 2 } else { 1 }, &mut found).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!("Permission denied: {shown}"),
        _ => format!("Ran into {error} while trying to list {shown}"),
    })?;
    let total = found.len();
    let is_cut = total > MOST;
    found.truncate(MOST);
    let more = if total < MOST_SEEN { "" } else { " or more" };
    let cut = if is_cut { format!(", truncated to {MOST}") } else { String::new() };
    let mut text = format!("Listed directory: {shown} ({total}{more} entries{cut})");
    for entry in &found {
        let name = paths::shown(entry.at.strip_prefix(path).unwrap_or(&entry.at));
        match entry.is_directory {
            true => text.push_str(&format!("\n{name}/")),
            false => text.push_str(&format!("\n{name} ({} bytes)", entry.size)),
        }
    }
    Ok(Observation::text(text)
        .with("dir_path", Some(path.to_string_lossy()))
        .with("entries", Some(found))
        .with("total_count", Some(total))
        .with("is_truncated", Some(is_cut)))
}

/// What is in `folder`, folders first, then in its folders, as deep as asked for. Of those a folder that cannot be read counts
/// as empty.
fn collect(folder: &Path, depth: usize, found: &mut Vec<Entry>) -> io::Result<()> {
    let room = MOST_SEEN - found.len();
    let mut entries: Vec<Entry> =
        fs::read_dir(folder)?.take(room).filter_map(|entry| told(&entry.ok()?)).collect();
    entries.sort_by(|one, other| (!one.is_directory, &one.name).cmp(&(!other.is_directory, &other.name)));
    let below: Vec<PathBuf> =
        entries.iter().filter(|entry| entry.is_directory).map(|entry| entry.at.clone()).collect();
    found.append(&mut entries);
    if depth > 1 {
        for folder in below.into_iter().filter(|folder| !folder.is_symlink()) {
            let _ = collect(&folder, depth - 1, found);
        }
    }
    Ok(())
}

fn told(entry: &DirEntry) -> Option<Entry> {
    let at = entry.path();
    // A link is told as what it leads to, if that is there.
    let meta = fs::metadata(&at).or_else(|_| entry.metadata()).ok()?;
    Some(Entry {
        name: entry.file_name().to_string_lossy().into_owned(),
        is_directory: meta.is_dir(),
        size: if meta.is_dir() { 0 } else { meta.len() },
        modified_time: time::event_of(meta.modified().ok()?),
        path: at.to_string_lossy().into_owned(),
        at,
    })
}
