//! About how much memory a view takes.

use serde_json::Value;
use types::{Content, Message};

use super::{Call, Item, Turn, View};

/// What a message takes besides its texts.
const MESSAGE: usize = 400;
/// What a call takes besides its message and action: ids and names.
const CALL: usize = 300;
/// What one value of a tree takes besides its text.
const VALUE: usize = 64;

impl View {
    pub fn weight(&self) -> usize {
        self.items.iter().map(Item::weight).sum()
    }
}

impl Item {
    /// About how long it is for a model.
    pub fn length(&self) -> usize {
        let calls = match self {
            Self::Turn(turn) => turn.calls.len(),
            Self::System { .. } | Self::Text { .. } | Self::Summary { .. } => 0,
        };
        self.weight().saturating_sub(MESSAGE + calls * (MESSAGE + 2 * CALL))
    }

    fn weight(&self) -> usize {
        match self {
            Self::System { message } | Self::Text { message, .. } | Self::Summary { message, .. } => {
                of_message(message)
            }
            Self::Turn(turn) => turn.weight(),
        }
    }
}

impl Turn {
    fn weight(&self) -> usize {
        let signed =
            self.signed.iter().flat_map(|signed| &signed.thinking_blocks).map(of_value).sum::<usize>();
        of_message(&self.assistant) + self.calls.iter().map(Call::weight).sum::<usize>() + signed
    }
}

impl Call {
    fn weight(&self) -> usize {
        let result = self.result.as_ref().map_or(0, |answer| of_message(&answer.message));
        CALL + self.action.as_ref().map_or(0, of_value) + result
    }
}

fn of_message(message: &Message) -> usize {
    let contents = message.content.iter().map(of_content).sum::<usize>();
    let calls = message.tool_calls.iter().map(|call| CALL + call.arguments.len()).sum::<usize>();
    let thoughts = message.thinking_blocks.iter().map(of_value).sum::<usize>();
    MESSAGE + contents + calls + thoughts + message.reasoning_content.as_ref().map_or(0, String::len)
}

fn of_content(content: &Content) -> usize {
    match content {
        Content::Text { text, .. } => text.len(),
        Content::Image { image_urls, .. } => image_urls.iter().map(String::len).sum(),
    }
}

/// Values come from parsed JSON, whose depth the parser limits.
fn of_value(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(of_value).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + of_value(value)).sum(),
    };
    VALUE + inner
}
