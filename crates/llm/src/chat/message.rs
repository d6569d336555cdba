//! One message on the wire.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use types::content::{Content, Message};

use crate::call_ids::Form;
use crate::history::{self, History, ToolResult, Turn, image_urls};
use crate::images::{self, Images};
use crate::provider::Provider;
use crate::traits::Traits;

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<WireContent<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    thinking_blocks: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireContent<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: Cow<'a, str>,
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    r#type: &'static str,
}

const EPHEMERAL: CacheControl = CacheControl { r#type: "ephemeral" };

#[derive(Serialize)]
struct WireCall<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: WireFunction<'a>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

/// A tool has said nothing, or nothing but images.
const NO_TEXT: &str = "(no text)";
/// Between results and a message of the user.
const BRIDGE: &str = "I have seen the results.";

/// How messages of one call are written.
pub(super) struct Writer<'a, 'h> {
    pub traits: &'a Traits,
    pub provider: &'a Provider,
    pub form: Form,
    pub images: &'a Images<'h>,
    pub cache_markers: bool,
}

impl<'h> Writer<'_, 'h> {
    pub(super) fn messages(&self, history: &History<'h>) -> Vec<WireMessage<'h>> {
        let mut messages = Vec::with_capacity(history.turns.len() * 2 + 1);
        if !history.system.is_empty() {
            let blocks = history.system.iter().map(|text| text_block(Cow::Borrowed(text))).collect();
            messages.push(self.message("system", blocks));
        }
        for turn in &history.turns {
            match turn {
                Turn::User(content) => self.push_user(self.user(content), &mut messages),
                Turn::Assistant { message, results } => self.round(message, results, &mut messages),
            }
        }
        if self.cache_markers {
            self.mark(&mut messages);
        }
        messages
    }

    fn user(&self, content: &[&'h Content]) -> WireMessage<'h> {
        let mut blocks = Vec::with_capacity(content.len());
        for piece in content {
            blocks.extend(piece.as_text().map(|text| text_block(Cow::Borrowed(text))));
            blocks.extend(image_urls(piece).map(|url| self.image(url)));
        }
        self.message("user", blocks)
    }

    fn round(&self, message: &'h Message, results: &[ToolResult<'h>], messages: &mut Vec<WireMessage<'h>>) {
        messages.push(self.assistant(message, results));
        messages.extend(results.iter().map(|result| self.tool(result)));
        let mut images = results.iter().flat_map(|result| &result.image_urls).peekable();
        if self.traits.vision && images.peek().is_some() {
            let mut blocks = vec![text_block(Cow::Borrowed(images::FROM_TOOLS))];
            blocks.extend(images.map(|url| self.image(url)));
            self.push_user(self.message("user", blocks), messages);
        }
    }

    /// After results Mistral's models take nothing but an answer, and nobody takes two messages of the user in a row.
    fn push_user(&self, message: WireMessage<'h>, messages: &mut Vec<WireMessage<'h>>) {
        let last = messages.last_mut();
        if self.form == Form::Short && last.as_ref().is_some_and(|last| last.role == "tool") {
            messages.push(self.message("assistant", vec![text_block(Cow::Borrowed(BRIDGE))]));
        } else if let Some(last) = last.filter(|last| last.role == "user") {
            last.extend(message);
            return;
        }
        messages.push(message);
    }

    fn assistant(&self, message: &'h Message, results: &[ToolResult<'h>]) -> WireMessage<'h> {
        let texts = history::texts(message);
        let blocks: Vec<_> = texts.map(|text| text_block(Cow::Borrowed(text))).collect();
        let tool_calls: Vec<_> = results.iter().map(wire_call).collect();
        let content = (!blocks.is_empty()).then(|| self.content(blocks));
        let reasoning_content = message.reasoning_content.as_deref();
        let resends_blocks = matches!(self.provider.prefix, "litellm_proxy" | "openhands");
        WireMessage {
            content,
            tool_calls,
            reasoning_content: reasoning_content.filter(|_| self.traits.resends_reasoning),
            thinking_blocks: if resends_blocks { &message.thinking_blocks } else { &[] },
            ..empty("assistant")
        }
    }

    fn tool(&self, result: &ToolResult<'h>) -> WireMessage<'h> {
        let mut blocks: Vec<_> = result.texts.iter().cloned().map(text_block).collect();
        if !self.traits.vision {
            blocks.extend(result.image_urls.iter().map(|_| text_block(Cow::Borrowed(images::LEFT_OUT))));
        }
        if blocks.is_empty() {
            blocks.push(text_block(Cow::Borrowed(NO_TEXT)));
        }
        WireMessage {
            tool_call_id: Some(result.id.clone()),
            name: (self.provider.prefix != "xai").then(|| result.name.clone()),
            ..self.message("tool", blocks)
        }
    }

    fn message(&self, role: &'static str, blocks: Vec<Block<'h>>) -> WireMessage<'h> {
        WireMessage { content: Some(self.content(blocks)), ..empty(role) }
    }

    fn content(&self, blocks: Vec<Block<'h>>) -> WireContent<'h> {
        let only_text = blocks.iter().all(|block| matches!(block, Block::Text { .. }));
        if !(self.traits.string_content && only_text) {
            return WireContent::Blocks(blocks);
        }
        let mut texts = blocks.into_iter().filter_map(|block| match block {
            Block::Text { text, .. } => Some(text),
            Block::ImageUrl { .. } => None,
        });
        let first = texts.next().unwrap_or_default();
        WireContent::Text(texts.fold(first, |all, text| Cow::Owned([&all, "\n", &text].concat())))
    }

    fn image(&self, url: &'h str) -> Block<'h> {
        match self.images.get(url).url(url) {
            Ok(url) => Block::ImageUrl { image_url: ImageUrl { url }, cache_control: None },
            Err(words) => text_block(words),
        }
    }

    /// Marks the first system block and the newest message that is not the model's own.
    fn mark(&self, messages: &mut [WireMessage<'_>]) {
        if let Some(WireContent::Blocks(blocks)) =
            messages.first_mut().filter(|message| message.role == "system").and_then(|m| m.content.as_mut())
        {
            blocks.first_mut().into_iter().for_each(mark_block);
        }
        let newest = messages.iter_mut().rev().find(|message| matches!(message.role, "user" | "tool"));
        let Some(newest) = newest else { return };
        if newest.role == "tool" && self.provider.prefix != "openrouter" {
            newest.cache_control = Some(EPHEMERAL);
        } else if let Some(WireContent::Blocks(blocks)) = &mut newest.content {
            blocks.last_mut().into_iter().for_each(mark_block);
        }
    }
}

impl<'a> WireMessage<'a> {
    /// What else the user has said.
    fn extend(&mut self, other: Self) {
        let parts = |content| match content {
            None => Vec::new(),
            Some(WireContent::Text(text)) => vec![text_block(text)],
            Some(WireContent::Blocks(blocks)) => blocks,
        };
        let (own, more) = (self.content.take(), other.content);
        self.content = match (own, more) {
            (Some(WireContent::Text(own)), Some(WireContent::Text(more))) => {
                Some(WireContent::Text(Cow::Owned([&own, "\n", &more].concat())))
            }
            (own, more) => Some(WireContent::Blocks(parts(own).into_iter().chain(parts(more)).collect())),
        };
    }
}

fn mark_block(block: &mut Block<'_>) {
    match block {
        Block::Text { cache_control, .. } | Block::ImageUrl { cache_control, .. } => {
            *cache_control = Some(EPHEMERAL);
        }
    }
}

fn empty(role: &'static str) -> WireMessage<'static> {
    WireMessage {
        role,
        content: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        name: None,
        reasoning_content: None,
        thinking_blocks: &[],
        cache_control: None,
    }
}

fn text_block(text: Cow<'_, str>) -> Block<'_> {
    Block::Text { text, cache_control: None }
}

fn wire_call<'h>(result: &ToolResult<'h>) -> WireCall<'h> {
    let function = WireFunction { name: result.name.clone(), arguments: result.arguments.text() };
    WireCall { id: result.id.clone(), r#type: "function", function }
}
