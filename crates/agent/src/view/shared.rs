//! A shared message, written as the message with its order.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use types::Message;
use types::content::Part;

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    message: &'a Message,
    #[serde(skip_serializing_if = "<[Part]>::is_empty")]
    order: &'a [Part],
}

#[derive(Deserialize)]
struct Read {
    #[serde(flatten)]
    message: Message,
    #[serde(default)]
    order: Vec<Part>,
}

pub fn serialize<S: Serializer>(message: &Arc<Message>, serializer: S) -> Result<S::Ok, S::Error> {
    Written { message, order: &message.order }.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Message>, D::Error> {
    let Read { message, order } = Read::deserialize(deserializer)?;
    Ok(Arc::new(Message { order, ..message }))
}
