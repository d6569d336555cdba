//! The items of `input`.

use std::borrow::Cow;

use serde::Serialize;
use types::content::{Content, Message};

use crate::history::{self, History, ToolResult, Turn, image_urls};
use crate::images::{self, Images};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Message { role: &'static str, content: Vec<Part<'a>> },
    FunctionCall { call_id: Cow<'a, str>, name: Cow<'a, str>, arguments: Cow<'a, str> },
    FunctionCallOutput { call_id: Cow<'a, str>, output: Cow<'a, str> },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    InputText { text: Cow<'a, str> },
    InputImage { image_url: Cow<'a, str>, detail: &'static str },
    OutputText { text: &'a str },
}

pub(super) fn items<'h>(history: &History<'h>, vision: bool, images: &Images<'h>) -> Vec<Item<'h>> {
    let mut items = Vec::with_capacity(history.turns.len() * 2);
    for turn in &history.turns {
        match turn {
            Turn::User(content) => items.push(user(content, images)),
            Turn::Assistant { message, results } => {
                assistant(message, results, &mut items);
                items.extend(results.iter().map(|result| output(result, vision)));
                items.extend(images_of(results, images).filter(|_| vision));
            }
        }
    }
    items
}

fn user<'h>(content: &[&'h Content], images: &Images<'h>) -> Item<'h> {
    let mut parts = Vec::with_capacity(content.len());
    for piece in content {
        parts.extend(piece.as_text().map(|text| Part::InputText { text: Cow::Borrowed(text) }));
        parts.extend(image_urls(piece).map(|url| image(url, images)));
    }
    Item::Message { role: "user", content: parts }
}

fn assistant<'h>(message: &'h Message, results: &[ToolResult<'h>], items: &mut Vec<Item<'h>>) {
    let parts: Vec<_> = history::texts(message).map(|text| Part::OutputText { text }).collect();
    if !parts.is_empty() {
        items.push(Item::Message { role: "assistant", content: parts });
    }
    items.extend(results.iter().map(|result| Item::FunctionCall {
        call_id: result.id.clone(),
        name: result.name.clone(),
        arguments: result.arguments.text(),
    }));
}

/// One output per call, its texts joined: the API refuses a second one.
fn output<'h>(result: &ToolResult<'h>, vision: bool) -> Item<'h> {
    let left_out = result.image_urls.iter().filter(|_| !vision).map(|_| Cow::Borrowed(images::LEFT_OUT));
    let mut texts = result.texts.iter().cloned().chain(left_out);
    let first = texts.next().unwrap_or_default();
    let output = texts.fold(first, |all, text| Cow::Owned([&all, "\n", &text].concat()));
    Item::FunctionCallOutput { call_id: result.id.clone(), output }
}

fn images_of<'h>(results: &[ToolResult<'h>], images: &Images<'h>) -> Option<Item<'h>> {
    let mut urls = results.iter().flat_map(|result| &result.image_urls).peekable();
    urls.peek()?;
    let mut content = vec![Part::InputText { text: Cow::Borrowed(images::FROM_TOOLS) }];
    content.extend(urls.map(|url| image(url, images)));
    Some(Item::Message { role: "user", content })
}

fn image<'h>(url: &'h str, images: &Images<'h>) -> Part<'h> {
    match images.get(url).url(url) {
        Ok(image_url) => Part::InputImage { image_url, detail: "auto" },
        Err(text) => Part::InputText { text },
    }
}
