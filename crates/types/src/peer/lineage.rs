//! Whether events that come in follow each other in one line, as they do unless HEAD was moved.

use std::collections::HashSet;

use serde::Deserialize;

use super::fields::{Fields, Object};
use crate::branch::{Key, key};
use crate::event::ROOT;
use crate::log::Control;

/// Looks at the events of a conversation in their order.
#[derive(Debug)]
pub struct Lineage {
    /// Where HEAD is said to be; `None`: nothing is said of it.
    head: Option<String>,
    head_is_empty: bool,
    /// The last event that others hang below.
    last: Option<String>,
    /// Those that others can hang below.
    known: HashSet<Key>,
    is_branched: bool,
    has_head: bool,
}

impl Lineage {
    #[must_use]
    pub fn new(head: Option<&str>, head_is_empty: bool) -> Self {
        let (head, known) = (head.map(str::to_owned), HashSet::new());
        Self { head, head_is_empty, last: None, known, is_branched: false, has_head: false }
    }

    /// The next event, as it was written. Where it hangs below one that did not come, all before that would be lost to the
    /// agent: then the same event is answered, below the last one that came.
    pub fn add(&mut self, event: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Link {
            id: String,
            kind: String,
            #[serde(default)]
            parent_id: Option<String>,
        }
        let Link { id, kind, parent_id } = serde_json::from_str(event).ok()?;
        if kind == "ConversationStateUpdateEvent" {
            return None;
        }
        let mut mended = None;
        self.is_branched |= match (parent_id.as_deref(), self.last.as_deref()) {
            (None, _) | (Some(ROOT), None) => false,
            (Some(parent), last) if parent == ROOT || self.known.contains(&key(parent)) => {
                last != Some(parent)
            }
            (Some(_), last) => {
                mended = below(event, last.unwrap_or(ROOT)).ok();
                false
            }
        };
        self.has_head |= self.head.as_ref() == Some(&id);
        self.known.insert(key(&id));
        self.last = Some(id);
        mended
    }

    /// Whether HEAD is said to be at an event that did not come.
    #[must_use]
    pub fn has_lost_head(&self) -> bool {
        self.head.is_some() && !self.has_head
    }

    /// What the log has to be told of HEAD, where that is not simply behind its last event.
    #[must_use]
    pub fn moved(&self) -> Option<Control> {
        if self.head_is_empty && self.last.is_some() {
            return Some(Control::Head { event: None });
        }
        let head = self.head.as_ref().filter(|_| self.has_head)?;
        let is_simple = !self.is_branched && self.last.as_ref() == Some(head);
        (!is_simple).then(|| Control::Head { event: Some(head.as_str().into()) })
    }
}

/// The event with another parent, its other fields as they were written.
fn below(event: &str, parent: &str) -> serde_json::Result<String> {
    let mut fields = Fields::of(event)?;
    fields.remove("parent_id");
    let mut mended = Object::default();
    for (name, raw) in fields.rest() {
        mended.raw(&name, &raw)?;
    }
    mended.field("parent_id", &parent)?;
    Ok(mended.end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(head: Option<&str>, is_empty: bool, events: &[(&str, Option<&str>)]) -> Lineage {
        let mut lineage = Lineage::new(head, is_empty);
        for (id, parent) in events {
            lineage.add(
                &json!({"id": id, "kind": "MessageEvent", "timestamp": "t", "parent_id": parent}).to_string(),
            );
            lineage.add(
                &json!({"id": "u", "kind": "ConversationStateUpdateEvent", "parent_id": id}).to_string(),
            );
        }
        lineage
    }

    fn head(event: Option<&str>) -> Option<Control> {
        Some(Control::Head { event: event.map(Into::into) })
    }

    #[test]
    fn only_where_head_was_moved_is_the_log_told_of_it() {
        let line = [("a", Some(ROOT)), ("b", Some("a")), ("c", None)];
        assert_eq!(of(Some("c"), false, &line).moved(), None);
        assert_eq!(of(None, false, &line).moved(), None);
        assert_eq!(of(Some("b"), false, &line).moved(), head(Some("b")));
        assert_eq!(of(None, true, &line).moved(), head(None));
        assert_eq!(of(None, true, &[]).moved(), None);
        let branched = [("a", None), ("b", Some("a")), ("c", Some("a"))];
        assert_eq!(of(Some("c"), false, &branched).moved(), head(Some("c")));
        assert_eq!(of(Some("c"), false, &[("a", None), ("c", Some("b"))]).moved(), None, "b did not come");
        let lost = of(Some("z"), false, &line);
        assert_eq!((lost.moved(), lost.has_lost_head()), (None, true));
    }

    #[test]
    fn what_hangs_below_an_event_that_did_not_come_hangs_below_the_one_before_that() {
        let written = |id: &str, parent: &str| {
            format!(
                r#"{{"parent_id":"{parent}","id":"{id}","kind":"MessageEvent","timestamp":"t","n":1.50}}"#
            )
        };
        let mut lineage = Lineage::new(None, false);
        assert_eq!(
            lineage.add(&written("b", "a")).unwrap(),
            format!(r#"{{"id":"b","kind":"MessageEvent","n":1.50,"timestamp":"t","parent_id":"{ROOT}"}}"#)
        );
        assert_eq!(lineage.add(&written("c", "b")), None);
        let mended = lineage.add(&written("e", "d")).unwrap();
        assert!(mended.contains(r#""parent_id":"c""#) && mended.contains(r#""n":1.50"#), "{mended}");
        assert_eq!(lineage.moved(), None);
    }
}
