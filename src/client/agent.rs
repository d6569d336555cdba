//! Which agent a new conversation has.

use serde_json::{Value, json};

use super::Usage;
use super::api::Api;
use super::values::text;
use crate::settings::Source;

const HOW_TO_NAME_ONE: &str = "no model is set. Name one and its key:\n\n    \
     LLM_MODEL=anthropic/claude-sonnet-4-5-20250929 LLM_API_KEY=… manyhands run \"…\"\n\n\
     LLM_BASE_URL names another address than the provider's own. A server that has LLM profiles is asked for one with \
     --profile NAME.";

#[derive(clap::Args, Clone)]
pub struct AgentOptions {
    /// The model [default: LLM_MODEL, else the server's active profile]; its key is LLM_API_KEY, its address LLM_BASE_URL
    #[arg(long, value_name = "PROVIDER/NAME")]
    model: Option<String>,
    /// An LLM profile of the server
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    profile: Option<String>,
    /// Let no action run that was not confirmed
    #[arg(long)]
    pub confirm: bool,
    /// Steps that a run may take
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_iterations: Option<u64>,
}

/// What the environment says of the model.
#[derive(Clone, Default)]
pub struct Model {
    name: Option<String>,
    key: Option<String>,
    url: Option<String>,
}

impl Model {
    pub fn of(source: &Source) -> Self {
        let set = |name: &str| source.variable(name).filter(|value| !value.is_empty()).map(str::to_owned);
        Self { name: set("LLM_MODEL"), key: set("LLM_API_KEY"), url: set("LLM_BASE_URL") }
    }
}

impl AgentOptions {
    /// The body of a creation. `servers`: of the Model Context Protocol, as an agent's settings have them.
    ///
    /// # Errors
    /// Where there is no model.
    pub async fn creation(
        &self,
        api: &Api,
        model: &Model,
        working_dir: Option<&str>,
        servers: Option<Value>,
    ) -> anyhow::Result<Value> {
        // A title that a model makes is a call that nobody has asked for.
        let mut body = json!({"workspace": {"kind": "LocalWorkspace"}, "autotitle": false});
        let mut set = |pointer: &str, name: &str, value: Value| {
            if let Some(fields) = body.pointer_mut(pointer).and_then(Value::as_object_mut) {
                fields.insert(name.to_owned(), value);
            }
        };
        if let Some(folder) = working_dir {
            set("/workspace", "working_dir", folder.into());
        }
        if self.confirm {
            set("", "confirmation_policy", json!({"kind": "AlwaysConfirm"}));
        }
        if let Some(most) = self.max_iterations {
            set("", "max_iterations", most.into());
        }
        let named = self.model.as_ref().or(model.name.as_ref()).filter(|_| self.profile.is_none());
        match named {
            Some(name) => set("", "agent_settings", settings(name, model, servers)),
            None => {
                set("", "agent_profile_id", self.active_profile(api).await?);
                if let Some(profile) = &self.profile {
                    set("", "agent_launch_additions", json!({"llm_profile_ref": profile}));
                }
            }
        }
        Ok(body)
    }

    /// The agent profile that is used where none is named; the server makes it of its settings.
    async fn active_profile(&self, api: &Api) -> anyhow::Result<Value> {
        let settings = api.get("/api/settings").await?;
        let has_key = settings.get("llm_api_key_is_set").and_then(Value::as_bool).unwrap_or_default();
        let has_model = has_key
            || !text(&settings, "/active_profile").is_empty()
            || !text(&settings, "/agent_settings/llm/base_url").is_empty();
        if !has_model && self.profile.is_none() {
            return Err(Usage(HOW_TO_NAME_ONE.to_owned()).into());
        }
        let profiles = api.get("/api/agent-profiles").await?;
        match profiles.get("active_agent_profile_id").filter(|id| id.is_string()) {
            Some(id) => Ok(id.clone()),
            None => {
                Err(Usage("the server has no active agent profile: name a model with --model".to_owned())
                    .into())
            }
        }
    }
}

fn settings(name: &str, model: &Model, servers: Option<Value>) -> Value {
    let mut llm = json!({"model": name, "usage_id": "agent", "stream": true});
    for (field, value) in [("api_key", &model.key), ("base_url", &model.url)] {
        if let (Some(fields), Some(value)) = (llm.as_object_mut(), value) {
            fields.insert(field.to_owned(), value.as_str().into());
        }
    }
    match servers {
        Some(servers) => json!({"llm": llm, "mcp_config": {"mcpServers": servers}}),
        None => json!({"llm": llm}),
    }
}
