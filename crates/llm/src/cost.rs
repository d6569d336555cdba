//! What a call cost, in US dollars.

use http::HeaderMap;
use types::agent::LlmConfig;

use crate::answer::Tokens;
use crate::catalog::{Known, Prices};

const COST_HEADERS: [&str; 2] = ["llm_provider-x-litellm-response-cost", "x-litellm-response-cost"];

/// The first that is known: a proxy's header, the user's prices, what the answer itself says, the table.
/// 0 if none is.
pub(crate) fn of(llm: &LlmConfig, known: Option<&Known>, headers: &HeaderMap, tokens: &Tokens) -> f64 {
    let cost = from_header(headers)
        .or_else(|| from_user(llm, tokens))
        .or(tokens.reported_cost)
        .or_else(|| known.map(|known| from_table(&known.prices, tokens)));
    cost.filter(|cost| cost.is_finite() && *cost >= 0.0).unwrap_or(0.0)
}

fn from_header(headers: &HeaderMap) -> Option<f64> {
    COST_HEADERS.iter().find_map(|name| headers.get(*name)?.to_str().ok()?.parse().ok())
}

fn from_user(llm: &LlmConfig, tokens: &Tokens) -> Option<f64> {
    let (input, output) = (llm.input_cost_per_token?, llm.output_cost_per_token?);
    Some(tokens.prompt as f64 * input + tokens.completion as f64 * output)
}

fn from_table(prices: &Prices, tokens: &Tokens) -> f64 {
    let fresh = tokens.prompt.saturating_sub(tokens.cache_read).saturating_sub(tokens.cache_write);
    fresh as f64 * prices.input
        + tokens.cache_read as f64 * prices.cache_read
        + tokens.cache_write as f64 * prices.cache_write
        + tokens.completion as f64 * prices.output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    const TOKENS: Tokens = Tokens {
        prompt: 1_000_000,
        completion: 1_000_000,
        cache_read: 100_000,
        cache_write: 200_000,
        reasoning: 0,
        reported_cost: None,
    };

    #[test]
    fn the_table_prices_cached_tokens_apart() {
        let known = catalog::find("claude-sonnet-4-5");
        let cost = of(&LlmConfig::default(), known.as_ref(), &HeaderMap::new(), &TOKENS);
        assert!((cost - (0.7 * 3.0 + 0.1 * 0.3 + 0.2 * 3.75 + 15.0)).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn header_user_and_answer_come_before_the_table() {
        let known = catalog::find("gpt-4o");
        let user = LlmConfig {
            input_cost_per_token: Some(1e-6),
            output_cost_per_token: Some(2e-6),
            ..LlmConfig::default()
        };
        let header = HeaderMap::from_iter([(COST_HEADERS[1].parse().unwrap(), "0.5".parse().unwrap())]);
        let reported = Tokens { reported_cost: Some(0.25), ..TOKENS };
        let none = HeaderMap::new();
        assert_eq!(of(&user, known.as_ref(), &header, &reported), 0.5);
        assert_eq!(of(&user, known.as_ref(), &none, &reported), 3.0);
        assert_eq!(of(&LlmConfig::default(), known.as_ref(), &none, &reported), 0.25);
    }

    #[test]
    fn an_unknown_price_is_zero() {
        assert_eq!(of(&LlmConfig::default(), None, &HeaderMap::new(), &TOKENS), 0.0);
    }
}
