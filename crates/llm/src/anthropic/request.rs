//! The request body.

use serde::Serialize;
use serde_json::{Map, Value, json};
use types::agent::LlmConfig;
use types::model::ModelRequest;

use super::message::{self, Block, WireMessage};
use super::options::options;
use crate::call_ids::Form;
use crate::history::shape;
use crate::images::{Images, Limits};
use crate::plan::{Plan, Tweaks};
use crate::text_tools::STOP;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    r#type: &'static str,
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
    let is_claude = plan.route.model.to_ascii_lowercase().contains("claude");
    let cache_markers = plan.traits.cache_markers && !tweaks.without_cache_markers;
    let tools = request.tools.iter().map(|tool| WireTool {
        name: &tool.name,
        description: &tool.description,
        input_schema: &tool.parameters,
        r#type: "custom",
    });
    let mut options = options(llm, &plan.traits, history.may_think(), tweaks.temperature(llm));
    if tweaks.tools_in_words {
        options.entry("stop_sequences").or_insert_with(|| json!([STOP]));
    }
    serde_json::to_vec(&Body {
        model: &plan.route.model,
        system: message::system(&history, cache_markers),
        messages: message::messages(&history, &images, cache_markers, is_claude),
        tools: tools.collect(),
        stream: plan.stream,
        options,
    })
}
