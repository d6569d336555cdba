//! Plugins: folders with skills, commands and a manifest. Nothing of them is run by being loaded.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use types::extensions::{Brief, Plugin, Skill};

use super::Unfit;
use super::folder::{self, entries, is_within, name_of, shown};
use super::skill::{self, Names, Search};

/// What marks a manifest of the portable format, which stands at the root of a plugin.
const PORTABLE: &str = "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json";

/// Where the portable format has what is not part of it.
const OWN_FOLDER: &str = "dev.openhands";

/// Files that are told of.
const MOST_FILES: usize = 2_000;

/// A plugin with what it holds.
#[derive(Debug)]
pub struct Loaded {
    pub name: String,
    pub version: String,
    pub description: String,
    pub folder: PathBuf,
    pub skills: Vec<Skill>,
    /// Skills too, by what a user types.
    pub commands: Vec<Skill>,
}

/// # Errors
/// Where the folder is not there, or its manifest does not fit.
pub fn load(folder: &Path) -> Result<Loaded, Unfit> {
    let folder = folder.canonicalize()?;
    if !folder.is_dir() {
        return Err(Unfit::Missing);
    }
    let (manifest, own) = match portable(&folder)? {
        Some(manifest) => (manifest, folder.join(OWN_FOLDER)),
        None => (nested(&folder)?, folder.clone()),
    };
    let Manifest { name, version, description } = manifest;
    let commands = commands(&name, &own.join("commands"), &folder);
    Ok(Loaded { skills: skills(&folder), commands, name, version, description, folder })
}

impl Loaded {
    /// In short, with its files.
    #[must_use]
    pub fn described(self) -> Plugin {
        let skills = self.skills.iter().chain(&self.commands);
        let skills =
            skills.map(|skill| Brief { name: skill.name.clone(), description: skill.description.clone() });
        Plugin {
            skills: skills.collect(),
            files: files(&self.folder),
            path: shown(&self.folder),
            name: self.name,
            version: self.version,
            description: self.description,
        }
    }
}

/// What stands in a plugin's manifest.
///
/// # Errors
/// Where it has none.
pub fn raw_manifest(folder: &Path) -> Result<Map<String, Value>, Unfit> {
    let places = ["plugin.json", ".plugin/plugin.json", ".claude-plugin/plugin.json"];
    let found =
        places.iter().map(|place| folder.join(place)).find(|path| path.is_file() && is_within(path, folder));
    folder::object(&found.ok_or(Unfit::Missing)?)
}

struct Manifest {
    name: String,
    version: String,
    description: String,
}

impl Manifest {
    fn of(fields: &Map<String, Value>) -> Result<Self, Unfit> {
        let text = |name: &'static str, default: Option<&str>| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            None => default.map(str::to_owned).ok_or(Unfit::Field(name)),
            Some(_) => Err(Unfit::Field(name)),
        };
        Ok(Self {
            name: text("name", None)?,
            version: text("version", Some("1.0.0"))?,
            description: text("description", Some(""))?,
        })
    }
}

/// A manifest at the root; a file there that is no plugin's is passed over.
fn portable(folder: &Path) -> Result<Option<Manifest>, Unfit> {
    let path = folder.join("plugin.json");
    if !path.is_file() {
        return Ok(None);
    }
    if !is_within(&path, folder) {
        return Err(Unfit::Outside);
    }
    let fields = folder::object(&path)?;
    match fields.get("$schema") {
        None => Ok(None),
        Some(schema) if schema == PORTABLE => {
            let manifest = Manifest::of(&fields)?;
            if is_portable_name(&manifest.name) { Ok(Some(manifest)) } else { Err(Unfit::Field("name")) }
        }
        Some(_) => Err(Unfit::Field("$schema")),
    }
}

/// Small letters and digits, with hyphens or dots between them, of which no two of a kind stand side by side.
fn is_portable_name(name: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_end(&byte) || matches!(byte, b'.' | b'-');
    let bytes = name.as_bytes();
    (1..=64).contains(&bytes.len())
        && bytes.first().is_some_and(is_end)
        && bytes.last().is_some_and(is_end)
        && name.bytes().all(is_inner)
        && !name.contains("--")
        && !name.contains("..")
}

/// A manifest in a folder of its own, or none: then a plugin is called as its folder.
fn nested(folder: &Path) -> Result<Manifest, Unfit> {
    let places = [".plugin", ".claude-plugin"].map(|place| folder.join(place).join("plugin.json"));
    let Some(path) = places.iter().find(|path| path.symlink_metadata().is_ok()) else {
        let name = name_of(folder);
        return Ok(Manifest {
            description: format!("Plugin loaded from {name}"),
            name,
            version: "1.0.0".to_owned(),
        });
    };
    if !is_within(path, folder) {
        return Err(Unfit::Outside);
    }
    Manifest::of(&folder::object(path)?)
}

/// Those of its folder of skills, in the order of their files, or the one that it is itself.
fn skills(plugin: &Path) -> Vec<Skill> {
    let folder = plugin.join("skills");
    if folder.symlink_metadata().is_ok() {
        if !is_within(&folder, plugin) {
            return Vec::new();
        }
        let search = Search { names: Names::Any, deep: false, except: None, within: Some(plugin) };
        let mut found = skill::of_folder(&folder, &search);
        found.sort_by(|one, other| {
            one.source.as_deref().map(Path::new).cmp(&other.source.as_deref().map(Path::new))
        });
        return found;
    }
    let own = skill::skill_file(plugin).filter(|path| is_within(path, plugin));
    own.and_then(|path| skill::load(&path, Some(plugin), Names::Any).ok()).into_iter().collect()
}

fn commands(name: &str, folder: &Path, plugin: &Path) -> Vec<Skill> {
    if !is_within(folder, plugin) {
        return Vec::new();
    }
    let is_command = |path: &PathBuf| {
        let file = name_of(path);
        let is_text = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("md"));
        is_text
            && !["README.md", "readme.md"].contains(&file.as_str())
            && path.is_file()
            && is_within(path, plugin)
    };
    let mut found = Vec::new();
    for path in entries(folder).iter().filter(|path| is_command(path)) {
        match skill::of_command(name, path) {
            Ok(command) => found.push(command),
            Err(why) => tracing::warn!(path = %path.display(), %why, "a command of a plugin is left out"),
        }
    }
    found
}

fn files(plugin: &Path) -> Vec<String> {
    let found = folder::files(plugin, |path| name_of(path) != ".git");
    let inside = found.iter().filter_map(|path| path.strip_prefix(plugin).ok()).map(shown);
    let mut inside: Vec<String> = inside.collect();
    inside.sort_unstable();
    inside.truncate(MOST_FILES);
    inside
}
