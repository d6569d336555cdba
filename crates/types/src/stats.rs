//! What the model calls of a conversation used and cost, by usage id.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::announced::cut;

/// How many single calls each list keeps; older ones stay in the totals only.
const KEPT_CALLS: usize = 500;

/// How many single calls the lists of all usage ids keep together.
const KEPT_IN_ALL: usize = 2_000;

/// How many usage ids are told apart; what comes after them is counted together.
const TOLD_APART: usize = 64;
const REST: &str = "other";

/// US dollars that a sum stops at. Beyond it a small amount would be lost anyway, and infinity is no JSON.
pub const MOST_COST: f64 = 1e12;

/// The sum of two amounts of money. Nothing that is added makes it negative, infinite, or no number.
#[must_use]
pub fn add_cost(sum: f64, one: f64) -> f64 {
    let amount = |cost: f64| if cost.is_nan() { 0.0 } else { cost.clamp(0.0, MOST_COST) };
    amount(amount(sum) + amount(one))
}

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

impl TokenUsage {
    /// With no more of its names than is kept.
    fn cut(&self) -> Self {
        Self {
            model: cut(&self.model).to_owned(),
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            cache_read_tokens: self.cache_read_tokens,
            cache_write_tokens: self.cache_write_tokens,
            reasoning_tokens: self.reasoning_tokens,
            context_window: self.context_window,
            per_turn_token: self.per_turn_token,
            response_id: cut(&self.response_id).to_owned(),
        }
    }
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

    /// Keeps at most `room` single calls.
    fn add(&mut self, usage: &Usage, room: usize) {
        let (sum, one) = (&mut self.accumulated_token_usage, &usage.tokens);
        let add = |sum: &mut u64, one: u64| *sum = sum.saturating_add(one);
        add(&mut sum.prompt_tokens, one.prompt_tokens);
        add(&mut sum.completion_tokens, one.completion_tokens);
        add(&mut sum.cache_read_tokens, one.cache_read_tokens);
        add(&mut sum.cache_write_tokens, one.cache_write_tokens);
        add(&mut sum.reasoning_tokens, one.reasoning_tokens);
        sum.context_window = sum.context_window.max(one.context_window);
        sum.per_turn_token = one.prompt_tokens.saturating_add(one.completion_tokens);
        self.accumulated_cost = add_cost(self.accumulated_cost, usage.cost);
        let (model, response_id) = (cut(&one.model).to_owned(), cut(&one.response_id).to_owned());
        let cost = add_cost(0.0, usage.cost);
        if cost > 0.0 {
            push_bounded(&mut self.costs, Cost { model: model.clone(), cost, timestamp: usage.at }, room);
        }
        let latency = ResponseLatency {
            model: model.clone(),
            latency: usage.latency,
            response_id: response_id.clone(),
        };
        push_bounded(&mut self.response_latencies, latency, room);
        push_bounded(&mut self.token_usages, TokenUsage { model, response_id, ..one.clone() }, room);
    }

    /// Takes over what was counted elsewhere, with at most `room` single calls.
    fn take(&mut self, given: &Self, room: usize) {
        self.accumulated_cost = add_cost(self.accumulated_cost, given.accumulated_cost);
        self.max_budget_per_task = given.max_budget_per_task.filter(|budget| budget.is_finite());
        self.accumulated_token_usage = given.accumulated_token_usage.cut();
        let cost = |one: &Cost| Cost {
            model: cut(&one.model).to_owned(),
            cost: add_cost(0.0, one.cost),
            timestamp: one.timestamp,
        };
        self.costs = newest(&given.costs, room).iter().map(cost).collect();
        let latency = |one: &ResponseLatency| ResponseLatency {
            model: cut(&one.model).to_owned(),
            latency: one.latency,
            response_id: cut(&one.response_id).to_owned(),
        };
        self.response_latencies = newest(&given.response_latencies, room).iter().map(latency).collect();
        self.token_usages = newest(&given.token_usages, room).iter().map(TokenUsage::cut).collect();
    }

    fn forget_beyond(&mut self, room: usize) {
        keep_newest(&mut self.costs, room);
        keep_newest(&mut self.response_latencies, room);
        keep_newest(&mut self.token_usages, room);
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

fn push_bounded<T>(list: &mut Vec<T>, item: T, room: usize) {
    list.push(item);
    keep_newest(list, room);
}

fn newest<T>(list: &[T], room: usize) -> &[T] {
    list.get(list.len().saturating_sub(room)..).unwrap_or_default()
}

fn keep_newest<T>(list: &mut Vec<T>, room: usize) {
    list.drain(..list.len().saturating_sub(room));
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
        let usage_id = self.told_apart(usage_id);
        if self.usage_to_metrics.contains_key(usage_id) {
            return;
        }
        self.usage_to_metrics.insert(usage_id.to_owned(), Metrics::new(cut(model)));
        let room = self.room();
        self.usage_to_metrics.values_mut().for_each(|metrics| metrics.forget_beyond(room));
    }

    pub fn add(&mut self, usage: &Usage) {
        self.register(&usage.usage_id, &usage.tokens.model);
        let (usage_id, room) = (self.told_apart(&usage.usage_id), self.room());
        if let Some(metrics) = self.usage_to_metrics.get_mut(usage_id) {
            metrics.add(usage, room);
        }
    }

    /// The same within the bounds that these have here: another server may have written them.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let mut bounded = Self::default();
        for (usage_id, given) in &self.usage_to_metrics {
            bounded.register(usage_id, &given.model_name);
            let (usage_id, room) = (bounded.told_apart(usage_id), bounded.room());
            if let Some(metrics) = bounded.usage_to_metrics.get_mut(usage_id) {
                metrics.take(given, room);
            }
        }
        bounded
    }

    /// The id that an id is counted under.
    fn told_apart<'a>(&self, usage_id: &'a str) -> &'a str {
        let usage_id = cut(usage_id);
        let is_known = self.usage_to_metrics.contains_key(usage_id);
        if is_known || self.usage_to_metrics.len() < TOLD_APART { usage_id } else { REST }
    }

    /// The single calls that each list may keep.
    fn room(&self) -> usize {
        KEPT_CALLS.min(KEPT_IN_ALL / self.usage_to_metrics.len().max(1))
    }

    /// The value of a `stats` state update.
    #[must_use]
    pub fn compact(&self) -> serde_json::Value {
        let all: serde_json::Map<_, _> =
            self.usage_to_metrics.iter().map(|(id, metrics)| (id.clone(), metrics.compact())).collect();
        serde_json::json!({ "usage_to_metrics": all })
    }
}
