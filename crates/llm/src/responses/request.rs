//! The request body.

use serde::Serialize;
use serde_json::{Map, Value, json};
use types::agent::LlmConfig;
use types::model::ModelRequest;

use super::item::{Item, items};
use crate::call_ids::Form;
use crate::history::shape;
use crate::images::{Images, Limits};
use crate::options::{merge_extra_body, put_sampling};
use crate::plan::{Plan, Tweaks};

/// Keys of the body that the user's extra body cannot replace.
const OWN_KEYS: [&str; 5] = ["model", "instructions", "input", "tools", "stream"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    instructions: String,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    store: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    strict: bool,
}

/// Writes the whole body once.
pub(crate) fn body(
    llm: &LlmConfig,
    plan: &Plan,
    request: &ModelRequest,
    tweaks: Tweaks,
) -> serde_json::Result<Vec<u8>> {
    let history = shape(&request.messages, Form::of(&plan.route.model));
    let images = Images::of(&history, plan.traits.vision.then(|| Limits::of(&plan.route.model)));
    let tools = request.tools.iter().map(|tool| WireTool {
        r#type: "function",
        name: &tool.name,
        description: &tool.description,
        parameters: &tool.parameters,
        strict: false,
    });
    serde_json::to_vec(&Body {
        model: &plan.route.model,
        instructions: history.system.join("\n"),
        input: items(&history, plan.traits.vision, &images),
        tools: tools.collect(),
        tool_choice: (!tweaks.tools_in_words).then_some("auto"),
        store: false,
        stream: plan.stream,
        options: options(llm, plan, tweaks),
    })
}

fn options(llm: &LlmConfig, plan: &Plan, tweaks: Tweaks) -> Map<String, Value> {
    let traits = &plan.traits;
    let mut options = Map::new();
    if let Some(limit) = traits.max_output {
        options.insert("max_output_tokens".to_owned(), limit.into());
    }
    if let Some(effort) = llm.reasoning_effort.as_ref().filter(|_| traits.reasoning_effort) {
        let mut reasoning = json!({"effort": effort});
        if let (Some(summary), Some(fields)) = (&llm.reasoning_summary, reasoning.as_object_mut()) {
            fields.insert("summary".to_owned(), summary.as_str().into());
        }
        options.insert("reasoning".to_owned(), reasoning);
    }
    if traits.cache_key {
        options.insert("prompt_cache_key".to_owned(), plan.session.as_str().into());
    }
    if let Some(retention) = llm.prompt_cache_retention.as_ref().filter(|_| keeps_cache(&plan.route.model)) {
        options.insert("prompt_cache_retention".to_owned(), retention.as_str().into());
    }
    let wanted = [("temperature", tweaks.temperature(llm)), ("top_p", llm.top_p)];
    put_sampling(llm, traits.sampling == Some(false), &wanted, &mut options);
    merge_extra_body(llm, &OWN_KEYS, &mut options);
    options
}

/// Models that take `prompt_cache_retention`.
fn keeps_cache(model: &str) -> bool {
    let is_family = model.contains("gpt-5") || model.contains("gpt-4.1");
    is_family && (!model.contains("mini") || model.contains("gpt-5.1-codex-mini"))
}
