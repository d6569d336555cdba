//! The body of a creation, and the record it makes.

use std::collections::BTreeMap;
use std::path::Path;

use control::conversations::{Apart, Conversations};
use control::launch::{Launch, Launched};
use serde::Deserialize;
use serde_json::{Value, json};
use types::conversation::{ConversationRecord, FirstMessage, Titling, Workspace};
use types::known_values::KnownValues;
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};
use types::secrets::SecretSource;
use types::{Content, ConversationId, Message, Role, SandboxId, TenantId, time};
use uuid::Uuid;

use super::agent_source::{self, Additions};
use super::control::analyzer;
use super::secrets::{check_together, name_those_kept_here, typed_sources};
use super::update::check_tags;
use super::worktree_options::ConversationWorktreeOptions;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Object;
use crate::offer::Offer;
use crate::schema::conversation::PassedOver;

/// Characters of what asks for a title.
const MOST_PROMPT: usize = 2_000;

/// A creation as it is described; [`StartConversation`] is as much of it as is read.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(super) struct StartConversationRequest {
    #[serde(flatten)]
    #[schema(value_type = StartConversation)]
    read: Value,
    #[serde(flatten)]
    passed_over: PassedOver,
}

/// Fields this server does not act on are passed over.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct StartConversation {
    #[schema(value_type = StartWorkspace)]
    workspace: Object<StartWorkspace>,
    #[serde(default)]
    pub(super) conversation_id: Option<Uuid>,
    #[serde(default)]
    agent: Option<Value>,
    #[serde(default)]
    agent_settings: Option<Value>,
    #[serde(default)]
    agent_profile_id: Option<Uuid>,
    #[serde(default)]
    #[schema(value_type = Option<Additions>)]
    agent_launch_additions: Option<Object<Additions>>,
    #[serde(default)]
    parent_conversation_id: Option<Uuid>,
    #[serde(default)]
    #[schema(value_type = Option<InitialMessage>)]
    initial_message: Option<Object<InitialMessage>>,
    #[serde(default)]
    #[schema(value_type = Option<ConfirmationPolicy>)]
    confirmation_policy: Option<Object<ConfirmationPolicy>>,
    #[serde(default)]
    #[schema(value_type = Option<SecurityAnalyzer>)]
    security_analyzer: Option<Value>,
    #[serde(default)]
    #[schema(minimum = 1)]
    max_iterations: Option<u64>,
    #[serde(default)]
    stuck_detection: Option<bool>,
    #[serde(default)]
    autotitle: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, SecretSource>>)]
    secrets: Option<BTreeMap<String, Value>>,
    /// Secrets are given as the sealed texts that the settings routes hand out.
    #[serde(default)]
    secrets_encrypted: bool,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    tool_module_qualnames: Option<BTreeMap<String, String>>,
    #[serde(default)]
    client_tools: Option<Vec<Value>>,
    #[serde(default)]
    hook_config: Option<Value>,
    #[serde(default)]
    plugins: Option<Vec<Value>>,
    /// Whether it works in a git working tree of its own, where its workspace is in a repository.
    #[serde(default)]
    worktree: bool,
    #[serde(default)]
    #[schema(value_type = Option<ConversationWorktreeOptions>)]
    worktree_options: Option<Object<ConversationWorktreeOptions>>,
    #[serde(default)]
    user_id: Option<String>,
    /// `local` or `docker`.
    #[serde(default)]
    #[schema(pattern = "^(local|docker)$")]
    conversation_runtime: Option<String>,
    /// Checked and not used: agents of this server delegate to none.
    #[serde(default)]
    #[expect(dead_code, reason = "only whether they can be read is of interest")]
    #[schema(value_type = Option<Vec<AgentDefinition>>)]
    agent_definitions: Option<Vec<Object<AgentDefinition>>>,
    /// The LLM profile whose model makes the title; one that is not there is none.
    #[serde(default)]
    title_llm_profile: Option<String>,
    /// What asks for a title: `{conversation_content}` is the first message, `{max_length}` the characters there may be.
    #[serde(default)]
    #[schema(max_length = 2000)]
    prompt: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
struct StartWorkspace {
    #[serde(default)]
    working_dir: Option<String>,
}

/// What was made of the profiles that a creation names, secrets in plain text.
pub(super) struct FromProfiles {
    agent: Option<Launched>,
    title_llm: Option<Value>,
}

/// An agent that others could delegate to.
#[derive(Deserialize, utoipa::ToSchema)]
struct AgentDefinition {
    #[expect(dead_code, reason = "it must be there, and nobody delegates to it")]
    name: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
struct InitialMessage {
    #[serde(default)]
    role: Role,
    #[serde(default)]
    #[schema(value_type = Vec<Content>)]
    content: Vec<Object<Content>>,
    /// True if it is not given.
    #[serde(default)]
    run: Option<bool>,
}

impl StartConversation {
    /// Whether the client asks for a sandbox that no other conversation is in.
    pub(super) fn wants_its_own_sandbox(&self) -> bool {
        self.conversation_runtime.as_deref() == Some("docker")
    }

    /// What the profiles make that are named: the agent, if there is no other source of it, and the model for titles.
    pub(super) async fn launched(
        &self,
        launch: &Launch,
        offer: &Offer,
        tenant: &TenantId,
    ) -> ApiResult<FromProfiles> {
        let title_llm = self.title_llm(launch, tenant).await;
        let is_only_source = self.agent.is_none() && self.agent_settings.is_none();
        let Some(id) = self.agent_profile_id.filter(|_| is_only_source) else {
            return Ok(FromProfiles { agent: None, title_llm });
        };
        let additions = self.agent_launch_additions.as_ref();
        let model = additions.and_then(|Object(additions)| additions.llm_profile_ref.as_deref());
        let agent = launch.of_profile(tenant, id, model, &offer.of_agents()).await?;
        Ok(FromProfiles { agent: Some(agent), title_llm })
    }

    /// That a profile for titles cannot be had is no failure: the agent's own model is asked then.
    async fn title_llm(&self, launch: &Launch, tenant: &TenantId) -> Option<Value> {
        let name = self.title_llm_profile.as_deref().filter(|name| !name.is_empty())?;
        launch
            .model(tenant, name)
            .await
            .inspect_err(|refusal| tracing::debug!(%tenant, ?refusal, "a model for titles cannot be had"))
            .ok()
    }

    /// How the working tree of its own is to be made, if it wishes for one.
    pub(super) fn take_apart(&mut self) -> ApiResult<Option<Apart>> {
        let options = self.worktree_options.take().map(Object::into_inner).unwrap_or_default();
        let apart = options.into_apart()?;
        Ok(self.worktree.then_some(apart))
    }

    /// The record, secrets in plain text; its sandbox is not chosen yet. `own_urls`: of this server, for the client.
    pub(super) async fn into_record(
        self,
        offer: &Offer,
        conversations: &Conversations,
        own_urls: &[String],
        launched: FromProfiles,
        tenant: TenantId,
        id: ConversationId,
    ) -> ApiResult<ConversationRecord> {
        self.refuse_what_is_not_there(offer.has_containers)?;
        let FromProfiles { agent: launched, title_llm } = launched;
        let (settings, profile) = match launched {
            Some(Launched { settings, profile }) => (Some(settings), Some(profile)),
            None => (self.agent_settings, None),
        };
        let beside = self.agent_profile_id.filter(|_| profile.is_none());
        let mut agent = agent_source::agent_object(offer, self.agent, settings, beside)?;
        if let Some(Object(additions)) = self.agent_launch_additions {
            agent_source::add(&mut agent, additions, profile.is_some())?;
        }
        let mut secrets = agent_source::take_secrets(&mut agent)?;
        secrets.extend(typed_sources(self.secrets.unwrap_or_default())?);
        check_together(&secrets)?;
        name_those_kept_here(&mut secrets, own_urls);
        if let Some(profile) = &profile {
            secrets.retain(|name, _| profile.allows_secret(name));
        }
        let mut agent = agent_source::complete(offer, agent)?;
        if self.secrets_encrypted {
            let opened = conversations.open_returned(&tenant, &mut agent);
            opened.and_then(|()| conversations.open_returned_sources(&tenant, &mut secrets)).map_err(
                |_| {
                    ApiError::unprocessable(
                        "A sealed secret in the request cannot be opened with this server's key",
                    )
                },
            )?;
        }
        let working_dir = working_dir(self.workspace.0, &offer.workspace_path)?;
        let tags = self.tags.unwrap_or_default();
        check_tags(&tags)?;
        Ok(ConversationRecord {
            id,
            sandbox: SandboxId::from(&tenant),
            created_at: time::utc_now(),
            title: None,
            workspace: Workspace { working_dir: working_dir.clone(), kind: "LocalWorkspace".to_owned() },
            agent,
            max_iterations: max_iterations(self.max_iterations)?,
            stuck_detection: self.stuck_detection.unwrap_or(true),
            confirmation_policy: self.confirmation_policy.map(Object::into_inner).unwrap_or_default(),
            security_analyzer: analyzer(self.security_analyzer.unwrap_or_default())?,
            secrets,
            past_secrets: KnownValues::default(),
            tags,
            tool_module_qualnames: self.tool_module_qualnames.unwrap_or_default(),
            client_tools: self.client_tools.unwrap_or_default(),
            hook_config: self.hook_config,
            autotitle: self.autotitle.unwrap_or(true),
            user_id: self.user_id,
            parent_conversation_id: parent(
                conversations,
                &tenant,
                id,
                self.parent_conversation_id,
                &working_dir,
            )
            .await?,
            forked_from_conversation_id: None,
            forked_from_event_id: None,
            launched_agent_profile: profile,
            worktree: None,
            refused: None,
            undelivered: self.initial_message.map(Object::into_inner).map(first_message).transpose()?,
            titling: Titling {
                llm_profile: self.title_llm_profile,
                llm: title_llm,
                prompt: titling_prompt(self.prompt)?,
            },
            tenant,
        })
    }

    fn refuse_what_is_not_there(&self, has_containers: bool) -> ApiResult<()> {
        match self.conversation_runtime.as_deref() {
            None | Some("local") => {}
            Some("docker") if has_containers => {}
            Some("docker") => {
                return Err(ApiError::unprocessable("This server only runs local conversations"));
            }
            Some(_) => {
                let msg = "Input should be 'local' or 'docker'";
                return Err(Problem::new("literal_error", &["body", "conversation_runtime"], msg).into());
            }
        }
        if self.plugins.as_ref().is_some_and(|plugins| !plugins.is_empty()) {
            return Err(ApiError::unprocessable("This server does not load plugins"));
        }
        Ok(())
    }
}

fn working_dir(workspace: StartWorkspace, default: &Path) -> ApiResult<String> {
    match workspace.working_dir {
        Some(given) if given.contains('\0') => {
            let msg = "Value error, a path must not contain NUL bytes";
            Err(Problem::new("value_error", &["body", "workspace", "working_dir"], msg).into())
        }
        Some(given) => Ok(given),
        None => Ok(default.to_string_lossy().into_owned()),
    }
}

fn titling_prompt(given: Option<String>) -> ApiResult<Option<String>> {
    if given.as_ref().is_none_or(|prompt| prompt.chars().count() <= MOST_PROMPT) {
        return Ok(given);
    }
    Err(Problem::too_long(&["body", "prompt"], MOST_PROMPT).into())
}

fn max_iterations(given: Option<u64>) -> ApiResult<u64> {
    match given {
        None => Ok(500),
        Some(0) => {
            let msg = "Input should be greater than or equal to 1";
            let problem = Problem::new("greater_than_equal", &["body", "max_iterations"], msg);
            Err(Problem { ctx: Some(json!({"ge": 1})), ..problem }.into())
        }
        Some(given) => Ok(given),
    }
}

async fn parent(
    conversations: &Conversations,
    tenant: &TenantId,
    id: ConversationId,
    parent: Option<Uuid>,
    working_dir: &str,
) -> ApiResult<Option<ConversationId>> {
    let Some(parent) = parent.map(ConversationId) else { return Ok(None) };
    if parent == id {
        return Err(ApiError::unprocessable("A conversation cannot be its own parent"));
    }
    let Some(record) = conversations.get(tenant, parent).await?.map(|entry| entry.record()) else {
        return Err(ApiError::unprocessable(format!("Parent conversation {parent} not found")));
    };
    let same = Path::new(&record.workspace.working_dir) == Path::new(working_dir);
    if !same {
        return Err(ApiError::unprocessable("A child conversation must have the workspace of its parent"));
    }
    Ok(Some(parent))
}

fn first_message(given: InitialMessage) -> ApiResult<FirstMessage> {
    if given.role != Role::User {
        let msg = "Value error, only a user's messages can be sent to the agent";
        return Err(Problem::new("value_error", &["body", "initial_message", "role"], msg).into());
    }
    let message = Message { role: given.role, content: Object::all(given.content), ..Message::default() };
    Ok(FirstMessage { message, run: given.run.unwrap_or(true) })
}
