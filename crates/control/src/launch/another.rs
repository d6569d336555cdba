//! Agents that are other programs, behind the Agent Client Protocol.

use serde_json::{Map, Value, json};

use super::unlaunchable::Unlaunchable;

/// How each of them gets at its model: the names of the secrets with its key and its address, and of those that become files.
const CREDENTIALS: [(&str, Credentials); 6] = [
    (
        "claude-code",
        Credentials { key: Some("ANTHROPIC_API_KEY"), url: Some("ANTHROPIC_BASE_URL"), files: &[] },
    ),
    (
        "codex",
        Credentials {
            key: Some("OPENAI_API_KEY"),
            url: Some("OPENAI_BASE_URL"),
            files: &["CODEX_AUTH_JSON"],
        },
    ),
    (
        "gemini-cli",
        Credentials {
            key: Some("GEMINI_API_KEY"),
            url: Some("GEMINI_BASE_URL"),
            files: &["GOOGLE_APPLICATION_CREDENTIALS_JSON"],
        },
    ),
    ("kimi-code", Credentials { key: None, url: Some("KIMI_BASE_URL"), files: &["KIMI_CODE_CONFIG_TOML"] }),
    ("pi", Credentials { key: Some("ANTHROPIC_API_KEY"), url: None, files: &["PI_AUTH_JSON"] }),
    ("opencode", Credentials { key: Some("OPENCODE_API_KEY"), url: None, files: &[] }),
];

#[derive(Clone, Copy, Default)]
pub(super) struct Credentials {
    pub key: Option<&'static str>,
    pub url: Option<&'static str>,
    pub files: &'static [&'static str],
}

pub(super) fn is_another(profile: &Value) -> bool {
    profile.get("agent_kind").is_some_and(|kind| kind == "acp")
}

/// Of the program that a profile names; none of one that the user has chosen freely.
pub(super) fn credentials(profile: &Value) -> Credentials {
    let server = profile.get("acp_server").and_then(Value::as_str).unwrap_or_default();
    let known = CREDENTIALS.iter().find(|(name, _)| *name == server);
    known.map(|(_, credentials)| *credentials).unwrap_or_default()
}

/// The settings that a profile makes, not yet completed. Such a program reads the project's own texts by itself, and is told no
/// time.
pub(super) fn settings(profile: &Value, servers: Map<String, Value>) -> Result<Value, Unlaunchable> {
    let own = |field: &str| profile.get(field).cloned().unwrap_or_default();
    let command = match profile.get("acp_command").and_then(Value::as_str) {
        Some(command) => shlex::split(command)
            .ok_or_else(|| Unlaunchable::Invalid("acp_command has a quotation without an end".to_owned()))?,
        None => Vec::new(),
    };
    if command.is_empty() && own("acp_server") == "custom" {
        return Err(Unlaunchable::Invalid(
            "acp_command is required when acp_server='custom' — there is no default launch command to fall back to"
                .to_owned(),
        ));
    }
    let arguments = profile.get("acp_args").filter(|arguments| arguments.is_array());
    Ok(json!({
        "agent_kind": "acp",
        "acp_server": own("acp_server"),
        "acp_model": own("acp_model"),
        "acp_session_mode": own("acp_session_mode"),
        "acp_prompt_timeout": own("acp_prompt_timeout"),
        "acp_startup_timeout": own("acp_startup_timeout"),
        "acp_command": command,
        "acp_args": arguments.cloned().unwrap_or_else(|| json!([])),
        "mcp_config": servers,
        "agent_context": {"skills": [], "current_datetime": null, "load_project_skills": false},
    }))
}
