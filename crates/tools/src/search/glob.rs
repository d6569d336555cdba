//! `glob`: the files whose names are like a pattern, the newest first.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::halt::{Halt, Stop, in_time};
use super::{HINTS, Newest, described, folder, folder_parameter, listed, names, walk};
use crate::args::Args;
use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::observation::Observation;
use crate::paths;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};

const DESCRIPTION: &str = "Find files by their names.

- `pattern` is a glob: `*` stands for anything in a name, `**` for folders at any depth, `?` for a letter, `[a-c]` for one \
of several, `{ts,tsx}` for either. Without a slash it is looked for at any depth: `*.py` finds all Python files, \
`src/**/*.ts` those below src.
- The answer has the files' absolute paths, the newest first, 100 at most. Folders are not in it.
- Hidden folders, and what `.gitignore` leaves out, are not searched.

To find files by what stands in them, use `grep`.";

pub struct Glob {
    working_dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    pattern: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl Listed for Glob {
    const NAME: &'static str = "glob";
    const CLASS: &'static str = "Glob";
    const SUMMARY: Option<&'static str> = Some("Finds files by their names");

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: context.working_dir.clone() })
    }
}

impl Tool for Glob {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "description": "The glob, as in `**/*.js` or `src/**/*.ts`."},
                "path": folder_parameter(),
            },
            "required": ["pattern"],
        });
        Spec::of::<Self>(described(DESCRIPTION, &self.working_dir), parameters, HINTS)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let (pattern, path) = (args.text("pattern"), args.optional_text("path"));
        args.finish()?;
        Ok(Action { pattern, path })
    }

    async fn run(&self, action: Arc<Action>, cancel: CancellationToken) -> Result<Observation, String> {
        let working_dir = self.working_dir.clone();
        let (halt, _guard) = Halt::new(&cancel);
        in_time(blocking(move || observe(&action, &working_dir, &halt)), &cancel).await?
    }
}

/// Where and for what is searched.
struct Search {
    root: PathBuf,
    pattern: String,
}

fn observe(action: &Action, working_dir: &Path, halt: &Halt) -> Result<Observation, String> {
    let mut search = Search::of(action, working_dir);
    let found = match folder(&search.root) {
        Some(root) => {
            search.root = root;
            search.run(halt)
        }
        None => {
            Err(Stop::Failed(format!("Search path '{}' is not a valid directory", search.root.display())))
        }
    };
    let (files, is_cut, observation) = match found {
        Ok((files, is_cut)) => {
            let observation = Observation::text(told(action, &search.root, &files, is_cut));
            (files, is_cut, observation)
        }
        Err(stop) => (Vec::new(), false, Observation::error(stop.told()?)),
    };
    let files: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
    Ok(observation
        .with("files", Some(files))
        .with("pattern", Some(&action.pattern))
        .with("search_path", Some(search.root.to_string_lossy()))
        .with("truncated", Some(is_cut)))
}

fn told(action: &Action, root: &Path, files: &[PathBuf], is_cut: bool) -> String {
    let (pattern, root) = (&action.pattern, root.display());
    if files.is_empty() {
        return format!("No files found matching pattern '{pattern}' in directory '{root}'");
    }
    let heading = format!("Found {} file(s) matching pattern '{pattern}' in '{root}':", files.len());
    listed(&heading, files, is_cut)
}

impl Search {
    /// An absolute pattern says itself where to search: as far as there is no more than names in it.
    fn of(action: &Action, working_dir: &Path) -> Self {
        let root = paths::at(working_dir, action.path.as_deref().unwrap_or_default());
        let pattern = if action.pattern.is_empty() { "**/*" } else { &action.pattern };
        let absolute = Path::new(pattern);
        if !absolute.is_absolute() {
            return Self { root, pattern: pattern.to_owned() };
        }
        if action.path.is_some() {
            let within = absolute.strip_prefix(&root).ok().and_then(Path::to_str);
            return Self { pattern: within.unwrap_or(pattern).to_owned(), root };
        }
        let parts: Vec<Component<'_>> = absolute.components().collect();
        let is_plain = |part: &&Component<'_>| {
            !part.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
        };
        let plain = parts.iter().take_while(is_plain).count();
        let is_file = plain == parts.len() && !absolute.is_dir();
        let folders = if is_file { plain - 1 } else { plain };
        let names: Vec<_> =
            parts.iter().skip(folders).map(|part| part.as_os_str().to_string_lossy()).collect();
        let pattern = match names.join("/") {
            all if all.is_empty() => "**/*".to_owned(),
            // Of one file the name is meant here, and not at any depth.
            name if is_file => format!("/{name}"),
            names => names,
        };
        Self { root: parts.into_iter().take(folders).collect(), pattern }
    }

    fn run(&self, halt: &Halt) -> Result<(Vec<PathBuf>, bool), Stop> {
        let wanted = names(&self.root, &self.pattern).map_err(Stop::Failed)?;
        let named: Vec<&OsStr> = Path::new(&self.pattern).iter().collect();
        let mut newest = Newest::default();
        walk::walk(&self.root, &named, halt, |entry| {
            let path = entry.path();
            if !wanted.matched(&path, false).is_ignore() {
                let modified = entry.metadata().and_then(|meta| meta.modified());
                newest.add(path, modified.unwrap_or(SystemTime::UNIX_EPOCH));
            }
            Ok(())
        })?;
        Ok(newest.into_paths())
    }
}
