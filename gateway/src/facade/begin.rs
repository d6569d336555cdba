//! A run begins: in a conversation that is made for it, or in one that goes on.

use std::sync::Arc;

use axum::response::Response;
use control::setup::AgentProfiles;
use control::shelf::Expose;
use http::StatusCode;
use ports::Subscription;
use ports::rpc::{Fault, Reason};
use readmodel::index::ConversationState;
use serde_json::{Value, json};
use tracing::Instrument;
use types::{Content, ConversationId, Message, Role};

use super::of_run;
use super::outcome::Tokens;
use crate::auth::Caller;
use crate::conversations::{make, run_fault};
use crate::error::{ApiError, ApiResult};
use crate::handles::Facade;

/// What the names of models begin with; that of an LLM profile follows.
pub(super) const PREFIX: &str = "openhands_";

/// Characters that may be told before.
const MOST_INSTRUCTIONS: usize = 32_768;

/// Letters of the name of a model that are told back.
const TOLD: usize = 128;

/// What is asked of an agent, by whichever operation.
pub(super) struct Asked {
    pub model: String,
    /// What the agent is told before; for a conversation that goes on it has been told.
    pub instructions: String,
    pub content: Vec<Content>,
    /// The conversation that it goes on in, or is made with this id.
    pub conversation: Option<ConversationId>,
}

/// A run that has begun.
pub(super) struct Run {
    pub entry: Arc<ConversationState>,
    /// What its conversation had used before.
    pub before: Tokens,
}

/// Why none has begun, as far as is known.
pub(super) struct NotBegun {
    /// Where the message may be all the same.
    maybe_in: Option<ConversationId>,
    why: ApiError,
}

impl NotBegun {
    pub fn told(self) -> ApiResult<Response> {
        match self.maybe_in {
            Some(conversation) => of_run(conversation, Err::<(), _>(self.why)),
            None => Err(self.why),
        }
    }
}

impl<E: Into<ApiError>> From<E> for NotBegun {
    fn from(why: E) -> Self {
        Self { maybe_in: None, why: why.into() }
    }
}

impl Facade {
    /// The run, and the pieces of its answers, from its beginning on.
    ///
    /// # Errors
    /// 400 and 404 for what there is not, 409 without an active agent profile, 429 without a free run slot: then nothing is stored. Where
    /// it is not known whether the message is stored, its conversation stays.
    pub(super) async fn begin(&self, caller: &Caller, asked: Asked) -> Result<(Run, Subscription), NotBegun> {
        let (facade, caller) = (self.clone(), caller.clone());
        let id = asked.conversation.unwrap_or_else(ConversationId::random);
        // Also where nobody waits for it any more: a conversation is not left without the message that it was made for.
        let beginning = async move { facade.begun(&caller, id, asked).await };
        let begun = self.tasks.spawn(beginning.in_current_span()).await;
        begun.map_err(|panic| NotBegun { maybe_in: Some(id), why: ApiError::internal(panic) })?
    }

    async fn begun(
        &self,
        caller: &Caller,
        id: ConversationId,
        asked: Asked,
    ) -> Result<(Run, Subscription), NotBegun> {
        let profile = profile_of(&asked.model)?;
        self.launch.model(&caller.tenant, profile).await?;
        let agent = self.active_profile(caller).await?;
        if asked.instructions.chars().count() > MOST_INSTRUCTIONS {
            return Err(ApiError::bad_request("System instructions are too long").into());
        }
        let found = match asked.conversation {
            Some(id) => self.conversations.made_before(&caller.tenant, id).await?,
            None => None,
        };
        let (entry, is_new) = match found {
            Some(entry) => (entry, false),
            None => {
                let body = self.body(caller, &agent, profile, &asked.instructions).await?;
                make(self, caller, id, body).await?
            }
        };
        let before = Tokens::of(&entry);
        let fault = match self.say(&entry, asked.content).await {
            Ok(live) => return Ok((Run { entry, before }, live)),
            Err(fault) => fault,
        };
        let may_be_stored = fault.may_be_done();
        let maybe_in = may_be_stored.then_some(entry.id);
        if is_new
            && !may_be_stored
            && let Err(fault) = self.conversations.delete_unused(&entry).await
        {
            tracing::warn!(conversation.id = %entry.id, %fault, "a conversation without a message is left behind");
        }
        Err(NotBegun { maybe_in, why: run_fault(fault) })
    }

    async fn say(
        &self,
        entry: &Arc<ConversationState>,
        content: Vec<Content>,
    ) -> Result<Subscription, Fault> {
        // Nothing is stored by then, and nothing is lost where it cannot be heard.
        let deaf = |error: ports::Error| Fault::from(Reason::Unreachable).caused_by(error);
        let live = self.conversations.listen(entry).await.map_err(deaf)?;
        let message = Message { role: Role::User, content, ..Message::default() };
        self.conversations.say_and_run(entry, message).await?;
        Ok(live)
    }

    async fn active_profile(&self, caller: &Caller) -> ApiResult<Value> {
        let AgentProfiles { profiles, active } = self.setups.agent_profiles(&caller.tenant, true).await?;
        let active = active.map(|id| id.to_string());
        let is_active = |profile: &Value| profile.get("id").and_then(Value::as_str) == active.as_deref();
        let found = profiles
            .into_iter()
            .map(|(_, profile)| profile)
            .find(|profile| active.is_some() && is_active(profile));
        found.ok_or_else(|| {
            let why = "No active Agent Profile; activate one to use the gateway";
            ApiError::new(StatusCode::CONFLICT, why)
        })
    }

    /// The body of a creation.
    async fn body(
        &self,
        caller: &Caller,
        agent: &Value,
        profile: &str,
        instructions: &str,
    ) -> ApiResult<Value> {
        let settings = self.setups.settings(&caller.tenant, Expose::Masked).await?.conversation_settings;
        let confirms = settings.get("confirmation_mode") == Some(&Value::Bool(true));
        let analyzes = settings.get("security_analyzer").is_some_and(|analyzer| analyzer == "llm");
        let policy = match (confirms, analyzes) {
            (false, _) => "NeverConfirm",
            (true, true) => "ConfirmRisky",
            (true, false) => "AlwaysConfirm",
        };
        // Another program has a model of its own.
        let has_model = agent.get("agent_kind").is_none_or(|kind| kind != "acp");
        Ok(json!({
            "agent_profile_id": agent.get("id"),
            "agent_launch_additions": {
                "llm_profile_ref": has_model.then_some(profile),
                "system_message_suffix_append": instructions,
            },
            "workspace": {},
            "confirmation_policy": { "kind": policy },
            "security_analyzer": analyzes.then(|| json!({"kind": "LLMSecurityAnalyzer"})),
            "max_iterations": settings.get("max_iterations"),
            "autotitle": false,
        }))
    }
}

fn profile_of(model: &str) -> ApiResult<&str> {
    model.strip_prefix(PREFIX).filter(|profile| !profile.is_empty()).ok_or_else(|| {
        let told: String = model.chars().take(TOLD).collect();
        ApiError::new(StatusCode::NOT_FOUND, format!("Unknown OpenHands model '{told}'. Use GET /v1/models."))
    })
}
