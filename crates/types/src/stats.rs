//! What the model calls of a conversation used and cost, by usage id.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many single calls each list keeps; older ones stay in the totals only.
const KEPT_CALLS: usize = 500;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenUsage {
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
    #[serde(default)]
    pub cache_read_tokens: u64,
    #[serde(default)]
    pub cache_write_tokens: u64,
    #[serde(default)]
    pub reasoning_tokens: u64,
    #[serde(default)]
    pub context_window: u64,
    #[serde(default)]
    pub per_turn_token: u64,
    #[serde(default)]
    pub response_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cost {
    pub model: String,
    pub cost: f64,
    /// Unix seconds.
    pub timestamp: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResponseLatency {
    pub model: String,
    /// Seconds.
    pub latency: f64,
    pub response_id: String,
}

/// One finished model call, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub usage_id: String,
    /// Tokens of this call alone.
    pub tokens: TokenUsage,
    /// US dollars; 0 when the price is unknown.
    pub cost: f64,
    /// Seconds.
    pub latency: f64,
    /// Unix seconds.
    pub at: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metrics {
    pub model_name: String,
    #[serde(default)]
    pub accumulated_cost: f64,
    #[serde(default)]
    pub max_budget_per_task: Option<f64>,
    #[serde(default)]
    pub accumulated_token_usage: TokenUsage,
    #[serde(default)]
    pub costs: Vec<Cost>,
    #[serde(default)]
    pub response_latencies: Vec<ResponseLatency>,
    #[serde(default)]
    pub token_usages: Vec<TokenUsage>,
}

impl Metrics {
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            model_name: model.to_owned(),
            accumulated_cost: 0.0,
            max_budget_per_task: None,
            accumulated_token_usage: TokenUsage { model: model.to_owned(), ..TokenUsage::default() },
            costs: Vec::new(),
            response_latencies: Vec::new(),
            token_usages: Vec::new(),
        }
    }

    fn add(&mut self, usage: &Usage) {
        let (sum, one) = (&mut self.accumulated_token_usage, &usage.tokens);
        sum.prompt_tokens += one.prompt_tokens;
        sum.completion_tokens += one.completion_tokens;
        sum.cache_read_tokens += one.cache_read_tokens;
        sum.cache_write_tokens += one.cache_write_tokens;
        sum.reasoning_tokens += one.reasoning_tokens;
        sum.context_window = sum.context_window.max(one.context_window);
        sum.per_turn_token = one.prompt_tokens + one.completion_tokens;
        self.accumulated_cost += usage.cost;
        let model = one.model.clone();
        if usage.cost > 0.0 {
            push_bounded(
                &mut self.costs,
                Cost { model: model.clone(), cost: usage.cost, timestamp: usage.at },
            );
        }
        let response_id = one.response_id.clone();
        push_bounded(
            &mut self.response_latencies,
            ResponseLatency { model, latency: usage.latency, response_id },
        );
        push_bounded(&mut self.token_usages, one.clone());
    }

    /// The form of `stats` state updates: totals only.
    fn compact(&self) -> serde_json::Value {
        serde_json::json!({
            "model_name": self.model_name,
            "accumulated_cost": self.accumulated_cost,
            "max_budget_per_task": self.max_budget_per_task,
            "accumulated_token_usage": self.accumulated_token_usage,
        })
    }
}

fn push_bounded<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= KEPT_CALLS {
        list.remove(0);
    }
    list.push(item);
}

/// `{"usage_to_metrics": {usage id: Metrics}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    #[serde(default)]
    pub usage_to_metrics: BTreeMap<String, Metrics>,
}

impl Stats {
    /// Makes an empty entry for a model that may be called, so that clients see it from the start.
    pub fn register(&mut self, usage_id: &str, model: &str) {
        if !self.usage_to_metrics.contains_key(usage_id) {
            self.usage_to_metrics.insert(usage_id.to_owned(), Metrics::new(model));
        }
    }

    pub fn add(&mut self, usage: &Usage) {
        self.register(&usage.usage_id, &usage.tokens.model);
        if let Some(metrics) = self.usage_to_metrics.get_mut(&usage.usage_id) {
            metrics.add(usage);
        }
    }

    /// The value of a `stats` state update.
    #[must_use]
    pub fn compact(&self) -> serde_json::Value {
        let all: serde_json::Map<_, _> =
            self.usage_to_metrics.iter().map(|(id, metrics)| (id.clone(), metrics.compact())).collect();
        serde_json::json!({ "usage_to_metrics": all })
    }
}
