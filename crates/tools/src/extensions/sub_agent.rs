//! Sub-agents: a file each, whose text is what the agent is told.

use std::path::Path;

use serde_json::{Value, json};
use types::extensions::{Level, SubAgent};

use super::Unfit;
use super::folder::{self, entries, name_of, shown};
use super::front_matter::{self, Document, text_of};
use super::project::Home;

/// Fields that are not kept as something else.
const KNOWN: [&str; 14] = [
    "name",
    "description",
    "model",
    "color",
    "tools",
    "skills",
    "max_iteration_per_run",
    "max_budget_per_run",
    "hooks",
    "profile_store_dir",
    "mcp_config",
    "mcp_servers",
    "permission_mode",
    "condenser",
];

const PERMISSION_MODES: [&str; 3] = ["always_confirm", "never_confirm", "confirm_risky"];

/// Those of a project.
#[must_use]
pub fn of_project(project: &Path) -> Vec<SubAgent> {
    let folders = [".agents/agents", ".openhands/agents"].map(|below| project.join(below));
    folders.iter().flat_map(|folder| of_folder(folder, Level::Project)).fold(Vec::new(), add_new)
}

/// Those of a home.
#[must_use]
pub fn of_home(home: &Home) -> Vec<SubAgent> {
    let folders = [home.folder.join(".agents/agents"), home.persistence.join("agents")];
    folders.iter().flat_map(|folder| of_folder(folder, Level::User)).fold(Vec::new(), add_new)
}

fn add_new(mut agents: Vec<SubAgent>, agent: SubAgent) -> Vec<SubAgent> {
    if agents.iter().all(|known| known.name != agent.name) {
        agents.push(agent);
    }
    agents
}

/// Only files of the folder itself.
fn of_folder(folder: &Path, level: Level) -> Vec<SubAgent> {
    let mut found = Vec::new();
    for path in entries(folder) {
        let is_text = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("md"));
        let is_about = ["README.md", "readme.md"].contains(&name_of(&path).as_str());
        if !is_text || is_about || !path.is_file() {
            continue;
        }
        let read = folder::text(&path).and_then(|text| of_text(&text, &path, level));
        match read {
            Ok(agent) => found.push(agent),
            Err(why) => tracing::warn!(path = %path.display(), %why, "a sub-agent is left out"),
        }
    }
    found
}

/// # Errors
/// For fields that do not fit.
pub fn of_text(text: &str, path: &Path, level: Level) -> Result<SubAgent, Unfit> {
    let document = front_matter::read(text)?;
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let description = document.text_or("description", String::new);
    let metadata = document.fields.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    Ok(SubAgent {
        name: document.text_or("name", stem),
        model: document.text_or("model", || "inherit".to_owned()),
        color: document.get(&["color"]).map(text_of),
        tools: list(document.fields.get("tools"), |text| vec![text.to_owned()]),
        skills: list(document.fields.get("skills"), parted),
        when_to_use_examples: examples(&description),
        description,
        permission_mode: permission_mode(&document)?,
        max_iteration_per_run: most_rounds(&document)?,
        max_budget_per_run: most_money(&document)?,
        mcp_config: servers(&document)?,
        profile_store_dir: document.text("profile_store_dir")?,
        hooks: document.get(&["hooks"]).filter(|hooks| hooks.is_object()).cloned(),
        condenser: condenser(&document)?,
        metadata: metadata.map(|(name, value)| (name.clone(), value.clone())).collect(),
        system_prompt: document.content,
        level,
        source: Some(shown(path)),
    })
}

fn list(value: Option<&Value>, of_text: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => of_text(text),
        Some(Value::Array(items)) => items.iter().map(text_of).collect(),
        _ => Vec::new(),
    }
}

fn parted(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// What stands between `<example>` and `</example>`.
fn examples(description: &str) -> Vec<String> {
    const BEGIN: &str = "<example>";
    const END: &str = "</example>";
    let small = description.to_ascii_lowercase();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(begin) = small.get(at..).and_then(|rest| rest.find(BEGIN)) {
        let from = at + begin + BEGIN.len();
        let Some(length) = small.get(from..).and_then(|rest| rest.find(END)) else { break };
        let example = description.get(from..from + length).unwrap_or_default().trim();
        if !example.is_empty() {
            found.push(example.to_owned());
        }
        at = from + length + END.len();
    }
    found
}

fn permission_mode(document: &Document) -> Result<Option<String>, Unfit> {
    let Some(given) = document.get(&["permission_mode"]) else { return Ok(None) };
    let mode = text_of(given).trim().to_lowercase();
    if PERMISSION_MODES.contains(&mode.as_str()) {
        Ok(Some(mode))
    } else {
        Err(Unfit::Field("permission_mode"))
    }
}

fn most_rounds(document: &Document) -> Result<Option<u64>, Unfit> {
    let most = match document.get(&["max_iteration_per_run"]) {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Number(number)) if number.is_f64() => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        _ => return Ok(None),
    };
    most.filter(|most| *most > 0).map(Some).ok_or(Unfit::Field("max_iteration_per_run"))
}

fn most_money(document: &Document) -> Result<Option<f64>, Unfit> {
    let most: Option<f64> = match document.get(&["max_budget_per_run"]) {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Number(number)) => number.as_f64(),
        _ => return Ok(None),
    };
    let most = most.filter(|most| most.is_finite() && *most > 0.0);
    most.map(Some).ok_or(Unfit::Field("max_budget_per_run"))
}

fn servers(document: &Document) -> Result<Option<Value>, Unfit> {
    match document.fields.get("mcp_config").or(document.fields.get("mcp_servers")) {
        None | Some(Value::Null) => Ok(None),
        Some(servers) if servers.is_object() => Ok(Some(servers.clone())),
        Some(_) => Err(Unfit::Field("mcp_config")),
    }
}

fn condenser(document: &Document) -> Result<Option<Value>, Unfit> {
    let none = || json!({"kind": "NoOpCondenser"});
    match document.get(&["condenser"]) {
        None | Some(Value::Bool(true)) => Ok(None),
        Some(Value::Bool(false)) => Ok(Some(none())),
        Some(Value::String(word)) => match word.trim().to_lowercase().as_str() {
            "" | "default" | "inherit" => Ok(None),
            "none" | "off" | "false" | "no" | "disable" | "disabled" => Ok(Some(none())),
            _ => Err(Unfit::Field("condenser")),
        },
        Some(condenser) if condenser.get("kind").is_some_and(Value::is_string) => Ok(Some(condenser.clone())),
        Some(_) => Err(Unfit::Field("condenser")),
    }
}
