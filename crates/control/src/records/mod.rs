//! Conversation records for the workers: with their secrets opened, but in a cluster without the models' keys.

mod look_up;
mod past;
mod sealing;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ports::rpc::{Address, Call, Code, Fault, Limits, Reason, Server};
use readmodel::index::{Index, persistence_dir};
use serde_json::Value;
use types::agent::document::leave_out_keys;
use types::calls::{RecordCall, Survivors, WorkingCopy};
use types::conversation::{ConversationRecord, clean_title};
use types::{ConversationId, SandboxId};
use vault::Vault;

use crate::tenant_secrets::TenantSecrets;
use crate::{Config, Mode};
pub use sealing::{Sealer, open_returned, open_returned_sources};

/// A worker that opens many conversations at once waits for its turn.
const LIMITS: Limits = Limits::new(1_024, 64 << 20).for_each_subject(64, 16 << 20);

/// Conversations that are asked for at once.
const MOST_ASKED: usize = 1_000;

pub(crate) const BROKEN: &str = "A stored secret of this conversation cannot be opened: the server's secret key \
(OH_SECRET_KEY) is not the one it was sealed with. Give the server that key back as a previous one, or set the \
model and the secrets again.";

/// The stored conversations, for workers. Cheap to clone.
#[derive(Clone)]
pub struct Records(Arc<Inner>);

struct Inner {
    index: Index,
    vault: Arc<Vault>,
    secrets: TenantSecrets,
    conversations_path: PathBuf,
    /// Whether workers call models through the control plane, and so need no keys.
    are_calls_brokered: bool,
}

impl Records {
    #[must_use]
    pub fn new(config: &Config, vault: Arc<Vault>, secrets: TenantSecrets, index: &Index) -> Self {
        Self(Arc::new(Inner {
            index: index.clone(),
            vault,
            secrets,
            conversations_path: config.conversations_path.clone(),
            are_calls_brokered: matches!(config.mode, Mode::Cluster(_)),
        }))
    }

    /// Answers workers until the server stops.
    ///
    /// # Errors
    /// `Unavailable` without a bus.
    pub(crate) async fn serve(self, server: &Server) -> ports::Result<()> {
        let handler = move |call: Call<RecordCall>| {
            let records = self.clone();
            async move { records.answer(call).await.map(|body| (body, Bytes::new())) }
        };
        server.serve(&Address::of_all_workers(), Some("gateways"), LIMITS, handler).await?;
        Ok(())
    }

    /// Takes out of an agent, or a model of one, what workers must not know of it.
    pub fn leave_out_what_workers_may_not_know(&self, agent: &mut Value) {
        if self.0.are_calls_brokered {
            leave_out_keys(agent);
        }
    }

    /// The folder in which a worker keeps files of a conversation.
    pub(crate) fn persistence_dir(&self, id: ConversationId) -> String {
        persistence_dir(&self.0.conversations_path, id)
    }

    async fn answer(&self, call: Call<RecordCall>) -> Result<Value, Fault> {
        let sandbox = call.sandbox()?;
        match call.body {
            RecordCall::Open { conversation } => {
                let record = self.0.index.read(conversation).await?;
                let record = record.filter(|record| record.sandbox == sandbox);
                let record = record.ok_or_else(|| Fault::from(Reason::Missing))?;
                serde_json::to_value(self.working_copy(record)).map_err(Fault::internal)
            }
            RecordCall::SetTitle { conversation, title } => {
                let Some(title) = clean_title(&title) else { return Ok(Value::Null) };
                self.0
                    .index
                    .update_any(conversation, |record| {
                        let wanted = record.sandbox == sandbox && record.title.is_none();
                        if wanted {
                            record.title = Some(title.clone());
                        }
                        wanted
                    })
                    .await?;
                Ok(Value::Null)
            }
            RecordCall::KeepHidden { conversation, values } => {
                self.keep_hidden(&sandbox, conversation, &values).await?;
                Ok(Value::Null)
            }
            RecordCall::LookUp { conversation, name } => {
                let looked_up = self.look_up(&sandbox, conversation, &name).await?;
                serde_json::to_value(looked_up).map_err(Fault::internal)
            }
            RecordCall::Survivors { conversations } => {
                let survivors = self.survivors(&sandbox, conversations).await?;
                serde_json::to_value(survivors).map_err(Fault::internal)
            }
        }
    }

    /// The store is asked for those that are not known here: another replica may have made them just now.
    async fn survivors(&self, sandbox: &SandboxId, asked: Vec<ConversationId>) -> Result<Survivors, Fault> {
        if asked.len() > MOST_ASKED {
            return Err(Fault::new(Code::Invalid, "too many conversations at once"));
        }
        let mut conversations = Vec::with_capacity(asked.len());
        for id in asked {
            let is_there = match self.0.index.any(id) {
                Some(entry) => entry.log.sandbox() == sandbox,
                None => self.0.index.read(id).await?.is_some_and(|record| record.sandbox == *sandbox),
            };
            if is_there {
                conversations.push(id);
            }
        }
        let folder = self.0.conversations_path.to_string_lossy().into_owned();
        Ok(Survivors { folder, conversations })
    }

    fn working_copy(&self, mut record: ConversationRecord) -> WorkingCopy {
        let sealer = Sealer::new(&self.0.vault, record.id);
        let is_complete = sealer.open_object(&mut record.agent);
        let are_complete = sealer.open_sources(&mut record.secrets);
        self.leave_out_what_workers_may_not_know(&mut record.agent);
        // One that does not open is none: the agent's own model is asked for a title.
        let title_llm = record.titling.llm.take().and_then(|mut llm| {
            let is_complete = sealer.open_object(&mut llm);
            self.leave_out_what_workers_may_not_know(&mut llm);
            is_complete.then_some(llm)
        });
        WorkingCopy {
            conversation: record.id,
            created_at: record.created_at,
            working_dir: record.workspace.working_dir,
            persistence_dir: self.persistence_dir(record.id),
            agent: record.agent,
            max_iterations: record.max_iterations,
            stuck_detection: record.stuck_detection,
            confirmation_policy: record.confirmation_policy,
            security_analyzer: record.security_analyzer,
            secrets: record.secrets,
            past_secrets: sealer.open_past(&record.past_secrets),
            autotitle: record.autotitle,
            title: record.title,
            title_llm,
            title_prompt: record.titling.prompt,
            broken_secret: (!is_complete || !are_complete).then(|| BROKEN.to_owned()),
        }
    }
}
