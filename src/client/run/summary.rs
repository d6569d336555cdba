//! What is said at the end: how it ended, what it took, and how to go on.

use serde_json::Value;

use super::{End, is_watched};
use crate::client::api::Api;
use crate::client::spent::Spent;
use crate::client::told::notice;
use crate::client::values::text;

/// `is_for_programs`: nobody is told what they can ask for.
/// `place`: what the command line has said of where the conversation is.
pub async fn tell(api: &Api, id: &str, end: End, place: &str, is_for_programs: bool) {
    if is_for_programs && !is_watched() {
        return;
    }
    // It is a courtesy: the end is known without it.
    let Ok(info) = api.get(&format!("/api/conversations/{id}")).await else { return };
    let status = text(&info, "/execution_status").replace('_', " ");
    notice(&format!("{status} · {}", spent(&info)));
    if !matches!(end, End::Finished) {
        notice(&go_on(id, place));
    }
}

pub fn go_on(id: &str, place: &str) -> String {
    let short = id.get(..8).unwrap_or(id);
    format!("go on with: manyhands run{place} --continue {short}")
}

/// Tokens and costs over all models of the conversation.
pub fn spent(info: &Value) -> String {
    let Spent { read, written, cost } = Spent::of(info);
    let price = if cost > 0.0 { format!(" · ${cost:.4}") } else { String::new() };
    format!("{read} tokens read, {written} written{price}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_all_models_took_is_told_and_no_price_where_none_is_known() {
        let of = |cost: f64| json!({"accumulated_cost": cost, "accumulated_token_usage": {"prompt_tokens": 100, "completion_tokens": 7}});
        let info = |cost| json!({"stats": {"usage_to_metrics": {"agent": of(cost), "condenser": of(0.0)}}});
        assert_eq!(spent(&info(0.0)), "200 tokens read, 14 written");
        assert_eq!(spent(&info(0.012_34)), "200 tokens read, 14 written · $0.0123");
        assert_eq!(spent(&json!(null)), "0 tokens read, 0 written");
    }
}
