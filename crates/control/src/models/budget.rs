//! What conversations and tenants may spend on models.

use std::sync::Arc;
use std::time::Duration;

use llm::Spent;
use ports::Kv;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::conversation::ConversationRecord;
use types::{ConversationId, TenantId};

use super::reserve::{Left, Reserve, Reserved};
use super::tally::{Spending, Tally};

/// How long sums that nothing limits may lag behind: fewer writes.
const UNLIMITED_LAG: Duration = Duration::from_millis(500);

/// Before the id of a conversation, in the keys of sums.
const CONVERSATION: &str = "conversation.";

/// For a call that waits for others to end.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a conversation may spend, and has spent. In US dollars.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Budget {
    pub spent: f64,
    pub limit: Option<f64>,
    pub tenant_spent: f64,
    pub tenant_limit: Option<f64>,
    /// A sentence, once a limit is reached: no further model call is made.
    pub reached: Option<String>,
}

/// Sums by conversation and by tenant. A call is counted when it is over, and until then reserves what it may cost. Another
/// gateway knows nothing of that: together they may go beyond a limit by one call each, and by what they reserve. To tell each
/// other would take a write before each call, to a sum that all calls of a tenant share.
pub(super) struct Budgets {
    tally: Tally,
    reserve: Reserve,
    tenant_ceiling: Option<f64>,
}

/// Whether a call may be made.
pub(super) enum Allowance {
    /// Nothing is limited.
    Unlimited,
    /// To be held until the call is counted.
    Reserved(Reserved),
    /// A limit is reached. A sentence.
    Reached(String),
}

impl Budgets {
    pub fn new(kv: Arc<dyn Kv>, tenant_ceiling: Option<f64>) -> Self {
        Self { tally: Tally::new(kv), reserve: Reserve::default(), tenant_ceiling }
    }

    /// `None` where nothing is limited.
    pub async fn of(&self, record: &ConversationRecord) -> ports::Result<Option<Budget>> {
        let limit = limit_of(record);
        if limit.is_none() && self.tenant_ceiling.is_none() {
            return Ok(None);
        }
        let tally = &self.tally;
        let (own, before, tenants) = (key_of(record), key_before(record.id), key_of_tenant(&record.tenant));
        let (own, before, tenants) =
            tokio::try_join!(tally.sum(&own), tally.sum(&before), tally.sum(&tenants))?;
        let own = own + before;
        let own_reached = limit.filter(|limit| own.cost >= *limit).map(|limit| {
            format!("Agent reached maximum budget limit (${limit}); accumulated cost ${:.4}.", own.cost)
        });
        let tenants_reached = self.tenant_ceiling.filter(|ceiling| tenants.cost >= *ceiling);
        let tenants_reached = tenants_reached
            .map(|ceiling| format!("The budget of all conversations together (${ceiling}) is used up."));
        Ok(Some(Budget {
            spent: own.cost,
            limit,
            tenant_spent: tenants.cost,
            tenant_limit: self.tenant_ceiling,
            reached: own_reached.or(tenants_reached),
        }))
    }

    /// Reserves what a call may cost, once there is room for it beside those that are under way.
    pub async fn reserve(&self, record: &ConversationRecord, cost: f64) -> ports::Result<Allowance> {
        loop {
            let Some(budget) = self.of(record).await? else { return Ok(Allowance::Unlimited) };
            if let Some(text) = budget.reached {
                return Ok(Allowance::Reached(text));
            }
            let own = budget.limit.map(|limit| (key_of(record), limit - budget.spent));
            let tenants = budget.tenant_limit;
            let tenants = tenants.map(|limit| (key_of_tenant(&record.tenant), limit - budget.tenant_spent));
            let left = own.into_iter().chain(tenants).map(|(key, cost)| Left { key, cost });
            if let Some(reserved) = self.reserve.take(&left.collect::<Vec<_>>(), cost) {
                return Ok(Allowance::Reserved(reserved));
            }
            // What others have spent makes room, too: less of it is reserved then.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.reserve.released()).await;
        }
    }

    /// Adds a call to the sums; see [`Tally::add`].
    pub async fn add(&self, record: &ConversationRecord, spent: &Spent, stop: &CancellationToken) {
        let is_limited = limit_of(record).is_some() || self.tenant_ceiling.is_some();
        let pause = if is_limited { Duration::ZERO } else { UNLIMITED_LAG };
        let call = Spending {
            calls: 1,
            prompt_tokens: spent.tokens.prompt_tokens,
            completion_tokens: spent.tokens.completion_tokens,
            cost: spent.cost,
        };
        let (own, tenants) = (key_of(record), key_of_tenant(&record.tenant));
        tokio::join!(self.tally.add(&own, call, pause, stop), self.tally.add(&tenants, call, pause, stop));
    }

    /// What is counted of the conversation after this is found by [`sweep`](super::sweep).
    pub async fn forget(&self, record: &ConversationRecord) {
        for key in [key_of(record), key_before(record.id)] {
            if let Err(error) = self.tally.forget(&key).await {
                tracing::debug!(conversation.id = %record.id, %error, "what it has spent is not forgotten");
            }
        }
    }
}

/// US dollars.
fn limit_of(record: &ConversationRecord) -> Option<f64> {
    record.agent.get("max_budget_per_run").and_then(Value::as_f64)
}

/// Of this one, and of no other that has its id before or after it.
pub(super) fn key_of(record: &ConversationRecord) -> String {
    let created_at: String = record.created_at.chars().filter(char::is_ascii_digit).collect();
    format!("{}.{created_at}", key_before(record.id))
}

/// Where earlier releases kept the sum of whichever conversation had the id.
pub(super) fn key_before(id: ConversationId) -> String {
    format!("{CONVERSATION}{}", id.hex())
}

/// Whose sum is under a key; `None` for a tenant's.
pub(super) fn conversation_of(key: &str) -> Option<ConversationId> {
    key.strip_prefix(CONVERSATION)?.split('.').next()?.parse().ok()
}

fn key_of_tenant(tenant: &TenantId) -> String {
    format!("tenant.{tenant}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: ConversationId, created_at: &str) -> ConversationRecord {
        serde_json::from_value(json!({"id": id, "sandbox": "default", "created_at": created_at, "title": null,
            "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {"max_budget_per_run": 1.0},
            "max_iterations": 1, "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"},
            "security_analyzer": null}))
        .unwrap()
    }

    #[tokio::test]
    async fn what_a_deleted_conversation_spends_late_is_no_matter_of_one_made_anew_under_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let (budgets, stop) = (Budgets::new(ports.kv, None), CancellationToken::new());
        let id = ConversationId::random();
        let [earlier, anew] =
            ["2026-11-23T00:00:00.000000Z", "2026-11-23T00:00:00.000001Z"].map(|at| record(id, at));
        let spent = |cost| Spent { cost, ..Spent::default() };
        budgets.add(&earlier, &spent(2.0), &stop).await;
        budgets.forget(&earlier).await;
        budgets.add(&earlier, &spent(2.0), &stop).await;
        assert_eq!(budgets.of(&anew).await.unwrap().unwrap().spent, 0.0);
        budgets.add(&anew, &spent(0.5), &stop).await;
        budgets.forget(&earlier).await;
        assert_eq!(budgets.of(&anew).await.unwrap().unwrap().spent, 0.5);
    }
}
