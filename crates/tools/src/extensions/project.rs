//! What a project and a home hold for agents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use types::extensions::{Plugin, Skill};

use super::folder::{entries, files, repository_of, shown};
use super::skill::{self, Names, Search, add_new, of_other_tools};
use super::{folder, plugin};

/// Of hooks; the peer has no bound.
pub const LONGEST_HOOKS: u64 = 1 << 20;

/// Where somebody keeps what counts for all projects.
#[derive(Clone, Debug)]
pub struct Home {
    pub folder: PathBuf,
    /// What OpenHands keeps; as a rule `.openhands` in it.
    pub persistence: PathBuf,
}

/// The skills of a project: first of the folder, then of the repository that it is in.
///
/// `tracked`: files of the repository below the folder, with paths from there; `None`: there is no repository, and the folder
/// is looked through.
#[must_use]
pub fn skills(project: &Path, tracked: Option<&[PathBuf]>) -> Vec<Skill> {
    let mut found = Vec::new();
    let roots = roots(project);
    for root in &roots {
        for path in own_files_of_other_tools(root) {
            add_loaded(&mut found, &path, skill::load(&path, None, Names::Strict));
        }
    }
    for (path, inner) in inner_files_of_other_tools(project, tracked) {
        add_loaded(&mut found, &path, skill::of_inner_folder(&path, &inner));
    }
    for root in roots {
        for below in [".agents/skills", ".openhands/skills", ".openhands/microagents"] {
            add_new(&mut found, of_folder(&root.join(below), None));
        }
    }
    found
}

/// Those of a home, without what is installed.
#[must_use]
pub fn skills_of_home(home: &Home) -> Vec<Skill> {
    let mut found = Vec::new();
    let installed = home.persistence.join("skills/installed");
    let folders = [
        home.folder.join(".agents/skills"),
        home.persistence.join("skills"),
        home.persistence.join("microagents"),
    ];
    for folder in folders {
        add_new(&mut found, of_folder(&folder, Some(&installed)));
    }
    found
}

/// The plugins of a project.
#[must_use]
pub fn plugins(project: &Path) -> Vec<Plugin> {
    let folders = roots(project)
        .into_iter()
        .flat_map(|root| [".agents/plugins", ".openhands/plugins"].map(|below| root.join(below)));
    plugins_in(folders, None)
}

/// Those of a home, without what is installed.
#[must_use]
pub fn plugins_of_home(home: &Home) -> Vec<Plugin> {
    let folders = [home.folder.join(".agents/plugins"), home.persistence.join("plugins")];
    plugins_in(folders, Some(&home.persistence.join("plugins/installed")))
}

fn plugins_in(folders: impl IntoIterator<Item = PathBuf>, except: Option<&Path>) -> Vec<Plugin> {
    let mut found: Vec<Plugin> = Vec::new();
    for folder in folders {
        for path in
            entries(&folder).into_iter().filter(|path| path.is_dir() && Some(path.as_path()) != except)
        {
            match plugin::load(&path) {
                Ok(plugin) if found.iter().any(|known| known.name == plugin.name) => {}
                Ok(plugin) => found.push(plugin.described()),
                Err(why) => tracing::warn!(path = %path.display(), %why, "a plugin is left out"),
            }
        }
    }
    found
}

/// What stands in the hooks of a project, as JSON; `None` where there are none that can be read.
#[must_use]
pub fn hooks(project: &Path) -> Option<serde_json::Value> {
    let path = project.join(".openhands/hooks.json");
    let text = crate::open::content(&path, crate::open::Symlink::Follow, LONGEST_HOOKS);
    match text.map(|text| serde_json::from_slice(&text)) {
        Ok(Ok(hooks)) => Some(hooks),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => {
            tracing::warn!(path = %path.display(), "the hooks of a project cannot be read");
            None
        }
    }
}

/// The folder, and the root of its repository if that is another.
fn roots(project: &Path) -> Vec<PathBuf> {
    let repository = repository_of(project).filter(|root| *root != project);
    [Some(project), repository].into_iter().flatten().map(Path::to_owned).collect()
}

fn of_folder(folder: &Path, except: Option<&Path>) -> Vec<Skill> {
    skill::of_folder(folder, &Search { names: Names::Strict, deep: true, except, within: None })
}

fn add_loaded(found: &mut Vec<Skill>, path: &Path, loaded: Result<Skill, super::Unfit>) {
    match loaded {
        Ok(skill) => add_new(found, [skill]),
        Err(why) => tracing::warn!(path = %path.display(), %why, "a skill is left out"),
    }
}

/// Names in several spellings, and links to the same file, count once.
fn own_files_of_other_tools(root: &Path) -> Vec<PathBuf> {
    let (mut names, mut real, mut found) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for path in entries(root).into_iter().filter(|path| of_other_tools(path).is_some() && path.is_file()) {
        let name = folder::name_of(&path).to_lowercase();
        let target = path.canonicalize().unwrap_or_else(|_| path.clone());
        if !names.contains(&name) && !real.contains(&target) {
            names.insert(name);
            real.insert(target);
            found.push(path);
        }
    }
    found
}

/// With their folders, from the project on.
fn inner_files_of_other_tools(project: &Path, tracked: Option<&[PathBuf]>) -> Vec<(PathBuf, String)> {
    let is_entered = |path: &Path| {
        let name = folder::name_of(path);
        !name.starts_with('.') && name != "node_modules"
    };
    let walked = || {
        files(project, is_entered)
            .into_iter()
            .filter_map(|path| Some(path.strip_prefix(project).ok()?.to_owned()))
    };
    let paths: Vec<PathBuf> = tracked.map_or_else(|| walked().collect(), <[PathBuf]>::to_vec);
    let (mut real, mut found) = (BTreeSet::new(), Vec::new());
    for inside in paths.into_iter().filter(|path| of_other_tools(path).is_some()) {
        let (path, folder) = (project.join(&inside), inside.parent().unwrap_or(Path::new("")));
        let goes_down = inside.components().all(|part| matches!(part, Component::Normal(_)));
        if folder.as_os_str().is_empty() || !goes_down || !path.is_file() {
            continue;
        }
        if real.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            found.push((path, shown(folder)));
        }
    }
    found.sort_by(|(_, one), (_, other)| one.cmp(other));
    found
}
