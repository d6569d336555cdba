//! One record of a log, without copying its event.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use types::log::Control;

/// What a record is to clients.
pub enum Shown {
    /// The event's index in the log and its JSON text.
    Event { n: u64, text: Bytes },
    /// A run is over.
    RunEnded,
    /// A record that is none of the clients' business, or cannot be read.
    Nothing,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    n: u64,
    #[serde(default, borrow)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    control: Option<Control>,
}

pub fn shown(payload: &Bytes) -> Shown {
    let Ok(line) = serde_json::from_slice::<Line<'_>>(payload) else { return Shown::Nothing };
    match (line.event, line.control) {
        (Some(event), _) => Shown::Event { n: line.n, text: payload.slice_ref(event.get().as_bytes()) },
        (None, Some(Control::RunEnded {})) => Shown::RunEnded,
        (None, _) => Shown::Nothing,
    }
}
