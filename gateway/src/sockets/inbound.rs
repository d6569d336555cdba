//! Frames from clients: messages to the agent, each starting a run.

use std::sync::Arc;

use axum::extract::ws::{Message as Frame, Utf8Bytes, WebSocket};
use control::conversations::{Conversations, Said};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use ports::rpc::{Code, Reason};
use readmodel::index::ConversationState;
use serde::Deserialize;
use serde_json::{Map, Value};
use types::{Content, Message, Role};

use super::wire::Heard;
use crate::auth::{Caller, Right};
use crate::feeds::{Ending, Item, Outbox, Protocol};
use crate::pings::Pings;
use crate::words;

/// What a socket does with the frames of its client.
pub(super) trait Act: Sync {
    /// Does what the frame asks for.
    fn act(&self, text: &str) -> impl Future<Output = Result<(), Complaint>> + Send;

    /// The frame that says why one was no good.
    fn complain(&self, complaint: &Complaint) -> Utf8Bytes;
}

/// Takes frames until the client has gone; what they ask for is done one after another.
pub(super) async fn listen(
    stream: &mut SplitStream<WebSocket>,
    heard: &Heard,
    outbox: &Outbox,
    caller: &Caller,
    actor: &impl Act,
) {
    let mut pings = Pings::default();
    while let Some(Ok(frame)) = stream.next().await {
        heard.note();
        match frame {
            Frame::Text(text) if is_late_auth(&text) => {}
            Frame::Text(text) => {
                let acted = if caller.may(Right::Write) {
                    heard.serving(actor.act(&text)).await
                } else {
                    Err(Complaint::forbidden())
                };
                if let Err(complaint) = acted {
                    outbox.push(Item::Frame(actor.complain(&complaint)));
                }
            }
            Frame::Binary(_) => outbox.end(Ending::BINARY),
            Frame::Ping(_) | Frame::Pong(_) => pings.note().await,
            Frame::Close(_) => {}
        }
    }
}

/// What was wrong with a frame. Codes are the names clients know from the server this one replaces.
pub(super) struct Complaint {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl Complaint {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    fn forbidden() -> Self {
        Self::new("Forbidden", "The token does not give the right to write")
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self::new("JSONDecodeError", format!("the frame is not JSON (line {})", error.line()))
    }
}

/// A key or token that is offered though the socket is open already: exactly the fields of such a frame.
pub(super) fn is_late_auth(text: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Auth {
        r#type: String,
        #[serde(default)]
        #[expect(dead_code, reason = "its presence is allowed")]
        session_api_key: Option<Value>,
        #[serde(default)]
        #[expect(dead_code, reason = "its presence is allowed")]
        token: Option<Value>,
    }
    serde_json::from_str::<Auth>(text).is_ok_and(|auth| auth.r#type == "auth")
}

/// Messages to the agent of a conversation.
pub(super) struct Messages<'a> {
    pub(super) conversations: &'a Conversations,
    pub(super) entry: &'a Arc<ConversationState>,
    pub(super) protocol: Protocol,
}

impl Act for Messages<'_> {
    async fn act(&self, text: &str) -> Result<(), Complaint> {
        let message = message(text)?;
        if !self.conversations.has(self.entry) {
            return Err(Complaint::new("ValueError", "The conversation is gone"));
        }
        match self.conversations.say(self.entry, message, None, true, None).await {
            Ok(Said::Done) => Ok(()),
            Ok(Said::WithoutRun) => {
                Err(Complaint::new("ConversationRunLimitReached", words::of(&Reason::MessageSaved.into())))
            }
            Err(fault) if fault.code == Code::Busy => {
                Err(Complaint::new("ConversationRunLimitReached", words::of(&Reason::RunLimit.into())))
            }
            Err(fault) if fault.code == Code::Internal => {
                tracing::error!(conversation.id = %self.entry.id, error = %fault, "a message was not taken");
                Err(Complaint::new("InternalServerError", "The message could not be taken"))
            }
            Err(fault) => {
                tracing::debug!(conversation.id = %self.entry.id, error = %fault, "a message was not taken");
                Err(Complaint::new("ValueError", words::of(&fault)))
            }
        }
    }

    fn complain(&self, complaint: &Complaint) -> Utf8Bytes {
        self.protocol.error(complaint.code, &complaint.detail)
    }
}

fn message(text: &str) -> Result<Message, Complaint> {
    let fields: Value = serde_json::from_str(text).map_err(|error| Complaint::not_json(&error))?;
    let invalid = |detail: &str| Complaint::new("ValidationError", detail);
    let Value::Object(mut fields) = fields else { return Err(invalid("a message is an object")) };
    let role = fields.remove("role").ok_or_else(|| invalid("role: Field required"))?;
    let role: Role = serde_json::from_value(role).map_err(|_| invalid("role: not a role"))?;
    if role != Role::User {
        return Err(Complaint::new("AssertionError", "Only a user's messages can be sent to the agent"));
    }
    Ok(Message { role, content: content(&mut fields)?, ..Message::default() })
}

fn content(fields: &mut Map<String, Value>) -> Result<Vec<Content>, Complaint> {
    match fields.remove("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Content::text(text)]),
        Some(list) => serde_json::from_value(list).map_err(|_| {
            Complaint::new("ValidationError", "content: a list of text and image parts is needed")
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn a_late_key_is_told_from_a_message() {
        assert!(is_late_auth(r#"{"type":"auth"}"#));
        assert!(is_late_auth(r#"{"type":"auth","session_api_key":"k"}"#));
        assert!(is_late_auth(r#"{"type":"auth","token":"t"}"#));
        assert!(!is_late_auth(r#"{"type":"auth","session_api_key":"k","more":1}"#));
        assert!(!is_late_auth(r#"{"role":"user"}"#));
    }

    #[test]
    fn bad_frames_are_told_apart() {
        let code = |text: &str| message(text).unwrap_err().code;
        assert_eq!(code("not json"), "JSONDecodeError");
        assert_eq!(code(r#"{"a":1}"#), "ValidationError");
        assert_eq!(code(r#"{"role":"user","content":[{"type":"video"}]}"#), "ValidationError");
        assert_eq!(code(r#"{"role":"assistant","content":[]}"#), "AssertionError");
    }

    #[test]
    fn content_may_be_a_plain_text() {
        let message =
            message(r#"{"role":"user","content":"hi","run":true}"#).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(message.content, [Content::text("hi")]);
    }

    proptest! {
        #[test]
        fn any_frame_is_a_message_of_a_user_or_is_refused_without_repeating_it(
            role in select(&["\"user\"", "\"assistant\"", "\"secret-role\"", "null", "7", "{}"][..]),
            content in select(&[
                "\"secret\"", "[]", "[{\"type\":\"text\",\"text\":\"secret\"}]", "[{\"type\":\"secret\"}]", "[\"secret\"]", "{\"secret\":1}",
                "[{\"type\":\"image\",\"image_urls\":[\"secret\"]}]", "1e400",
            ][..]),
            more in "[,}\\]a-z\":]{0,6}",
            text in any::<String>(),
        ) {
            for frame in [format!("{{\"role\":{role},\"content\":{content}{more}}}"), text] {
                let _ = is_late_auth(&frame);
                match message(&frame) {
                    Ok(message) => prop_assert_eq!(message.role, Role::User),
                    Err(complaint) => prop_assert!(!complaint.detail.contains("secret"), "{}", complaint.detail),
                }
            }
        }
    }
}
