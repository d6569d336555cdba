//! What a launch would come to.

use serde::Serialize;
use serde_json::{Map, Value};
use types::TenantId;

use super::resolve::{model_of, resolve, servers_of, texts};
use super::skills::{self, Catalogue};
use super::tools::{BROWSER, Tools};
use super::unlaunchable::Unlaunchable;
use super::{Launch, another};
use crate::Refusal;
use crate::setup::{Setup, agent_form, canonical, complete, read_agent_profile};
use crate::shelf::{Expose, Sealing};

/// What launching an agent profile would come to: what it refers to, what of that is not there, and the settings that it would make.
#[derive(Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AgentProfileDiagnostics {
    pub agent_kind: String,
    pub valid: bool,
    pub errors: Vec<String>,
    /// Tools that the server does not have. A browser is left out by a launch; any other makes it fail.
    pub unusable_tools: Vec<String>,
    pub llm_profile_ref: Option<String>,
    pub llm_profile_resolved: bool,
    pub llm_api_key_set: bool,
    pub mcp_server_refs: Option<Vec<String>>,
    pub resolved_mcp_config_keys: Vec<String>,
    pub dangling_mcp_server_refs: Vec<String>,
    pub disabled_skills: Vec<String>,
    pub public_skills: Option<Vec<String>>,
    pub resolved_skills: Vec<String>,
    pub secret_refs: Option<Vec<String>>,
    pub acp_api_key_secret_name: Option<String>,
    pub acp_base_url_secret_name: Option<String>,
    pub acp_file_secret_names: Vec<String>,
    pub meta_profile_ref: Option<String>,
    pub dangling_meta_profile_ref: Option<String>,
    pub dangling_meta_profile_llm_refs: Vec<String>,
    /// Secrets masked; null where it is not valid.
    pub resolved_settings: Option<Value>,
}

impl Launch {
    /// What launching the profile of this name would come to, or the draft of one.
    ///
    /// # Errors
    /// `Missing`; for a draft those of saving it; those of the shelf.
    pub async fn preview(
        &self,
        tenant: &TenantId,
        name: &str,
        draft: Option<Map<String, Value>>,
        tools: &Tools,
    ) -> Result<AgentProfileDiagnostics, Refusal> {
        let draft = draft.map(|draft| read_agent_profile(canonical(name), draft)).transpose()?;
        let mut setup = self.shelves.read::<Setup>(tenant).await?;
        let missing = || Refusal::Missing(format!("Agent profile '{name}' not found"));
        let profile = match draft {
            Some(draft) => draft,
            None => setup.agent_profiles.remove(canonical(name)).ok_or_else(missing)?,
        };
        let catalogue = self.catalogue(tenant, &profile).await;
        Ok(previewed(&setup, &profile, tools, &catalogue, &self.shelves.sealing::<Setup>(tenant)))
    }
}

fn previewed(
    setup: &Setup,
    profile: &Value,
    tools: &Tools,
    catalogue: &Catalogue,
    sealing: &Sealing<'_>,
) -> AgentProfileDiagnostics {
    let mut told = described(setup, profile, tools);
    let mut settings = match resolve(setup, profile, None, tools, catalogue) {
        Ok(settings) => settings,
        Err(unlaunchable) => {
            note(&mut told, setup, unlaunchable, || names_of(&skills::chosen(catalogue, profile)));
            return told;
        }
    };
    if let Some(llm) = settings.get("llm") {
        told.llm_profile_resolved = true;
        told.llm_api_key_set = has_key(llm);
    }
    told.resolved_skills = skills_of(&settings);
    if !told.errors.is_empty() {
        return told;
    }
    match sealing.show(agent_form(&settings), &mut settings, Expose::Masked) {
        Ok(()) => {
            told.resolved_settings = Some(settings);
            told.valid = true;
        }
        Err(_) => told.errors.push("Its secrets cannot be opened with this server's key".to_owned()),
    }
    told
}

/// What it says, before it is known whether that is there.
fn described(setup: &Setup, profile: &Value, tools: &Tools) -> AgentProfileDiagnostics {
    let text = |field: &str| profile.get(field).and_then(Value::as_str).map(str::to_owned);
    let (servers, _) = servers_of(&complete(&setup.agent_settings), profile);
    let told = AgentProfileDiagnostics {
        agent_kind: text("agent_kind").unwrap_or_else(|| "openhands".to_owned()),
        mcp_server_refs: texts(profile, "mcp_server_refs"),
        resolved_mcp_config_keys: servers.into_iter().map(|(name, _)| name).collect(),
        secret_refs: texts(profile, "secret_refs"),
        ..AgentProfileDiagnostics::default()
    };
    if another::is_another(profile) {
        let credentials = another::credentials(profile);
        return AgentProfileDiagnostics {
            acp_api_key_secret_name: credentials.key.map(str::to_owned),
            acp_base_url_secret_name: credentials.url.map(str::to_owned),
            acp_file_secret_names: credentials.files.iter().map(|name| (*name).to_owned()).collect(),
            ..told
        };
    }
    let unusable = tools.unusable(profile.get("tools").unwrap_or(&Value::Null));
    let failing: Vec<&str> = unusable.iter().map(String::as_str).filter(|name| *name != BROWSER).collect();
    let error = format!("Tool(s) this server cannot run: {}", failing.join(", "));
    AgentProfileDiagnostics {
        errors: if failing.is_empty() { Vec::new() } else { vec![error] },
        llm_profile_ref: text("llm_profile_ref"),
        disabled_skills: texts(profile, "disabled_skills").unwrap_or_default(),
        public_skills: texts(profile, "public_skills"),
        meta_profile_ref: text("meta_profile_ref"),
        unusable_tools: unusable,
        ..told
    }
}

/// Why nothing comes of it, and what is there all the same.
fn note(
    told: &mut AgentProfileDiagnostics,
    setup: &Setup,
    unlaunchable: Unlaunchable,
    skills: impl FnOnce() -> Vec<String>,
) {
    let dangling = match unlaunchable {
        Unlaunchable::Invalid(why) => {
            told.errors.push(format!("Failed to build agent settings: {why}"));
            return;
        }
        Unlaunchable::References(dangling) => dangling,
    };
    told.errors.extend(dangling.problems());
    if let Some(name) = told.llm_profile_ref.as_ref().filter(|_| dangling.llm_profile.is_none()) {
        told.llm_profile_resolved = true;
        told.llm_api_key_set = matches!(model_of(setup, name), Ok(Some(llm)) if has_key(&llm));
        told.resolved_skills = skills();
    }
    told.dangling_mcp_server_refs = dangling.mcp_servers;
    told.dangling_meta_profile_ref = dangling.meta_profile;
    told.dangling_meta_profile_llm_refs = dangling.routed;
}

/// A stored key is sealed, so it is not blank.
fn has_key(llm: &Value) -> bool {
    llm.get("api_key").is_some_and(Value::is_string)
}

fn skills_of(settings: &Value) -> Vec<String> {
    let skills = settings.pointer("/agent_context/skills").and_then(Value::as_array);
    names_of(skills.map(Vec::as_slice).unwrap_or_default())
}

fn names_of(skills: &[Value]) -> Vec<String> {
    skills.iter().filter_map(|skill| skill.get("name")?.as_str()).map(str::to_owned).collect()
}
