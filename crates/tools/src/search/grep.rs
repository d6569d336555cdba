//! `grep`: the files in which something stands, the newest first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::halt::{Halt, Stop, in_time};
use super::pattern::Pattern;
use super::{HINTS, Newest, described, folder, folder_parameter, listed, names, walk};
use crate::args::Args;
use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::observation::Observation;
use crate::paths;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};

const DESCRIPTION: &str = "Find the files in which something stands.

- `pattern` is a regular expression, looked for in each line, whatever the case of its letters: `log.*Error`, \
`function\\s+\\w+`. Looking around (`foo(?!bar)`) and back (`(\\w+) \\1`) works as well.
- `include` says which files are searched, as a glob of their names: `*.js`, `*.{ts,tsx}`, `src/**/*.py`.
- The answer has the files' absolute paths, the newest first, 100 at most, and not their lines.
- Hidden folders, what `.gitignore` leaves out, and files that are not text are not searched; hidden files are when \
`include` has them.";

pub struct Grep {
    working_dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    pattern: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include: Option<String>,
}

impl Listed for Grep {
    const NAME: &'static str = "grep";
    const CLASS: &'static str = "Grep";
    const SUMMARY: Option<&'static str> = Some("Finds files by what stands in them");

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: context.working_dir.clone() })
    }
}

impl Tool for Grep {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "description": "The regular expression."},
                "path": folder_parameter(),
                "include": {"type": "string", "description": "Which files to search, as in `*.js` or `*.{ts,tsx}`."},
            },
            "required": ["pattern"],
        });
        Spec::of::<Self>(described(DESCRIPTION, &self.working_dir), parameters, HINTS)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let pattern = args.text("pattern");
        let (path, include) = (args.optional_text("path"), args.optional_text("include"));
        args.finish()?;
        Ok(Action { pattern, path, include: include.filter(|include| !include.is_empty()) })
    }

    async fn run(&self, action: Arc<Action>, cancel: CancellationToken) -> Result<Observation, String> {
        let working_dir = self.working_dir.clone();
        let (halt, _guard) = Halt::new(&cancel);
        in_time(blocking(move || observe(&action, &working_dir, &halt)), &cancel).await?
    }
}

fn observe(action: &Action, working_dir: &Path, halt: &Halt) -> Result<Observation, String> {
    let mut root = paths::at(working_dir, action.path.as_deref().unwrap_or_default());
    let found = match folder(&root) {
        Some(folder) => {
            root = folder;
            search(action, &root, halt)
        }
        None => Err(Stop::Failed(format!("Search path '{}' is not a valid directory", root.display()))),
    };
    let (matches, is_cut, observation) = match found {
        Ok((files, is_cut)) => {
            let observation = Observation::text(told(action, &root, &files, is_cut));
            (files, is_cut, observation)
        }
        Err(stop) => (Vec::new(), false, Observation::error(stop.told()?)),
    };
    let matches: Vec<_> = matches.iter().map(|path| path.to_string_lossy()).collect();
    Ok(observation
        .with("matches", Some(matches))
        .with("pattern", Some(&action.pattern))
        .with("search_path", Some(root.to_string_lossy()))
        .with("include_pattern", action.include.as_ref())
        .with("truncated", Some(is_cut)))
}

fn told(action: &Action, root: &Path, files: &[PathBuf], is_cut: bool) -> String {
    let (pattern, root) = (&action.pattern, root.display());
    let filter =
        action.include.as_ref().map(|include| format!(" (filtered by '{include}')")).unwrap_or_default();
    if files.is_empty() {
        return format!("No files found containing pattern '{pattern}' in directory '{root}'{filter}");
    }
    let heading =
        format!("Found {} file(s) containing pattern '{pattern}' in '{root}'{filter}:", files.len());
    listed(&heading, files, is_cut)
}

fn search(action: &Action, root: &Path, halt: &Halt) -> Result<(Vec<PathBuf>, bool), Stop> {
    let pattern = Pattern::new(&action.pattern);
    let pattern = pattern.map_err(|why| Stop::Failed(format!("Invalid regex pattern: {why}")))?;
    let included =
        action.include.as_ref().map(|include| names(root, include)).transpose().map_err(Stop::Failed)?;
    let mut newest = Newest::default();
    walk::walk(root, &[], halt, |entry| {
        let path = entry.path();
        let is_searched = match &included {
            Some(included) => !included.matched(&path, false).is_ignore(),
            None => !walk::is_hidden(&entry.file_name()),
        };
        if is_searched && pattern.is_in(&path, halt)? {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            newest.add(path, modified.unwrap_or(SystemTime::UNIX_EPOCH));
        }
        Ok(())
    })?;
    Ok(newest.into_paths())
}
