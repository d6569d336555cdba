//! Asks the other side, one question at a time.

use serde_json::Value;

use crate::message::{Message, answer_to, notification, request};
use crate::{Broken, Wire};

/// Questions of the other side that are answered: over HTTP each answer is a call, with the headers of whoever asks here.
const MOST_QUESTIONS: u32 = 100;

/// The other side of a wire.
pub struct Peer<W> {
    wire: W,
    last: u64,
    /// Questions of the other side that may still come.
    left: u32,
}

impl<W: Wire> Peer<W> {
    #[must_use]
    pub fn new(wire: W) -> Self {
        Self { wire, last: 0, left: MOST_QUESTIONS }
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// Where the other side refuses, asks too much itself, or there is no answer.
    ///
    /// # Cancel safety
    /// Not safe: the wire is of no more use.
    pub async fn call(&mut self, method: &str, params: &Value) -> Result<Value, W::Error> {
        self.last += 1;
        let own = Value::from(self.last);
        self.wire.send(&request(self.last, method, params)).await?;
        loop {
            match Message::read(self.wire.next().await?) {
                Message::Answer { id, outcome } if id == own => return Ok(outcome?),
                Message::Request { id, method } => {
                    self.left = self.left.checked_sub(1).ok_or(Broken::TooLarge)?;
                    self.wire.send(&answer_to(&id, &method)).await?;
                }
                Message::Answer { .. } | Message::Told => {}
            }
        }
    }

    /// Tells something that needs no answer.
    ///
    /// # Errors
    /// Those of the wire.
    pub async fn notify(&mut self, method: &str) -> Result<(), W::Error> {
        self.wire.send(&notification(method)).await
    }

    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    #[must_use]
    pub fn into_wire(self) -> W {
        self.wire
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use serde_json::json;

    use super::*;
    use crate::Broken;

    /// Says what it was given, and notes what it is told.
    struct Script {
        says: VecDeque<Value>,
        heard: Vec<Value>,
    }

    impl Wire for Script {
        type Error = Broken;

        async fn send(&mut self, message: &Value) -> Result<(), Broken> {
            self.heard.push(message.clone());
            Ok(())
        }

        async fn next(&mut self) -> Result<Value, Broken> {
            self.says.pop_front().ok_or(Broken::Ended)
        }
    }

    fn peer(says: Value) -> Peer<Script> {
        let says = says.as_array().unwrap().iter().cloned().collect();
        Peer::new(Script { says, heard: Vec::new() })
    }

    #[tokio::test]
    async fn an_answer_is_found_among_whatever_else_is_said() {
        let mut peer = peer(json!([
            {"method": "notifications/message", "params": {}},
            {"id": 7, "result": "of another question"},
            {"id": "a", "method": "ping"},
            {"id": "b", "method": "roots/list"},
            {"id": 1, "result": {"x": 1}},
        ]));
        assert_eq!(peer.call("m", &json!({})).await, Ok(json!({"x": 1})));
        let heard = &peer.wire().heard;
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert_eq!(heard[1]["result"], json!({}));
        assert_eq!((&heard[2]["id"], &heard[2]["error"]["code"]), (&json!("b"), &json!(-32601)));
    }

    #[tokio::test]
    async fn who_asks_back_without_end_is_not_answered_any_more() {
        let mut peer = peer(Value::from(vec![json!({"id": "a", "method": "ping"}); 40_000]));
        assert_eq!(peer.call("m", &json!({})).await, Err(Broken::TooLarge));
        assert_eq!(peer.wire().heard.len(), 101, "a question and a hundred answers");
        // Nor in a later question of ours.
        assert_eq!(peer.call("m", &json!({})).await, Err(Broken::TooLarge));
        assert_eq!(peer.wire().heard.len(), 102);
    }

    #[tokio::test]
    async fn a_refusal_has_the_words_of_the_other_side_and_not_too_many() {
        let mut peer = peer(json!([{"id": 1, "error": {"code": -3, "message": "x".repeat(9_999)}}]));
        let Err(Broken::Refused { code, message, .. }) = peer.call("m", &json!({})).await else {
            panic!("answered")
        };
        assert_eq!((code, message.len()), (-3, 500));
        assert_eq!(peer.call("m", &json!({})).await, Err(Broken::Ended));
    }
}
