//! The messages of JSON-RPC 2.0, as an agent gets them.

use serde_json::{Value, json};

#[derive(Debug, PartialEq)]
pub enum Message {
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    /// Nobody waits for an answer.
    Told {
        method: String,
        params: Value,
    },
    /// Of what was asked here.
    Answer {
        id: Value,
        outcome: Result<Value, Refusal>,
    },
    Unfit {
        id: Value,
        refusal: Refusal,
    },
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: i64,
    pub message: String,
}

const NO_JSON: i64 = -32_700;
const NO_REQUEST: i64 = -32_600;
const NO_METHOD: i64 = -32_601;
const UNFIT: i64 = -32_602;
const FAILED: i64 = -32_603;
const NOT_FOUND: i64 = -32_002;

impl Refusal {
    pub fn unknown(method: &str) -> Self {
        Self { code: NO_METHOD, message: format!("Method not found: {method}") }
    }

    /// The parameters cannot be meant.
    pub fn unfit(message: &str) -> Self {
        Self { code: UNFIT, message: message.to_owned() }
    }

    pub fn busy(message: &str) -> Self {
        Self { code: NO_REQUEST, message: message.to_owned() }
    }

    pub fn failed(message: String) -> Self {
        Self { code: FAILED, message }
    }

    pub fn not_found(session: &str) -> Self {
        Self { code: NOT_FOUND, message: format!("There is no session {session}") }
    }

    pub fn as_json(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }
}

impl Message {
    pub fn read(line: &[u8]) -> Self {
        let unfit = |id: Value, code, message: &str| Self::Unfit {
            id,
            refusal: Refusal { code, message: message.to_owned() },
        };
        let Ok(mut message) = serde_json::from_slice::<Value>(line) else {
            return unfit(Value::Null, NO_JSON, "Parse error");
        };
        let id = message.get("id").filter(|id| id.is_string() || id.is_number()).cloned();
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        let mut take = |field: &str| message.get_mut(field).map(Value::take).filter(|value| !value.is_null());
        match (id, method) {
            (Some(id), Some(method)) => {
                Self::Request { id, method, params: take("params").unwrap_or_default() }
            }
            (None, Some(method)) => Self::Told { method, params: take("params").unwrap_or_default() },
            (Some(id), None) => {
                let outcome = match take("error") {
                    Some(error) => Err(refusal(&error)),
                    None => Ok(take("result").unwrap_or_default()),
                };
                Self::Answer { id, outcome }
            }
            (None, None) => unfit(Value::Null, NO_REQUEST, "Invalid Request"),
        }
    }
}

fn refusal(error: &Value) -> Refusal {
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    Refusal {
        code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_answers_and_what_is_merely_told_are_kept_apart() {
        let read = |line: &str| Message::read(line.as_bytes());
        let request = read(r#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}}"#);
        assert_eq!(
            request,
            Message::Request { id: json!("a"), method: "m".to_owned(), params: json!({"x": 1}) }
        );
        assert_eq!(read(r#"{"method":"m"}"#), Message::Told { method: "m".to_owned(), params: json!(null) });
        assert_eq!(
            read(r#"{"id":0,"result":null}"#),
            Message::Answer { id: json!(0), outcome: Ok(json!(null)) }
        );
        let refused = Refusal { code: -1, message: "no".to_owned() };
        let answer = read(r#"{"id":1,"error":{"code":-1,"message":"no"}}"#);
        assert_eq!(answer, Message::Answer { id: json!(1), outcome: Err(refused) });
    }

    #[test]
    fn what_is_no_message_is_answered_with_what_is_wrong() {
        for (line, code) in [("hello", NO_JSON), ("[]", NO_REQUEST), ("{}", NO_REQUEST), ("3", NO_REQUEST)] {
            let Message::Unfit { id, refusal } = Message::read(line.as_bytes()) else { panic!("{line}") };
            assert_eq!((id, refusal.code), (json!(null), code), "{line}");
        }
    }
}
