//! What a call cost, in US dollars.

use http::HeaderMap;
use types::agent::LlmConfig;
use types::stats::add_cost;

use crate::answer::Tokens;
use crate::catalog::{Known, Prices};

/// US dollars that one call can count at most.
const MOST_OF_A_CALL: f64 = 100_000.0;

const COST_HEADERS: [&str; 2] = ["llm_provider-x-litellm-response-cost", "x-litellm-response-cost"];

/// The first that is known: a proxy's header, the user's prices, what the answer itself says, the table.
/// 0 if none is.
pub(crate) fn of(llm: &LlmConfig, known: Option<&Known>, headers: &HeaderMap, tokens: &Tokens) -> f64 {
    let cost = from_header(headers)
        .or_else(|| from_user(llm, tokens))
        .or(tokens.reported_cost)
        .or_else(|| known.map(|known| from_table(&known.prices, tokens)));
    cost.filter(|cost| cost.is_finite() && *cost >= 0.0).unwrap_or(0.0).min(MOST_OF_A_CALL)
}

/// What a call counts against a limit: the dearest of all that is known, since whoever is limited may have set
/// some of it.
pub(crate) fn ceiling(llm: &LlmConfig, known: Option<&Known>, headers: &HeaderMap, tokens: &Tokens) -> f64 {
    let all = [
        from_header(headers),
        from_user(llm, tokens),
        tokens.reported_cost,
        known.map(|known| from_table(&known.prices, tokens)),
    ];
    all.into_iter().flatten().fold(0.0, |most, cost| add_cost(0.0, cost).max(most)).min(MOST_OF_A_CALL)
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
    fn nobody_makes_a_call_cheaper_than_the_table_says() {
        let known = catalog::find("gpt-4o");
        let table = of(&LlmConfig::default(), known.as_ref(), &HeaderMap::new(), &TOKENS);
        let priced = |input: f64, output: f64| LlmConfig {
            input_cost_per_token: Some(input),
            output_cost_per_token: Some(output),
            ..LlmConfig::default()
        };
        let header =
            |cost: &str| HeaderMap::from_iter([(COST_HEADERS[1].parse().unwrap(), cost.parse().unwrap())]);
        let counted = |llm: &LlmConfig, headers: &HeaderMap, tokens: &Tokens| {
            ceiling(llm, known.as_ref(), headers, tokens)
        };
        for price in [0.0, -1.0, f64::NAN] {
            assert_eq!(counted(&priced(price, price), &header("0"), &TOKENS), table);
        }
        assert_eq!(counted(&priced(1e-3, 0.0), &HeaderMap::new(), &TOKENS), 1000.0, "the dearer counts");
        for most in ["1e308", "inf"] {
            let reported = Tokens { reported_cost: Some(f64::INFINITY), ..TOKENS };
            assert_eq!(counted(&priced(f64::MAX, f64::MAX), &header(most), &reported), MOST_OF_A_CALL);
        }
    }

    #[test]
    fn an_unknown_price_is_zero() {
        assert_eq!(of(&LlmConfig::default(), None, &HeaderMap::new(), &TOKENS), 0.0);
    }
}
