//! What extends agents, as it is read from files: skills, plugins, sub-agents, and what a catalogue offers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Bytes of the name of what is installed.
pub const MOST_NAME: usize = 255;

/// `^[a-z0-9]+(-[a-z0-9]+)*$`: what is installed can have such a name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= MOST_NAME && name.split('-').all(is_part)
}

/// Knowledge for agents, in the words of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Skill {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: SkillKind,
    pub content: String,
    /// Words of a user that bring it up.
    pub triggers: Vec<String>,
    /// The file that it is from.
    pub source: Option<String>,
    pub description: Option<String>,
    pub is_agentskills_format: bool,
    /// Whether models are not told of it, because something else brings it up.
    pub disable_model_invocation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SkillKind {
    /// Always there.
    Repo,
    /// There once something brings it up.
    Knowledge,
    /// A folder with a `SKILL.md`, which an agent opens when it wants.
    AgentSkills,
}

/// A skill by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Brief {
    pub name: String,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plugin {
    pub name: String,
    pub version: String,
    pub description: String,
    /// Its folder.
    pub path: String,
    pub skills: Vec<Brief>,
    /// Below its folder.
    pub files: Vec<String>,
}

/// An agent that others delegate to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubAgent {
    pub name: String,
    pub description: String,
    pub model: String,
    pub color: Option<String>,
    pub tools: Vec<String>,
    pub skills: Vec<String>,
    pub system_prompt: String,
    pub when_to_use_examples: Vec<String>,
    pub permission_mode: Option<String>,
    pub max_iteration_per_run: Option<u64>,
    pub max_budget_per_run: Option<f64>,
    /// As they are written.
    pub mcp_config: Option<Value>,
    pub profile_store_dir: Option<String>,
    /// As they are written.
    pub hooks: Option<Value>,
    pub condenser: Option<Value>,
    /// What else is written there.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Map<String, Value>,
    pub level: Level,
    /// Its file.
    pub source: Option<String>,
}

/// Where a sub-agent was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Project,
    User,
    Builtin,
}

/// What can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtensionKind {
    Skill,
    Plugin,
    /// An extension of the user interface.
    Canvas,
}

/// What is in something that can be installed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Contents {
    Skill(Skill),
    Plugin { skills: Vec<Brief>, files: Vec<String> },
    Canvas { manifest: Value },
}

/// An entry of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    pub name: String,
    pub description: Option<String>,
    pub source: String,
    pub reference: Option<String>,
    pub repo_path: Option<String>,
    /// Of what is more than a skill.
    pub is_plugin: bool,
    /// What is in it, where the catalogue itself has it.
    pub contents: Option<Plugin>,
}

/// An address as it may be shown.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://****{}", rest.get(user.len()..).unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_shown() {
        assert_eq!(without_credentials("https://u:p@h/r.git"), "https://****@h/r.git");
        assert_eq!(without_credentials("https://u:p@x@h/r@1"), "https://****@h/r@1");
        assert_eq!(without_credentials("https://h/r@1"), "https://h/r@1");
        assert_eq!(without_credentials("git@h:r"), "git@h:r");
    }
}
