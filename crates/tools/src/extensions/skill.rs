//! Skills: one file each, or a folder with a `SKILL.md`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use types::extensions::{Skill, SkillKind};

use super::Unfit;
use super::folder::{self, entries, is_markdown, is_within, name_of, shown};
use super::front_matter::{self, Document, text_of};

/// Characters of a description; what is longer is cut in its middle.
const LONGEST_DESCRIPTION: usize = 1_024;

const LONGEST_NAME: usize = 64;

/// For skills that ask the user for something.
const ASKS: &str = "\n\nIf the user didn't provide any of these variables, ask the user to provide them first before the \
                    agent can proceed with the task.";

/// Files that tools of others read, too, and what their skills are called.
const OF_OTHER_TOOLS: [(&str, &str); 5] = [
    (".cursorrules", "cursorrules"),
    ("agents.md", "agents"),
    ("agent.md", "agents"),
    ("claude.md", "claude"),
    ("gemini.md", "gemini"),
];

/// What a skill in a folder may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As its folder, of small letters, digits and single hyphens.
    Strict,
    Any,
}

/// The skill of a folder, which is in `root` with all that it leads to.
///
/// # Errors
/// Where it has none, or one that does not fit.
pub fn of_its_folder(folder: &Path, root: &Path, names: Names) -> Result<Skill, Unfit> {
    let file = skill_file(folder).ok_or(Unfit::Missing)?;
    if is_within(&file, root) { load(&file, None, names) } else { Err(Unfit::Outside) }
}

/// A skill's file. `base`: what its name begins below, where it has none of its own.
///
/// # Errors
/// For what does not fit.
pub fn load(path: &Path, base: Option<&Path>, names: Names) -> Result<Skill, Unfit> {
    let text = folder::text(path)?;
    if is_skill_file(path) {
        return of_agent_skills(path, &text, names);
    }
    if let Some(name) = of_other_tools(path) {
        return Ok(plain(name.to_owned(), text, path));
    }
    let document = front_matter::read(&text)?;
    let name = document.text_or("name", || base.map_or_else(|| stem(path), |base| below(path, base)));
    made(name, document, path, false)
}

fn of_agent_skills(path: &Path, text: &str, names: Names) -> Result<Skill, Unfit> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let document = front_matter::read(text)?;
    let name = document.text_or("name", || name_of(folder));
    if names == Names::Strict && !(is_name(&name) && name == name_of(folder)) {
        return Err(Unfit::Name);
    }
    made(name, document, path, true)
}

fn made(name: String, document: Document, path: &Path, is_agentskills_format: bool) -> Result<Skill, Unfit> {
    check(&document)?;
    let mut triggers = match document.fields.get("triggers") {
        None => Vec::new(),
        Some(given) => texts(given).ok_or(Unfit::Field("triggers"))?,
    };
    let (mut content, description) = (document.content.clone(), document.text("description")?);
    let mut disable_model_invocation =
        flag(document.get(&["disable-model-invocation", "disable_model_invocation"]))?;
    let mut brings_itself_up = !triggers.is_empty();
    if has_paths(&document)? {
        (triggers, disable_model_invocation, brings_itself_up) = (Vec::new(), true, true);
    } else if let Some(inputs) = document.fields.get("inputs") {
        let own = format!("/{name}");
        if !triggers.contains(&own) {
            triggers.push(own);
        }
        let inputs = inputs_of(inputs)?;
        if (inputs > 0 || has_variables(&content)) && !content.is_empty() && !content.contains(ASKS) {
            content.push_str(ASKS);
        }
        brings_itself_up = true;
    }
    let source = shown(path);
    let description = description.map(|text| shortened(text, &source));
    let kind = match (is_agentskills_format, brings_itself_up) {
        (true, _) => SkillKind::AgentSkills,
        (false, true) => SkillKind::Knowledge,
        (false, false) => SkillKind::Repo,
    };
    Ok(Skill {
        name,
        kind,
        content,
        triggers,
        source: Some(source),
        description,
        is_agentskills_format,
        disable_model_invocation,
    })
}

/// A skill that is always there.
fn plain(name: String, content: String, path: &Path) -> Skill {
    Skill {
        name,
        kind: SkillKind::Repo,
        content,
        triggers: Vec::new(),
        source: Some(shown(path)),
        description: None,
        is_agentskills_format: false,
        disable_model_invocation: false,
    }
}

/// A file of another tool in a folder of a project: it counts for what is in that folder.
///
/// # Errors
/// For what is no text.
pub(super) fn of_inner_folder(path: &Path, folder: &str) -> Result<Skill, Unfit> {
    let name = of_other_tools(path).ok_or(Unfit::Missing)?;
    let skill = plain(format!("{name}:{folder}"), folder::text(path)?, path);
    Ok(Skill { kind: SkillKind::Knowledge, disable_model_invocation: true, ..skill })
}

/// A command of a plugin as a skill.
pub(super) fn of_command(plugin: &str, path: &Path) -> Result<Skill, Unfit> {
    let command = stem(path);
    let document = front_matter::read(&folder::text(path)?)?;
    let text = |names: &[&str]| document.get(names).map(listed);
    let description = document.text_or("description", String::new);
    let mut parts = Vec::new();
    if !description.is_empty() {
        parts.push(format!("## {command}\n\n{description}\n"));
    }
    if let Some(hint) = text(&["argument-hint", "argumentHint"]).filter(|hint| !hint.is_empty()) {
        parts.push(format!("**Arguments**: `$ARGUMENTS` - {hint}\n"));
    }
    if !document.content.is_empty() {
        parts.push(format!("\n{}", document.content));
    }
    let name = format!("{plugin}:{command}");
    let description =
        if description.is_empty() { format!("Command {command} from {plugin}") } else { description };
    let source = shown(path);
    Ok(Skill {
        kind: SkillKind::Knowledge,
        triggers: vec![format!("/{name}")],
        description: Some(shortened(description, &source)),
        ..plain(name, parts.join("\n").trim().to_owned(), path)
    })
}

/// What a folder of skills holds.
pub struct Search<'a> {
    pub names: Names,
    /// Whether single files are looked for below its own level, too.
    pub deep: bool,
    /// A folder whose single files are no skills.
    pub except: Option<&'a Path>,
    /// What no link may lead out of.
    pub within: Option<&'a Path>,
}

/// The skills in a folder: those that are always there first, folders with a `SKILL.md` last.
#[must_use]
pub fn of_folder(folder: &Path, search: &Search<'_>) -> Vec<Skill> {
    let is_inside = |path: &Path| {
        let is_inside = search.within.is_none_or(|root| is_within(path, root));
        if !is_inside {
            tracing::warn!(path = %path.display(), "what a link leads to elsewhere is left out");
        }
        is_inside
    };
    let folders = entries(folder).into_iter().filter(|path| path.is_dir() && is_inside(path));
    let whole: Vec<PathBuf> =
        folders.filter_map(|path| skill_file(&path)).filter(|path| is_inside(path)).collect();
    let owned: Vec<&Path> = whole.iter().filter_map(|path| path.parent()).collect();
    let is_owned = |path: &Path| {
        owned.iter().any(|folder| path.starts_with(folder))
            || search.except.is_some_and(|except| path.starts_with(except))
    };
    let single: Vec<PathBuf> = match search.deep {
        true => folder::files(folder, |path| !is_owned(path)),
        false => entries(folder),
    };
    let is_skill = |path: &PathBuf| {
        let name = name_of(path);
        let is_about = if search.deep { name == "README.md" } else { name.eq_ignore_ascii_case("readme.md") };
        let is_other = search.deep && (is_skill_file(path) || is_owned(path));
        is_markdown(path) && !is_about && !is_other && path.is_file() && is_inside(path)
    };
    let mut found = Vec::new();
    for path in whole.iter().chain(single.iter().filter(|path| is_skill(path))) {
        match load(path, Some(folder), search.names) {
            Ok(skill) => found.push(skill),
            Err(why) => tracing::warn!(path = %path.display(), %why, "a skill is left out"),
        }
    }
    let of = |kind| {
        let mut skills = Vec::new();
        found.iter().filter(|skill| skill.kind == kind).for_each(|skill| put(&mut skills, skill.clone()));
        skills
    };
    [of(SkillKind::Repo), of(SkillKind::Knowledge), of(SkillKind::AgentSkills)].concat()
}

/// A later one takes the place of an earlier one of its name.
pub fn put(skills: &mut Vec<Skill>, skill: Skill) {
    match skills.iter_mut().find(|known| known.name == skill.name) {
        Some(known) => *known = skill,
        None => skills.push(skill),
    }
}

/// Those of names that are not there yet.
pub fn add_new(skills: &mut Vec<Skill>, more: impl IntoIterator<Item = Skill>) {
    for skill in more {
        if skills.iter().all(|known| known.name != skill.name) {
            skills.push(skill);
        }
    }
}

/// The file that makes a folder a skill.
pub(super) fn skill_file(folder: &Path) -> Option<PathBuf> {
    entries(folder).into_iter().find(|path| is_skill_file(path) && path.is_file())
}

fn is_skill_file(path: &Path) -> bool {
    name_of(path).eq_ignore_ascii_case("skill.md")
}

/// What the skill of a file of another tool is called; `None`: it is none.
pub(super) fn of_other_tools(path: &Path) -> Option<&'static str> {
    let name = name_of(path).to_lowercase();
    OF_OTHER_TOOLS.iter().find(|(file, _)| *file == name).map(|(_, skill)| *skill)
}

/// As of all that is installed, but of at most 64 characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && types::extensions::is_name(name)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn below(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).map_or_else(|_| stem(path), |path| shown(&path.with_extension("")))
}

/// What is not shown must fit all the same: who wrote it wrong is to notice.
fn check(document: &Document) -> Result<(), Unfit> {
    for name in ["license", "compatibility"] {
        document.text(name)?;
    }
    if document.get(&["metadata"]).is_some_and(|metadata| !metadata.is_object()) {
        return Err(Unfit::Field("metadata"));
    }
    match document.get(&["allowed-tools", "allowed_tools"]) {
        None | Some(Value::String(_) | Value::Array(_)) => Ok(()),
        Some(_) => Err(Unfit::Field("allowed-tools")),
    }
}

fn flag(value: Option<&Value>) -> Result<bool, Unfit> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Unfit::Field("disable-model-invocation")),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Whether it counts for some files only.
fn has_paths(document: &Document) -> Result<bool, Unfit> {
    match document.get(&["paths"]) {
        None => Ok(false),
        Some(Value::String(paths)) => Ok(paths.split(',').any(|path| !path.trim().is_empty())),
        Some(Value::Array(paths)) => Ok(paths.iter().any(|path| !text_of(path).trim().is_empty())),
        Some(_) => Err(Unfit::Field("paths")),
    }
}

/// How many things the user is asked for.
fn inputs_of(value: &Value) -> Result<usize, Unfit> {
    let inputs = value.as_array().ok_or(Unfit::Field("inputs"))?;
    let fits = |input: &Value| {
        ["name", "description"].iter().all(|field| input.get(*field).is_some_and(Value::is_string))
    };
    if inputs.iter().all(fits) { Ok(inputs.len()) } else { Err(Unfit::Field("inputs")) }
}

/// Whether there is a `${name}`.
fn has_variables(content: &str) -> bool {
    let is_variable = |part: &str| {
        let name = part.split_once('}').map_or("", |(name, _)| name);
        name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    content.split("${").skip(1).any(is_variable)
}

fn listed(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        other => text_of(other),
    }
}

fn shortened(text: String, source: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST_DESCRIPTION {
        return text;
    }
    let notice = format!(
        "<response clipped><NOTE>Due to the max output limit, only part of the full description is shown. You can view the \
         complete skill content at {source}.</NOTE>"
    );
    let Some(left) = LONGEST_DESCRIPTION.checked_sub(notice.chars().count()).filter(|left| *left > 0) else {
        return notice.chars().take(LONGEST_DESCRIPTION).collect();
    };
    let tail = left / 2;
    let head: String = text.chars().take(left - tail).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{head}{notice}{end}")
}
