//! The request body.

use serde::Serialize;
use serde_json::{Map, Value, json};
use types::agent::LlmConfig;
use types::model::{ModelRequest, ToolSchema};

use super::message::{WireMessage, Writer};
use super::options::options;
use crate::call_ids::Form;
use crate::history::shape;
use crate::images::{Images, Limits};
use crate::plan::{Plan, Tweaks};
use crate::text_tools::STOP;
use crate::traits::Traits;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(flatten)]
    options: Map<String, Value>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    function: &'a ToolSchema,
}

/// Writes the whole body once.
pub(crate) fn body(
    llm: &LlmConfig,
    plan: &Plan,
    request: &ModelRequest,
    tweaks: Tweaks,
) -> serde_json::Result<Vec<u8>> {
    let form = Form::of(&plan.route.model);
    let history = shape(&request.messages, form);
    let provider = plan.route.provider;
    let cache_markers = plan.traits.cache_markers && !tweaks.without_cache_markers;
    let images = Images::of(&history, plan.traits.vision.then(|| Limits::of(&plan.route.model)));
    let traits =
        Traits { string_content: plan.traits.string_content || tweaks.tools_in_words, ..plan.traits.clone() };
    let writer = Writer { traits: &traits, provider, form, images: &images, cache_markers };
    let mut options = options(llm, provider, &plan.traits, &plan.session, tweaks.temperature(llm));
    if tweaks.tools_in_words && traits.stop_words {
        options.entry("stop").or_insert_with(|| json!([STOP]));
    }
    if plan.stream {
        options.insert("stream".to_owned(), true.into());
        options.entry("stream_options").or_insert_with(|| json!({"include_usage": true}));
    }
    let tools = request.tools.iter().map(|function| WireTool { r#type: "function", function }).collect();
    let body = Body { model: &plan.route.model, messages: writer.messages(&history), tools, options };
    serde_json::to_vec(&body)
}
