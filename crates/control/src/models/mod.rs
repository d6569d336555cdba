//! Model calls of workers that hold no keys: the broker knows where each conversation's calls may go, adds
//! what only it may know, counts what they cost, and hands the answers back in pieces.
//!
//! It never logs a body or a header, and believes nothing that a worker says but the body.

mod answer;
mod budget;
mod exchange;
mod pauses;
mod reserve;
mod route;
mod sweep;
mod tally;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{Address, Call, Code, Fault, Limits, Reason, Server};
use ports::{Bus, Ports};
use readmodel::index::Index;
use telemetry::metrics::Work;
use tracing::field::Empty;
use tracing::{Instrument, info_span};
use types::brokering::ModelCall;
use types::conversation::ConversationRecord;
use types::{ConversationId, subjects};
use vault::Vault;

use crate::{Config, Tasks};
pub use budget::Budget;
use budget::Budgets;
use exchange::Exchange;
use pauses::Pauses;
use under_way::UnderWay;

/// Most bytes of a call's body.
const MOST: u64 = 64 << 20;

/// Of calls that are being taken up; [`UnderWay`] bounds what they become.
const LIMITS: Limits = Limits::new(2_048, 256 << 20).for_each_subject(256, 64 << 20);

/// A model that a worker was told of is in the record of its conversation by then, or will not be.
pub const STORING: Duration = Duration::from_secs(10);

/// What all model calls through this process share. Cheap to clone.
#[derive(Clone)]
pub struct Models(Arc<Inner>);

struct Inner {
    bus: Arc<dyn Bus>,
    index: Index,
    vault: Arc<Vault>,
    /// On which calls go on.
    desks: Tasks,
    /// What calls under way get to finish when the server stops.
    drain: Duration,
    providers: llm::Direct,
    pauses: Pauses,
    budgets: Budgets,
    under_way: UnderWay,
    metrics: Work,
}

impl Models {
    #[must_use]
    pub fn new(config: &Config, ports: &Ports, vault: Arc<Vault>, index: &Index, desks: &Tasks) -> Self {
        let metrics = config.metrics.clone();
        Self(Arc::new(Inner {
            bus: ports.bus.clone(),
            index: index.clone(),
            vault,
            desks: desks.clone(),
            drain: config.drain,
            providers: llm::Direct::new(config.outbound.clone()),
            pauses: Pauses::new(metrics.clone()),
            budgets: Budgets::new(ports.kv.clone(), config.tenant_budget_usd),
            under_way: UnderWay::default(),
            metrics,
        }))
    }

    /// What the conversation may spend; `None` without a limit.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn budget(&self, record: &ConversationRecord) -> ports::Result<Option<Budget>> {
        self.0.budgets.of(record).await
    }

    /// Since when a call of the conversation waits until its provider takes calls again.
    #[must_use]
    pub fn queued_since(&self, conversation: ConversationId) -> Option<String> {
        self.0.pauses.queued_since(conversation)
    }

    /// Forgets what a deleted conversation has spent; its tenant has still spent it.
    pub async fn forget(&self, record: &ConversationRecord) {
        self.0.budgets.forget(record).await;
    }

    /// Answers workers until the server stops.
    ///
    /// # Errors
    /// `Unavailable` without a bus.
    pub(crate) async fn serve(self, server: &Server) -> ports::Result<()> {
        let handler = move |call: Call<ModelCall>| {
            let models = self.clone();
            async move { models.take(call).await.map(|()| ((), Bytes::new())) }
        };
        server.serve(&Address::of_all_workers(), Some("brokers"), LIMITS, handler).await?;
        Ok(())
    }

    /// Takes a call up, if its conversation is one of the sandbox that it comes from.
    async fn take(&self, call: Call<ModelCall>) -> Result<(), Fault> {
        let sandbox = call.sandbox()?;
        let Call { body: call, blob, .. } = call;
        let (id, conversation) = (&call.id, call.conversation);
        let is_token = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_token || call.body_bytes > MOST {
            return Err(Fault::new(Code::Invalid, "the call's id or size cannot be"));
        }
        let bytes = usize::try_from(call.body_bytes).unwrap_or(usize::MAX);
        let record = self.0.index.read(conversation).await?.filter(|record| record.sandbox == sandbox);
        let record = record.ok_or_else(|| Fault::new(Code::NotFound, "no such conversation"))?;
        let taken = self.0.under_way.take(&record.tenant, &sandbox, bytes);
        let taken = taken.ok_or_else(|| Fault::from(Reason::Overloaded))?;
        let notes = self.0.bus.subscribe(&subjects::model_notes(&sandbox, id), None).await?;
        let exchange = Exchange::new(self, record, call);
        // It outlives the call that began it, whose trace it belongs to.
        let span = info_span!(
            "broker.exchange",
            otel.kind = "client",
            conversation.id = %conversation,
            http.response.status_code = Empty,
        );
        self.0.desks.spawn(exchange.run(notes, blob, taken).instrument(span));
        Ok(())
    }
}
