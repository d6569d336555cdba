//! What a conversation has taken, over all of its models.

use serde_json::Value;

#[derive(Default)]
pub struct Spent {
    /// Tokens.
    pub read: u64,
    pub written: u64,
    /// US dollars.
    pub cost: f64,
}

impl Spent {
    pub fn of(info: &Value) -> Self {
        let metrics = info.pointer("/stats/usage_to_metrics").and_then(Value::as_object);
        let mut spent = Self::default();
        for one in metrics.into_iter().flat_map(|all| all.values()) {
            let tokens = |name: &str| {
                let pointer = format!("/accumulated_token_usage/{name}");
                one.pointer(&pointer).and_then(Value::as_u64).unwrap_or_default()
            };
            spent.read += tokens("prompt_tokens");
            spent.written += tokens("completion_tokens");
            spent.cost += one.get("accumulated_cost").and_then(Value::as_f64).unwrap_or_default();
        }
        spent
    }
}
