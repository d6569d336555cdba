//! Body options that all dialects treat alike.

use serde_json::{Map, Value};
use types::agent::LlmConfig;

/// Puts in sampling options that are set. Where the model is known to refuse them they are left out, unless
/// the user turned `drop_params` off.
pub(crate) fn put_sampling(
    llm: &LlmConfig,
    refused: bool,
    wanted: &[(&str, Option<f64>)],
    options: &mut Map<String, Value>,
) {
    for (key, value) in wanted {
        let Some(value) = value else { continue };
        if refused && llm.drop_params {
            tracing::warn!(model = %llm.model, option = key, "the model refuses this option, it is left out");
            continue;
        }
        options.insert((*key).to_owned(), number(*value));
    }
}

/// Puts the user's extra body over the options; `own_keys` stay as they are.
pub(crate) fn merge_extra_body(llm: &LlmConfig, own_keys: &[&str], options: &mut Map<String, Value>) {
    let extra = llm.litellm_extra_body.iter().filter(|(key, _)| !own_keys.contains(&key.as_str()));
    options.extend(extra.map(|(key, value)| (key.clone(), value.clone())));
}

/// Whole numbers as integers: some servers refuse `40.0` for `top_k`.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 { (value as i64).into() } else { value.into() }
}
