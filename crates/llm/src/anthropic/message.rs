//! Messages and blocks on the wire.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use types::content::{Content, Message, Part};

use crate::history::{History, ToolResult, Turn, image_urls, is_signed};
use crate::images::{Images, Shown};
use crate::written::Arguments;

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
pub(super) struct Block<'a> {
    #[serde(flatten)]
    kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Arguments<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
    },
    /// A thinking block as it came, signature included.
    #[serde(untagged)]
    Thinking(&'a Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: Cow<'a, str> },
    Url { url: &'a str },
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
}

const EPHEMERAL: CacheControl = CacheControl { r#type: "ephemeral" };

pub(super) fn system<'h>(history: &History<'h>, cache_markers: bool) -> Vec<Block<'h>> {
    let mut blocks: Vec<_> =
        history.system.iter().filter_map(|text| text_block(Cow::Borrowed(text))).collect();
    if let Some(first) = blocks.first_mut().filter(|_| cache_markers) {
        first.cache_control = Some(EPHEMERAL);
    }
    blocks
}

pub(super) fn messages<'h>(
    history: &History<'h>,
    images: &Images<'h>,
    cache_markers: bool,
    is_claude: bool,
) -> Vec<WireMessage<'h>> {
    let mut messages = Vec::with_capacity(history.turns.len() * 2);
    for turn in &history.turns {
        match turn {
            Turn::User(content) => push(&mut messages, "user", user(content, images)),
            Turn::Assistant { message, results } => {
                push(&mut messages, "assistant", assistant(message, results, is_claude));
                push(
                    &mut messages,
                    "user",
                    results.iter().map(|result| tool_result(result, images)).collect(),
                );
            }
        }
    }
    let newest = messages.iter_mut().rev().find(|message| message.role == "user");
    if let Some(block) = newest.filter(|_| cache_markers).and_then(|message| message.content.last_mut()) {
        block.cache_control = Some(EPHEMERAL);
    }
    messages
}

/// Adds blocks, to the last message if it has the same role; the API refuses empty messages.
fn push<'h>(messages: &mut Vec<WireMessage<'h>>, role: &'static str, blocks: Vec<Block<'h>>) {
    match messages.last_mut() {
        _ if blocks.is_empty() => {}
        Some(last) if last.role == role && role == "user" => last.content.extend(blocks),
        _ => messages.push(WireMessage { role, content: blocks }),
    }
}

fn user<'h>(content: &[&'h Content], images: &Images<'h>) -> Vec<Block<'h>> {
    let mut blocks = Vec::with_capacity(content.len());
    for piece in content {
        blocks.extend(piece.as_text().and_then(|text| text_block(Cow::Borrowed(text))));
        blocks.extend(image_urls(piece).map(|url| image(url, images)));
    }
    blocks
}

fn assistant<'h>(message: &'h Message, results: &[ToolResult<'h>], is_claude: bool) -> Vec<Block<'h>> {
    let is_taken = |kept: &&Value| if is_claude { is_signed(kept) } else { kept.is_object() };
    let part = |part: Part| match part {
        Part::Thinking(at) => {
            let kept = message.thinking_blocks.get(at).filter(is_taken);
            kept.map(|kept| block(Kind::Thinking(kept)))
        }
        Part::Text(at) => text_block(Cow::Borrowed(message.content.get(at).and_then(Content::as_text)?)),
        Part::Call(at) => results.get(at).map(tool_use),
    };
    let mut blocks: Vec<_> = message.parts().into_iter().filter_map(part).collect();
    // The API takes no answer that ends with thinking.
    while blocks.pop_if(|last| matches!(last.kind, Kind::Thinking(_))).is_some() {}
    blocks
}

fn tool_use<'h>(result: &ToolResult<'h>) -> Block<'h> {
    let (id, name, input) = (result.id.clone(), result.name.clone(), result.arguments.clone());
    block(Kind::ToolUse { id, name, input })
}

fn tool_result<'h>(result: &ToolResult<'h>, images: &Images<'h>) -> Block<'h> {
    let mut content: Vec<_> = result.texts.iter().cloned().filter_map(text_block).collect();
    content.extend(result.image_urls.iter().map(|url| image(url, images)));
    block(Kind::ToolResult { tool_use_id: result.id.clone(), content })
}

fn image<'h>(url: &'h str, images: &Images<'h>) -> Block<'h> {
    let source = match images.get(url) {
        Shown::Base64 { media_type, data } => Source::Base64 { media_type, data },
        Shown::Url(url) => Source::Url { url },
        Shown::Words(text) => return block(Kind::Text { text }),
    };
    block(Kind::Image { source })
}

/// The API refuses blank text.
fn text_block(text: Cow<'_, str>) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then(|| block(Kind::Text { text }))
}

fn block(kind: Kind<'_>) -> Block<'_> {
    Block { kind, cache_control: None }
}
