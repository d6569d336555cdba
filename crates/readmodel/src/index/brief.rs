//! A conversation in a few words, for those who follow all of them: what a list shows.

use std::collections::BTreeMap;

use serde::Serialize;
use types::conversation::Status;
use types::stats::{Stats, add_cost};
use types::{ConversationId, Seq};

use super::conversation::ConversationState;

/// What a list shows of a conversation; names are those of `ConversationInfo`, whose `stats` are summed up.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversationBrief)]
pub struct ConversationBrief<'a> {
    id: ConversationId,
    title: Option<&'a str>,
    execution_status: Status,
    /// UTC with `Z`.
    created_at: &'a str,
    /// UTC with `Z`.
    updated_at: String,
    working_dir: &'a str,
    model: Option<&'a str>,
    tags: &'a BTreeMap<String, String>,
    parent_conversation_id: Option<ConversationId>,
    forked_from_conversation_id: Option<ConversationId>,
    /// Stored so far.
    events: u64,
    /// US dollars.
    cost: f64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// A brief, and of when it is.
pub struct Brief {
    /// JSON.
    pub text: String,
    pub status: Status,
    /// As [`ConversationState::version`].
    pub version: (Seq, u64),
}

impl ConversationState {
    /// # Errors
    /// Those of the serializer.
    pub fn brief(&self) -> serde_json::Result<Brief> {
        let state = self.state();
        let (record, projection) = (&*state.record, &state.projection);
        let used = Used::of(&projection.stats);
        let status = state.status();
        let text = serde_json::to_string(&ConversationBrief {
            id: self.id,
            title: record.title.as_deref(),
            execution_status: status,
            created_at: &record.created_at,
            updated_at: state.updated_at(&record.created_at),
            working_dir: &record.workspace.working_dir,
            model: state.agent.model(),
            tags: projection.tags.as_ref().unwrap_or(&record.tags),
            parent_conversation_id: record.parent_conversation_id,
            forked_from_conversation_id: record.forked_from_conversation_id,
            events: projection.events,
            cost: used.cost,
            prompt_tokens: used.prompt_tokens,
            completion_tokens: used.completion_tokens,
        })?;
        Ok(Brief { text, status, version: (projection.seq, state.revision) })
    }
}

#[derive(Default)]
struct Used {
    cost: f64,
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Used {
    fn of(stats: &Stats) -> Self {
        stats.usage_to_metrics.values().fold(Self::default(), |sum, metrics| {
            let tokens = &metrics.accumulated_token_usage;
            Self {
                cost: add_cost(sum.cost, metrics.accumulated_cost),
                prompt_tokens: sum.prompt_tokens.saturating_add(tokens.prompt_tokens),
                completion_tokens: sum.completion_tokens.saturating_add(tokens.completion_tokens),
            }
        })
    }
}
