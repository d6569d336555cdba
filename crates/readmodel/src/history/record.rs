//! What a record of a log is to clients, without copying its event.

use bytes::Bytes;
use serde_json::value::RawValue;
use types::log::{Control, LogRecord};

/// What a record is to clients.
pub enum Shown {
    /// The event's index in the log and its JSON text.
    Event { n: u64, text: Bytes },
    /// A run is over.
    RunEnded,
    /// The conversation goes on from another event.
    HeadMoved,
    /// A record that is none of the clients' business, or cannot be read.
    Nothing,
}

pub fn shown(payload: &Bytes) -> Shown {
    match LogRecord::<&RawValue>::decode_as(payload) {
        Ok(LogRecord::Event { n, event }) => {
            Shown::Event { n, text: payload.slice_ref(event.get().as_bytes()) }
        }
        Ok(LogRecord::Control(Control::RunEnded {})) => Shown::RunEnded,
        Ok(LogRecord::Control(Control::Head { .. })) => Shown::HeadMoved,
        Ok(LogRecord::Control(_)) | Err(_) => Shown::Nothing,
    }
}
