//! `planning_file_editor`: the editor of an agent that plans. It views everything, and changes the plan alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::resources::Resource;

use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::file_editor::{self, Action, Command, DESCRIPTION, Editor, HINTS};
use crate::files::store;
use crate::hands;
use crate::observation::Observation;
use crate::spec::{Annotations, Spec};
use crate::tool::{Listed, Tool};

const FOLDER: &str = ".agents_tmp";
const FILE: &str = "PLAN.md";

/// What a plan begins as.
const HEADINGS: &str = "# 1. OBJECTIVE\n\n# 2. CONTEXT SUMMARY\n\n# 3. APPROACH OVERVIEW\n\n\
                        # 4. IMPLEMENTATION STEPS\n\n# 5. TESTING AND VALIDATION\n";

const RESTRICTION: &str = "You are planning: every file can be viewed, and only the plan can be changed. The other \
commands are refused for any other file. The plan is there already, with the headings of its sections: fill them in.";

pub struct PlanningFileEditor(Desk);

/// Cheap to clone.
#[derive(Clone)]
struct Desk {
    editor: Editor,
    working_dir: PathBuf,
    /// Where whoever made the tool wants the plan.
    wanted: Option<PathBuf>,
    /// Where it is, once the tool was used.
    plan: Arc<OnceLock<PathBuf>>,
}

impl Listed for PlanningFileEditor {
    const NAME: &'static str = "planning_file_editor";
    const CLASS: &'static str = "PlanningFileEditor";
    const SUMMARY: Option<&'static str> = Some("Views files and writes a plan");
    const USER_SELECTABLE: bool = false;

    fn make(params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self(Desk {
            editor: Editor::of(context),
            working_dir: context.working_dir.clone(),
            wanted: wanted(params)?,
            plan: Arc::default(),
        }))
    }
}

/// The creation parameter `plan_path`.
fn wanted(params: &Map<String, Value>) -> Result<Option<PathBuf>, Error> {
    let Some(given) = params.get("plan_path").filter(|given| !given.is_null()) else { return Ok(None) };
    match given.as_str().map(Path::new).filter(|path| path.is_absolute()) {
        Some(path) => Ok(Some(path.to_owned())),
        None => Err(Error::Parameter {
            tool: PlanningFileEditor::NAME,
            parameter: "plan_path",
            reason: "it must be an absolute path".to_owned(),
        }),
    }
}

impl Tool for PlanningFileEditor {
    type Action = Action;

    fn spec(&self) -> Spec {
        let Desk { working_dir, wanted, .. } = &self.0;
        let plan = match wanted {
            Some(path) => format!("The plan is {}.", path.display()),
            None => format!(
                "The plan is {}, or {} where that is there from before.",
                working_dir.join(FOLDER).join(FILE).display(),
                working_dir.join(FILE).display()
            ),
        };
        let description = format!(
            "{DESCRIPTION}\n\n{RESTRICTION}\n{plan}\nThe working directory is {}.",
            working_dir.display()
        );
        let hints = Annotations { destructive: false, ..HINTS };
        Spec::of::<Self>(description, file_editor::parameters(), hints)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        file_editor::parse(arguments)
    }

    fn resources(&self, action: &Action) -> Option<Vec<Resource>> {
        Some(self.0.editor.resources(action))
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let desk = self.0.clone();
        blocking(move || desk.run(&action)).await
    }
}

impl Desk {
    fn run(&self, action: &Action) -> Observation {
        let plan = self.plan();
        let allowed = match plan {
            _ if action.command == Command::View => Ok(()),
            Ok(plan) if self.leads_away(plan) => Err(format!(
                "The plan could not be changed: {} is a link, or in a folder that is one.",
                plan.display()
            )),
            Ok(plan) if is_same(&action.path, plan) => Ok(()),
            Ok(plan) => Err(format!(
                "Operation '{}' is not allowed on file '{}'. Only the following files can be edited: ['{}']",
                action.command.word(),
                action.path.display(),
                plan.display()
            )),
            Err(why) => Err(format!("The plan could not be made: {why}")),
        };
        match allowed {
            Ok(()) => self.editor.run(action),
            Err(why) => file_editor::observation(action, Err(why)),
        }
    }

    /// Where the plan is. The first who asks makes it, if it is not there.
    fn plan(&self) -> Result<&PathBuf, String> {
        if let Some(plan) = self.plan.get() {
            return Ok(plan);
        }
        let plan = self.place();
        if self.leads_away(&plan) {
            return Err(format!("{} is a link, or in a folder that is one.", plan.display()));
        }
        if let Some(folder) = plan.parent()
            && plan.symlink_metadata().is_err()
        {
            hands::make_folders(folder).map_err(|error| error.to_string())?;
            store::create(&plan, HEADINGS.as_bytes())?;
        }
        Ok(self.plan.get_or_init(|| plan))
    }

    /// Whether a link stands where the plan is looked for: a repository that somebody else has written may have one that leads
    /// anywhere. Where a user has named the place, links on it are the user's own.
    fn leads_away(&self, plan: &Path) -> bool {
        let folder = plan.parent().filter(|folder| *folder != self.working_dir);
        self.wanted.is_none() && (plan.is_symlink() || folder.is_some_and(Path::is_symlink))
    }

    fn place(&self) -> PathBuf {
        if let Some(wanted) = &self.wanted {
            return wanted.clone();
        }
        let earlier = self.working_dir.join(FILE);
        if earlier.exists() { earlier } else { self.working_dir.join(FOLDER).join(FILE) }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    resolved(one).is_some_and(|one| Some(one) == resolved(other))
}

/// Where a path leads, be there a file or not.
fn resolved(path: &Path) -> Option<PathBuf> {
    let found = fs::canonicalize(path);
    if let Err(error) = &found
        && error.kind() == io::ErrorKind::NotFound
    {
        return Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    }
    found.ok()
}
