//! What is counted of agents' work.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use types::stats::TokenUsage;

use super::Present;

/// What agents do. Counted where it passes trusted hands: in a cluster that is the gateway, which appends for
/// workers and calls models for them.
#[derive(Clone, Debug)]
pub struct Work {
    appends: Counter,
    steps: Counter,
    tokens: Family<Kind, Counter>,
    cost: Counter<f64, AtomicU64>,
    runs: Gauge,
    waiting_calls: Gauge,
    unopened_secrets: Counter,
    webhook_calls: Family<Kind, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl Work {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            appends: Counter::default(),
            steps: Counter::default(),
            tokens: Family::default(),
            cost: Counter::default(),
            runs: Gauge::default(),
            waiting_calls: Gauge::default(),
            unopened_secrets: Counter::default(),
            webhook_calls: Family::default(),
        };
        registry.register("appends", "Records appended to logs", new.appends.clone());
        registry.register("steps", "Answers of models", new.steps.clone());
        registry.register("tokens", "Tokens of models", new.tokens.clone());
        registry.register("cost_dollars", "What models cost", new.cost.clone());
        registry.register("runs", "Runs under way in this process", new.runs.clone());
        let waiting = new.waiting_calls.clone();
        registry.register(
            "model_calls_waiting",
            "Calls that wait for their provider's pause to end",
            waiting,
        );
        let unopened = new.unopened_secrets.clone();
        registry.register("unopened_secrets", "Stored secrets that no known key has opened", unopened);
        registry.register("webhook_calls", "Calls of webhooks", new.webhook_calls.clone());
        new
    }

    /// Records were stored.
    pub fn appended(&self, records: usize) {
        self.appends.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
    }

    /// A model answered, for `cost` dollars.
    pub fn stepped(&self, tokens: &TokenUsage, cost: f64) {
        let kinds = [
            ("prompt", tokens.prompt_tokens),
            ("completion", tokens.completion_tokens),
            ("cache_read", tokens.cache_read_tokens),
            ("cache_write", tokens.cache_write_tokens),
        ];
        for (kind, count) in kinds {
            self.tokens.get_or_create(&Kind { kind }).inc_by(count);
        }
        self.steps.inc();
        self.cost.inc_by(cost);
    }

    /// A stored secret was sealed with a key that is not known.
    pub fn secret_unopened(&self) {
        self.unopened_secrets.inc();
    }

    /// A webhook was called.
    pub fn hook_called(&self, is_delivered: bool) {
        let kind = if is_delivered { "delivered" } else { "failed" };
        self.webhook_calls.get_or_create(&Kind { kind }).inc();
    }

    /// Something that a webhook was still to be told is given up.
    pub fn hook_gave_up(&self) {
        self.webhook_calls.get_or_create(&Kind { kind: "given_up" }).inc();
    }

    /// A run that is under way until this is dropped.
    pub fn run(&self) -> Present {
        Present::new(&self.runs)
    }

    /// A model call that its provider's pause holds up until this is dropped.
    pub fn waiting_call(&self) -> Present {
        Present::new(&self.waiting_calls)
    }
}
