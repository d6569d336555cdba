//! `apply_patch`: changes of several files, in the form that some models write them.

mod apply;
mod find;
mod parse;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use types::resources::Resource;

use crate::args::Args;
use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::files::{Edits, Told};
use crate::observation::Observation;
use crate::paths;
use crate::spec::{Annotations, Spec};
use crate::tool::{Listed, Tool};
use apply::{Kind, Plan, Step};
use parse::{Change, Section, parse};

/// Bytes of files' contents that an event may hold.
const MOST_TOLD: usize = 400 * 1024;

const DESCRIPTION: &str = "Change files of the workspace with a patch of this form:

*** Begin Patch
*** Add File: path/of/new.txt
+every line of a new file begins with a plus
*** Delete File: path/of/old.txt
*** Update File: path/of/file.py
*** Move to: path/of/renamed.py
@@ class Name
@@     def method(self):
 a line that stays begins with a blank
-a line that goes begins with a minus
+a line that comes begins with a plus
*** End of File
*** End Patch

- There are as many of the three kinds of sections as needed, one for a file. `*** Move to:` and `*** End of File`, which says \
that nothing comes after the lines before it, can be left out.
- Show three lines that stay before and after each change, as they are in the file. Where these are in the file several \
times, name the class or function they are in after `@@`. Each further change of the file begins with `@@`.
- Paths are below the working directory. A file that is added or moved to must not be there yet.
- All of the patch is checked before anything is written: if it does not fit, nothing has changed.";

const HINTS: Annotations =
    Annotations { titled: true, read_only: false, destructive: true, idempotent: false, open_world: false };

pub struct ApplyPatch {
    working_dir: PathBuf,
    edits: Edits,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    patch: String,
}

impl Listed for ApplyPatch {
    const NAME: &'static str = "apply_patch";
    const CLASS: &'static str = "ApplyPatch";
    const SUMMARY: Option<&'static str> = Some("Changes files with a patch");

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: paths::at(&context.working_dir, ""), edits: context.edits.clone() })
    }
}

impl Tool for ApplyPatch {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {"patch": {"type": "string", "description": "The patch."}},
            "required": ["patch"],
        });
        Spec::of::<Self>(DESCRIPTION, parameters, HINTS)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let patch = args.text("patch");
        args.finish()?;
        Ok(Action { patch })
    }

    fn resources(&self, action: &Action) -> Option<Vec<Resource>> {
        let sections = parse(&action.patch).unwrap_or_default();
        Some(paths::held(&self.working_dir, sections.iter().flat_map(touched)))
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let (working_dir, edits) = (self.working_dir.clone(), self.edits.clone());
        blocking(move || apply(&action.patch, &working_dir, &edits)).await
    }
}

fn touched(section: &Section) -> impl Iterator<Item = &String> {
    let target = match &section.change {
        Change::Update { move_to, .. } => move_to.as_ref(),
        Change::Add(_) | Change::Delete => None,
    };
    std::iter::once(&section.path).chain(target)
}

fn apply(patch: &str, working_dir: &Path, edits: &Edits) -> Observation {
    let mut history = edits.begin();
    let plan = match parse(patch).and_then(|sections| Plan::of(sections, working_dir)) {
        Ok(plan) => plan,
        Err(why) => return Observation::error(why),
    };
    let (mut done, mut remarks, mut failure) = (Vec::new(), Vec::new(), None);
    for step in plan.steps {
        match step.carry_out(&mut history) {
            Ok(remark) => remarks.extend(remark.map(|remark| format!("{}: {remark}", step.name))),
            Err(why) => {
                failure = Some(why);
                break;
            }
        }
        done.push(step);
    }
    let observation = match failure {
        None => Observation::text(with_remarks("Done!", &remarks)).with("message", Some("Done!")),
        Some(why) => Observation::error(with_remarks(&half_way(&why, &done), &remarks)),
    };
    observation.with("fuzz", Some(plan.off)).with("commit", Some(commit(done)))
}

fn half_way(why: &str, done: &[Step]) -> String {
    if done.is_empty() {
        return why.to_owned();
    }
    let names: Vec<&str> = done.iter().map(|step| step.name.as_str()).collect();
    format!("{why}\nThe patch was carried out up to there. Done already: {}.", names.join(", "))
}

fn with_remarks(text: &str, remarks: &[String]) -> String {
    remarks.iter().fold(text.to_owned(), |text, remark| format!("{text}\n{remark}"))
}

/// What clients get of what was done. Contents that would make it too large are left out.
fn commit(steps: Vec<Step>) -> Value {
    let mut room = MOST_TOLD;
    let mut changes = Map::new();
    for Step { name, kind, .. } in steps {
        let (kind, old, new, target) = match kind {
            Kind::Add { text } => ("add", None, Some(text), None),
            Kind::Delete { text } => ("delete", text, None, None),
            Kind::Update { before, text, move_to } => ("update", Some(before.text), Some(text), move_to),
        };
        let mut told = Told::of(old, new);
        if told.size() > room {
            told = Told::default();
        }
        room -= told.size();
        let target = target.map(|target| target.name);
        let fields = [("old_content", told.old), ("new_content", told.new), ("move_path", target)];
        let mut change = Map::from_iter([("type".to_owned(), json!(kind))]);
        change.extend(
            fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?)))),
        );
        changes.insert(name, Value::Object(change));
    }
    json!({ "changes": changes })
}
