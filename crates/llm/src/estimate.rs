//! Tokens of a call whose provider does not say how many there were, roughly.

use types::content::{Content, Message, ToolCall};
use types::model::{ModelRequest, ToolSchema};

use crate::answer::Answer;

/// Bytes of a token, in most texts.
const TOKEN: usize = 4;
/// Tokens of an image.
const IMAGE: usize = 1_000;

pub(crate) fn of_request(request: &ModelRequest) -> u64 {
    let messages = request.messages.iter().map(|message| of_message(message));
    tokens(messages.chain(request.tools.iter().map(of_tool)).sum())
}

pub(crate) fn of_answer(answer: &Answer) -> u64 {
    tokens(answer.text.len() + answer.reasoning.len() + answer.calls.iter().map(of_call).sum::<usize>())
}

fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(TOKEN) as u64
}

fn of_message(message: &Message) -> usize {
    let content = message.content.iter().map(|piece| match piece {
        Content::Text { text, .. } => text.len(),
        Content::Image { image_urls, .. } => image_urls.len() * IMAGE * TOKEN,
    });
    content.chain(message.tool_calls.iter().map(of_call)).sum()
}

fn of_call(call: &ToolCall) -> usize {
    call.name.len() + call.arguments.len()
}

fn of_tool(tool: &ToolSchema) -> usize {
    tool.name.len() + tool.description.len() + tool.parameters.to_string().len()
}
