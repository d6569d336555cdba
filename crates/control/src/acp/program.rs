//! How the agent of some settings is started.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use types::acp::{AcpFile, AcpProgram};

use super::providers::{self, Provider};
use crate::Refusal;

const NO_COMMAND: &str =
    "ACPAgentSettings.acp_command must be set when acp_server='custom' — there is no default to fall back to";

/// A secret that agents read from a file.
#[derive(Deserialize)]
struct FileSecret {
    secret_name: String,
    filename: String,
    env_var: String,
    subdir: String,
    env_points_to: String,
}

/// # Errors
/// `Unfit` where no command is set and none is known.
pub(super) fn of(settings: &Value, mut secrets: BTreeMap<String, String>) -> Result<AcpProgram, Refusal> {
    let server = settings.get("acp_server").and_then(Value::as_str).unwrap_or_default();
    let mut command = texts(settings, "acp_command");
    if command.is_empty() {
        let known = providers::all().find(|(key, _)| *key == server);
        let (_, provider) = known.ok_or_else(|| Refusal::Unfit(NO_COMMAND.to_owned()))?;
        command.clone_from(&provider.default_command);
    }
    let provider = providers::of(server, &command);
    let arguments = texts(settings, "acp_args");
    let mut preferred = preferred(server, &command);
    preferred.iter_mut().for_each(|command| command.extend(arguments.iter().cloned()));
    command.extend(arguments);
    let files = files(settings, provider, &mut secrets);
    let without = conflicting(provider, &secrets);
    if command.iter().any(|word| word.contains("codex-acp")) {
        lead_codex(&mut secrets);
    }
    let is_isolated = settings.get("acp_isolate_data_dir").and_then(Value::as_bool).unwrap_or_default();
    let data_folder = provider.filter(|_| is_isolated).and_then(|(key, provider)| {
        provider.data_dir_env_var.as_ref().map(|variable| (variable.clone(), key.to_owned()))
    });
    Ok(AcpProgram { command, preferred, env: secrets, without, files, data_folder })
}

/// What an image has installed in place of what would be downloaded.
fn preferred(server: &str, command: &[String]) -> Option<Vec<String>> {
    let (_, provider) = providers::all().find(|(key, _)| *key == server)?;
    let binary = provider.binary_name.as_ref()?;
    let (own, _) = package(&provider.default_command)?;
    let (asked, rest) = package(command)?;
    (own == asked).then(|| [binary.clone()].into_iter().chain(rest.iter().cloned()).collect())
}

/// The package that `npx` is told to start, without a version, and what comes after it.
fn package(command: &[String]) -> Option<(&str, &[String])> {
    let (npx, rest) = command.split_first()?;
    if npx != "npx" {
        return None;
    }
    let at = rest.iter().position(|word| !word.starts_with('-'))?;
    let (package, rest) = rest.get(at..)?.split_first()?;
    let scope = usize::from(package.starts_with('@'));
    let name = package.get(scope..)?.split('@').next()?;
    Some((package.get(..scope + name.len())?, rest))
}

/// Secrets that are files are no variables. Those of other agents are left alone.
fn files(
    settings: &Value,
    provider: Option<(&str, &Provider)>,
    secrets: &mut BTreeMap<String, String>,
) -> Vec<AcpFile> {
    let listed = settings.get("acp_file_secrets").cloned().unwrap_or_default();
    let listed: Vec<FileSecret> = serde_json::from_value(listed).unwrap_or_default();
    let is_anothers = |name: &String| {
        provider.is_some_and(|(own, provider)| {
            let has = |provider: &Provider| provider.file_secrets.contains(name);
            !has(provider) && providers::all().any(|(key, other)| key != own && has(other))
        })
    };
    let is_ours = |file: &FileSecret| !is_anothers(&file.secret_name);
    let mut files = Vec::new();
    for file in listed.into_iter().filter(is_ours) {
        let Some(text) = secrets.remove(&file.secret_name).filter(|text| !text.is_empty()) else { continue };
        files.push(AcpFile {
            folder: file.subdir,
            name: file.filename,
            variable: file.env_var,
            is_folder_named: file.env_points_to == "dir",
            text,
        });
    }
    files
}

/// Of an agent that is not known it could be any.
fn conflicting(provider: Option<(&str, &Provider)>, secrets: &BTreeMap<String, String>) -> Vec<String> {
    let meant = |key: &str| provider.is_none_or(|(own, _)| own == key);
    let conflicts =
        providers::all().filter(|(key, _)| meant(key)).flat_map(|(_, provider)| &provider.env_conflicts);
    let defeating = conflicts.filter(|conflict| secrets.contains_key(&conflict.dominant));
    defeating.flat_map(|conflict| conflict.strip.iter().cloned()).collect()
}

/// Codex reads its base URL from its own configuration alone. One that says something about it already is left as it is.
fn lead_codex(secrets: &mut BTreeMap<String, String>) {
    let Some(url) = secrets.get("OPENAI_BASE_URL").filter(|url| !url.is_empty()).cloned() else { return };
    let given = secrets.get("CODEX_CONFIG").filter(|given| !given.is_empty());
    let Ok(mut config) = given.map_or_else(|| Ok(Map::new()), |given| serde_json::from_str(given)) else {
        return;
    };
    let says = config.contains_key("openai_base_url") || config.contains_key("model_provider");
    if says || secrets.get("MODEL_PROVIDER").is_some_and(|provider| !provider.is_empty()) {
        return;
    }
    config.insert("openai_base_url".to_owned(), url.into());
    secrets.insert("CODEX_CONFIG".to_owned(), Value::from(config).to_string());
}

fn texts(settings: &Value, field: &str) -> Vec<String> {
    let list = settings.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn started(settings: Value, secrets: &[(&str, &str)]) -> AcpProgram {
        let settings = forms::acp_settings().fill(settings).unwrap();
        let secrets = secrets.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        of(&settings, secrets.collect()).ok().unwrap()
    }

    #[test]
    fn what_an_image_has_is_started_in_place_of_a_download() {
        let claude = started(json!({"acp_server": "claude-code"}), &[]);
        assert_eq!(claude.command[0], "npx");
        assert_eq!(claude.preferred, Some(vec!["claude-agent-acp".to_owned()]));
        let gemini = started(json!({"acp_server": "gemini-cli", "acp_args": ["-x"]}), &[]);
        assert_eq!(gemini.preferred, Some(["gemini", "--acp", "-x"].map(str::to_owned).into()));
        let own = started(json!({"acp_server": "claude-code", "acp_command": ["npx", "other"]}), &[]);
        assert_eq!((own.command, own.preferred), (["npx", "other"].map(str::to_owned).into(), None));
    }

    #[test]
    fn a_secret_that_is_a_file_is_one_for_its_own_agent_alone() {
        let secrets = [("CODEX_AUTH_JSON", "{}"), ("PI_AUTH_JSON", "{}"), ("A", "b")];
        let codex = started(json!({"acp_server": "codex"}), &secrets);
        let files: Vec<_> =
            codex.files.iter().map(|file| (file.variable.as_str(), file.name.as_str())).collect();
        assert_eq!(files, [("CODEX_HOME", "auth.json")]);
        assert!(!codex.env.contains_key("CODEX_AUTH_JSON") && codex.env.contains_key("A"));
    }

    #[test]
    fn a_login_is_not_defeated_by_a_key_beside_it() {
        let secrets = [("CLAUDE_CODE_OAUTH_TOKEN", "t"), ("ANTHROPIC_API_KEY", "k")];
        let without = |server: &str| started(json!({ "acp_server": server }), &secrets).without;
        assert_eq!(without("claude-code"), ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]);
        assert!(without("pi").is_empty(), "there the key is the login");
    }

    #[test]
    fn codex_is_led_to_another_address_by_its_configuration() {
        let config = |secrets: &[(&str, &str)]| {
            started(json!({"acp_server": "codex"}), secrets).env.get("CODEX_CONFIG").cloned()
        };
        let url = ("OPENAI_BASE_URL", "http://x");
        assert_eq!(config(&[url]).as_deref(), Some(r#"{"openai_base_url":"http://x"}"#));
        let own = r#"{"model_provider":"y"}"#;
        assert_eq!(config(&[url, ("CODEX_CONFIG", own)]).as_deref(), Some(own));
        assert_eq!(config(&[]), None);
    }
}
