//! Agents that are known: how they are started, and which secrets are theirs. The table is made from the peer's
//! (`openhands.sdk.settings.acp_providers` of 1.58.2).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Provider {
    pub default_command: Vec<String>,
    /// Parts of the names by which the agent calls itself, and beginnings of those of its programs.
    pub agent_name_patterns: Vec<String>,
    pub supports_runtime_model_switch: bool,
    /// Names of secrets that it reads from files.
    pub file_secrets: Vec<String>,
    /// The program that stands in for its package where an image has it.
    pub binary_name: Option<String>,
    pub data_dir_env_var: Option<String>,
    pub env_conflicts: Vec<Conflict>,
}

/// Where the one variable is set, the others would defeat it.
#[derive(Deserialize)]
pub(super) struct Conflict {
    pub dominant: String,
    pub strip: Vec<String>,
}

static PROVIDERS: LazyLock<BTreeMap<String, Provider>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a test reads the file")]
    serde_json::from_str(include_str!("providers.json")).expect("it is a table of providers")
});

pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static Provider)> {
    PROVIDERS.iter().map(|(key, provider)| (key.as_str(), provider))
}

/// By the name in settings, else by what is started.
pub(super) fn of(server: &str, command: &[String]) -> Option<(&'static str, &'static Provider)> {
    all().find(|(key, _)| *key == server).or_else(|| of_command(command))
}

pub(super) fn of_command(command: &[String]) -> Option<(&'static str, &'static Provider)> {
    let is_started = |(_, provider): &(&str, &Provider)| {
        let begins = |word: &String| {
            let name = word.rsplit('/').next().unwrap_or_default();
            provider.agent_name_patterns.iter().any(|pattern| name.starts_with(pattern.as_str()))
        };
        command.iter().any(begins)
    };
    all().find(is_started)
}

/// Whether a conversation with an agent of this name can change between models.
pub(super) fn switches_models(agent: &str) -> bool {
    let agent = agent.to_lowercase();
    let is_meant = |provider: &Provider| {
        provider.agent_name_patterns.iter().any(|pattern| agent.contains(pattern.as_str()))
    };
    all()
        .find(|(_, provider)| is_meant(provider))
        .is_some_and(|(_, provider)| provider.supports_runtime_model_switch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_name_and_by_what_is_started() {
        let command = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let name = |server: &str, words: &[&str]| of(server, &command(words)).map(|(key, _)| key);
        assert_eq!(name("codex", &["anything"]), Some("codex"));
        assert_eq!(name("custom", &["npx", "-y", "@agentclientprotocol/codex-acp@1.10.0"]), Some("codex"));
        assert_eq!(name("custom", &["/usr/bin/claude-agent-acp"]), Some("claude-code"));
        assert_eq!(name("custom", &["/bin/false"]), None);
        assert!(switches_models("Gemini-CLI") && !switches_models("something"));
    }
}
