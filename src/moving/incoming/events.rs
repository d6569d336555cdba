//! The events of a conversation, each its own file.

use std::collections::BTreeMap;
use std::path::Path;

use ports::{LARGEST, fits};
use types::ConversationId;
use types::event::Head;
use types::peer::{self, Lineage};

use super::appending::Appending;
use super::conversations::{DEEPEST, Failure};
use super::folder::{self, Unread};
use crate::moving::progress::Progress;
use crate::moving::report::Report;

const EVENTS: &str = "events";

const MOST_EVENT: u64 = LARGEST as u64;

/// What a record adds to an event at most: its number, and another parent.
const AROUND: usize = 512;

/// All that can be read, numbered without a gap.
///
/// # Errors
/// Those of the log, and of the folder itself.
pub(super) async fn bring(
    appending: &mut Appending,
    from: &Path,
    id: ConversationId,
    lineage: &mut Lineage,
    report: &mut Report,
) -> Result<(), Failure> {
    let names = folder::names(from, EVENTS).map_err(|why| Failure::LeftOut(format!("{EVENTS}: {why}")))?;
    let told = |name: &str| format!("{}/{EVENTS}/{name}", id.hex());
    let mut numbered: BTreeMap<u64, &String> = BTreeMap::new();
    for name in &names {
        let Some(number) = peer::event_of_file(name) else { continue };
        if let Some(other) = numbered.insert(number, name) {
            report.left_out("events", &told(other), "another one has its number");
        }
    }
    let mut progress = Progress::new("events", numbered.len());
    let mut count = 0;
    for name in numbered.values() {
        match event(from, &format!("{EVENTS}/{name}"), count, lineage) {
            Ok(record) => {
                appending.add(record).await?;
                count += 1;
            }
            Err(why) => report.left_out("events", &told(name), why),
        }
        progress.step();
    }
    Ok(())
}

/// The record of an event, its text as it was written.
fn event(from: &Path, name: &str, number: u64, lineage: &mut Lineage) -> Result<Vec<u8>, String> {
    let text = folder::text(from, name, MOST_EVENT).map_err(|why: Unread| why.to_string())?;
    // Before anything of it is changed: what is damaged must not become something else that is whole.
    let is_event = Head::of(&text).is_ok();
    if !is_event {
        return Err("it is no event".to_owned());
    }
    let text = peer::compact(&text);
    if peer::depth(&text) > DEEPEST {
        return Err("it is nested more deeply than clients read".to_owned());
    }
    fits(text.len() + AROUND).map_err(|why| why.to_string())?;
    let text = lineage.add(&text).unwrap_or(text);
    Ok(format!(r#"{{"n":{number},"event":{text}}}"#).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_a_record_byte_for_byte_but_for_white_space() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str, number| {
            std::fs::write(dir.path().join("e"), text).unwrap();
            event(dir.path(), "e", number, &mut Lineage::new(None, false))
        };
        let written = "{\n \"id\": \"e\", \"kind\": \"FromTheFuture\", \"timestamp\": \"t\", \"n\": 1.50, \"é\": \"\\u00e9 \"\n}";
        let wanted =
            r#"{"n":3,"event":{"id":"e","kind":"FromTheFuture","timestamp":"t","n":1.50,"é":"\u00e9 "}}"#;
        assert_eq!(String::from_utf8(of(written, 3).unwrap()).unwrap(), wanted);
        let torn = r#"{"id": "e", "kind": "X", "timestamp": "t", "n": 1 2}"#;
        for text in ["{\"id\": \"e\"", "{}", "[]", "{} {}", torn] {
            assert_eq!(of(text, 0).unwrap_err(), "it is no event", "{text}");
        }
    }
}
