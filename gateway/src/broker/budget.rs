use std::sync::Arc;

use llm::Spent;
use ports::buckets::BUDGETS;
use ports::{Expect, Kv, sums};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::conversation::Record;
use types::{ConversationId, TenantId};

/// What was spent: a value of the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Spending {
    calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    /// US dollars.
    cost: f64,
}

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

/// Sums by conversation and by tenant. A call is counted when it is over: those under way at the same time
/// may go beyond a limit together.
pub(super) struct Budgets {
    kv: Arc<dyn Kv>,
    tenant_ceiling: Option<f64>,
}

impl Budgets {
    pub fn new(kv: Arc<dyn Kv>, tenant_ceiling: Option<f64>) -> Self {
        Self { kv, tenant_ceiling }
    }

    /// `None` where nothing is limited.
    pub async fn of(&self, record: &Record) -> ports::Result<Option<Budget>> {
        let limit = record.agent.get("max_budget_per_run").and_then(Value::as_f64);
        if limit.is_none() && self.tenant_ceiling.is_none() {
            return Ok(None);
        }
        let (own, tenants) = (key_of(record.id), key_of_tenant(&record.tenant));
        let (own, tenants) = tokio::try_join!(self.read(&own), self.read(&tenants))?;
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

    /// Adds a call to the sums. What the store does not take is logged, not lost from sight.
    pub async fn add(&self, conversation: ConversationId, tenant: &TenantId, spent: Spent) {
        let keys = (key_of(conversation), key_of_tenant(tenant));
        let (own, tenants) = tokio::join!(self.add_to(&keys.0, spent), self.add_to(&keys.1, spent));
        if let Err(error) = own.and(tenants) {
            tracing::error!(conversation.id = %conversation, cost = spent.cost, %error, "a model call is not counted");
        }
    }

    pub async fn forget(&self, conversation: ConversationId) {
        if let Err(error) = self.kv.delete(BUDGETS, &key_of(conversation), Expect::Anything).await {
            tracing::debug!(conversation.id = %conversation, %error, "what it has spent is not forgotten");
        }
    }

    async fn add_to(&self, key: &str, spent: Spent) -> ports::Result<()> {
        let add = |sum: &mut Spending| {
            sum.calls += 1;
            sum.prompt_tokens += spent.prompt_tokens;
            sum.completion_tokens += spent.completion_tokens;
            sum.cost += spent.cost;
        };
        sums::change(self.kv.as_ref(), BUDGETS, key, add).await.map(drop)
    }

    async fn read(&self, key: &str) -> ports::Result<Spending> {
        Ok(sums::value(self.kv.as_ref(), BUDGETS, key).await?.unwrap_or_default())
    }
}

fn key_of(conversation: ConversationId) -> String {
    format!("conversation.{}", conversation.hex())
}

fn key_of_tenant(tenant: &TenantId) -> String {
    format!("tenant.{tenant}")
}
