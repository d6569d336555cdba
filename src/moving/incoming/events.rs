//! The events of a conversation, each its own file.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
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
    let mut known = Known::default();
    for name in numbered.values() {
        match event(from, &format!("{EVENTS}/{name}"), &mut known, lineage) {
            Ok(record) => appending.add(record).await?,
            Err(why) => report.left_out("events", &told(name), why),
        }
        progress.step();
    }
    Ok(())
}

/// The events that came, by digests of their ids: who makes two ids of one digest deceives nobody but himself.
#[derive(Default)]
struct Known(HashSet<u64>);

impl Known {
    fn has(&self, id: &str) -> bool {
        self.0.contains(&digest(id))
    }

    /// Answers its number.
    fn add(&mut self, id: &str) -> usize {
        let number = self.0.len();
        self.0.insert(digest(id));
        number
    }
}

fn digest(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// The record of an event, its text as it was written.
fn event(from: &Path, name: &str, known: &mut Known, lineage: &mut Lineage) -> Result<Vec<u8>, String> {
    let text = folder::text(from, name, MOST_EVENT).map_err(|why: Unread| why.to_string())?;
    // Before anything of it is changed: what is damaged must not become something else that is whole.
    let id = Head::of(&text).map(|head| head.id.into_owned()).map_err(|_| "it is no event".to_owned())?;
    if known.has(&id) {
        return Err("one before it has its id".to_owned());
    }
    let text = peer::compact(&text);
    if types::depth(text.as_bytes()) > DEEPEST {
        return Err("it is nested more deeply than clients read".to_owned());
    }
    fits(text.len() + AROUND).map_err(|why| why.to_string())?;
    let text = lineage.add(&text).unwrap_or(text);
    Ok(format!(r#"{{"n":{},"event":{text}}}"#, known.add(&id)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_a_record_byte_for_byte_but_for_white_space() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        let mut of = |text: &str| {
            std::fs::write(dir.path().join("e"), text).unwrap();
            event(dir.path(), "e", &mut known, &mut Lineage::new(None, false))
        };
        of(r#"{"id": "before", "kind": "X", "timestamp": "t"}"#).unwrap();
        let written = "{\n \"id\": \"e\", \"kind\": \"FromTheFuture\", \"timestamp\": \"t\", \"n\": 1.50, \"é\": \"\\u00e9 \"\n}";
        let wanted =
            r#"{"n":1,"event":{"id":"e","kind":"FromTheFuture","timestamp":"t","n":1.50,"é":"\u00e9 "}}"#;
        assert_eq!(String::from_utf8(of(written).unwrap()).unwrap(), wanted);
        assert_eq!(of(written).unwrap_err(), "one before it has its id");
        let deep =
            format!(r#"{{"id":"d","kind":"X","timestamp":"t","v":{}{}}}"#, "[".repeat(122), "]".repeat(122));
        assert_eq!(of(&deep).unwrap_err(), "it is nested more deeply than clients read");
        let torn = r#"{"id": "e", "kind": "X", "timestamp": "t", "n": 1 2}"#;
        for text in ["{\"id\": \"e\"", "{}", "[]", "{} {}", torn] {
            assert_eq!(of(text).unwrap_err(), "it is no event", "{text}");
        }
    }

    #[test]
    fn an_event_below_one_that_did_not_come_hangs_below_the_one_before_that() {
        let dir = tempfile::tempdir().unwrap();
        let (mut known, mut lineage) = (Known::default(), Lineage::new(None, false));
        let mut of = |id: &str, parent: &str| {
            let text = format!(r#"{{"id":"{id}","kind":"X","timestamp":"t","parent_id":"{parent}"}}"#);
            std::fs::write(dir.path().join("e"), text).unwrap();
            String::from_utf8(event(dir.path(), "e", &mut known, &mut lineage).unwrap()).unwrap()
        };
        of("a", "__root__");
        assert!(of("c", "b").contains(r#""parent_id":"a""#));
        assert!(of("d", "a").contains(r#""parent_id":"a""#));
    }
}
