//! Catalogues: a file that says which skills and plugins there are, and where.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use types::extensions::{Offered, Skill};

use super::folder::{self, entries, shown};
use super::skill::{self, Names};
use super::{Unfit, plugin, source};

/// The catalogue's file where no folder of a manifest has one.
pub const DEFAULT: &str = "marketplaces/default.json";

/// An entry of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub description: Option<String>,
    pub source: Source,
}

/// Where an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, from the catalogue on, or an address.
    Text(String),
    Repository {
        source: String,
        reference: Option<String>,
        path: Option<String>,
    },
}

/// A catalogue with its folder.
#[derive(Debug)]
pub struct Catalogue {
    folder: PathBuf,
    pub plugins: Vec<Entry>,
    pub skills: Vec<Entry>,
}

impl Catalogue {
    /// # Errors
    /// Where there is none, or one that does not fit.
    pub fn load(folder: &Path) -> Result<Self, Unfit> {
        let places = [".plugin", ".claude-plugin"].map(|place| folder.join(place).join("marketplace.json"));
        Self::read(folder, &places.into_iter().find(|path| path.is_file()).ok_or(Unfit::Missing)?)
    }

    /// The catalogue of a repository that may have its file elsewhere.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn load_public(folder: &Path) -> Result<Self, Unfit> {
        Self::load(folder).or_else(|_| Self::load_file(folder, DEFAULT))
    }

    /// # Errors
    /// As [`Catalogue::load`]; a path that leads out of the folder.
    pub fn load_file(folder: &Path, file: &str) -> Result<Self, Unfit> {
        let file = Path::new(file);
        if !file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(Unfit::Outside);
        }
        Self::read(folder, &folder.join(file))
    }

    fn read(folder: &Path, file: &Path) -> Result<Self, Unfit> {
        if file.exists() && !folder::is_within(file, folder) {
            return Err(Unfit::Outside);
        }
        Self::of(folder, &folder::object(file)?)
    }

    /// What a folder of skills without a manifest would have for one.
    #[must_use]
    pub fn of_skills_in(folder: &Path) -> Self {
        let mut folders: Vec<PathBuf> = ["skills", ".skills"]
            .map(|name| folder.join(name))
            .into_iter()
            .filter(|path| path.is_dir())
            .collect();
        if folders.is_empty() {
            folders.push(folder.to_owned());
        }
        let mut skills: Vec<Entry> = Vec::new();
        for path in
            folders.iter().flat_map(|folder| entries(folder)).filter(|path| folder::is_within(path, folder))
        {
            let Ok(skill) = skill::of_its_folder(&path, folder, Names::Any) else { continue };
            let inside = path.strip_prefix(folder).map(shown).unwrap_or_default();
            if skills.iter().all(|known| known.name != skill.name) {
                let source = Source::Text(format!("./{inside}"));
                skills.push(Entry { name: skill.name, description: skill.description, source });
            }
        }
        Self { folder: folder.to_owned(), plugins: Vec::new(), skills }
    }

    fn of(folder: &Path, fields: &Map<String, Value>) -> Result<Self, Unfit> {
        let is_named =
            |value: Option<&Value>| value.and_then(|value| value.get("name")).is_some_and(Value::is_string);
        if !fields.get("name").is_some_and(Value::is_string) || !is_named(fields.get("owner")) {
            return Err(Unfit::Field("name"));
        }
        let list = |name: &'static str| match fields.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(entries)) => {
                entries.iter().map(|entry| Entry::of(entry).ok_or(Unfit::Field(name))).collect()
            }
            Some(_) => Err(Unfit::Field(name)),
        };
        Ok(Self { folder: folder.to_owned(), plugins: list("plugins")?, skills: list("skills")? })
    }

    /// Everything that it offers: plugins first, which win by name. Who has written it knows of no folder but its own: an entry that
    /// leads elsewhere on this machine is left out.
    #[must_use]
    pub fn offered(&self) -> Vec<Offered> {
        let plugins = self.plugins.iter().filter(|entry| self.stays(entry)).map(|entry| self.offer(entry));
        let skills = self.skills.iter().filter(|entry| self.stays(entry)).map(|entry| Offered {
            // As it is written: whoever installs it resolves it.
            source: match &entry.source {
                Source::Text(text) => text.clone(),
                Source::Repository { source, .. } => source.clone(),
            },
            ..self.offer(entry)
        });
        let mut all: Vec<Offered> = Vec::new();
        for offered in plugins.chain(skills) {
            if all.iter().all(|known| known.name != offered.name) {
                all.push(offered);
            }
        }
        all
    }

    fn offer(&self, entry: &Entry) -> Offered {
        let Entry { name, description, source } = entry;
        let (is_plugin, resolved) = match source {
            Source::Text(text) => (text.starts_with("./plugins/"), self.resolve(text)),
            Source::Repository { path, .. } => {
                (path.as_deref().is_some_and(|path| path.starts_with("plugins/")), source.clone())
            }
        };
        let (source, reference, repo_path) = match resolved {
            Source::Text(text) => (text, None, None),
            Source::Repository { source, reference, path } => (source, reference, path),
        };
        let here = self.folder_of(entry).filter(|_| is_plugin);
        let contents = here.and_then(|folder| plugin::load(&folder).ok());
        Offered {
            name: name.clone(),
            description: description.clone(),
            source,
            reference,
            repo_path,
            is_plugin,
            contents: contents.map(plugin::Loaded::described),
        }
    }

    /// A path from the catalogue on becomes whole.
    fn resolve(&self, text: &str) -> Source {
        let is_whole = text.starts_with(['/', '~']) || text.contains("://") || is_remote(text);
        Source::Text(match is_whole {
            true => text.to_owned(),
            false => shown(&self.folder.join(text.trim_start_matches(['.', '/']))),
        })
    }

    fn stays(&self, entry: &Entry) -> bool {
        let text = match &entry.source {
            Source::Repository { source, .. } => return is_remote(source),
            Source::Text(text) if is_remote(text) => return true,
            Source::Text(text) => text,
        };
        let Source::Text(path) = self.resolve(text) else { return true };
        let path = Path::new(&path);
        let is_below =
            path.starts_with(&self.folder) && !path.components().any(|part| part == Component::ParentDir);
        // What is not there leads nowhere.
        folder::is_within(path, &self.folder) || is_below && path.symlink_metadata().is_err()
    }

    /// The skills of a repository of skills that the catalogue names.
    #[must_use]
    pub fn public_skills(&self) -> Vec<Skill> {
        let folder = self.folder.join("skills");
        let mut found = Vec::new();
        for Entry { name, .. } in self.plugins.iter().filter(|entry| is_plain(&entry.name)) {
            let whole = skill::of_its_folder(&folder.join(name), &self.folder, Names::Strict);
            let single = folder.join(format!("{name}.md"));
            let loaded = match whole {
                Err(Unfit::Missing) if single.exists() && !folder::is_within(&single, &self.folder) => {
                    Err(Unfit::Outside)
                }
                Err(Unfit::Missing) => skill::load(&single, Some(&self.folder), Names::Strict),
                loaded => loaded,
            };
            match loaded {
                Ok(skill) => skill::put(&mut found, skill),
                Err(why @ Unfit::Outside) => tracing::warn!(name, %why, "a public skill is left out"),
                Err(why) => tracing::debug!(name, %why, "a public skill is left out"),
            }
        }
        found
    }

    /// A folder of this catalogue that an entry names.
    #[must_use]
    pub fn folder_of(&self, entry: &Entry) -> Option<PathBuf> {
        let Source::Text(text) = &entry.source else { return None };
        let Source::Text(path) = self.resolve(text) else { return None };
        let path = PathBuf::from(path);
        (path.is_dir() && folder::is_within(&path, &self.folder)).then_some(path)
    }
}

/// As whoever fetches it takes it.
fn is_remote(text: &str) -> bool {
    source::Source::parse(text).is_ok_and(|source| source.is_remote())
}

/// Whether a name is one part of a path.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

impl Entry {
    fn of(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let trimmed = |text: &str| text.trim().to_owned();
        let source = match value.get("source")? {
            Value::String(text) => Source::Text(trimmed(text)),
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
                let source = match text("source")?.as_str() {
                    "github" => format!("github:{}", text("repo")?),
                    _ => trimmed(&text("url")?),
                };
                Source::Repository { source, reference: text("ref"), path: text("path") }
            }
            _ => return None,
        };
        Some(Self { name: text("name")?, description: text("description"), source })
    }
}
