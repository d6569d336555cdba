//! Which events are wanted, and in which order.

use std::collections::VecDeque;

use types::Seq;
use uuid::Uuid;

use super::summary::{EventSummary, Kind};

/// Which events are wanted, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub kind: Option<Kind>,
    /// Only outputs of this command.
    pub command: Option<Uuid>,
    /// Inclusive, as UTC text.
    pub from: Option<String>,
    /// Exclusive, as UTC text.
    pub until: Option<String>,
    /// Only outputs after this one of their command.
    pub order_above: Option<i64>,
    pub newest_first: bool,
    /// The event to begin with; an unknown one counts as none.
    pub cursor: Option<Uuid>,
    pub limit: usize,
}

/// The events of a page, and the one the next page begins with.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    pub entries: Vec<EventSummary>,
    pub next: Option<Uuid>,
}

impl Query {
    fn wants(&self, entry: &EventSummary) -> bool {
        let stamp = entry.stamp();
        let above = |order: i64| i64::try_from(entry.order).is_ok_and(|own| own > order);
        self.kind.is_none_or(|kind| kind == entry.kind)
            && (self.command.is_none() || self.command == entry.command)
            && self.from.as_ref().is_none_or(|from| stamp >= from.as_bytes())
            && self.until.as_ref().is_none_or(|until| stamp < until.as_bytes())
            && (entry.kind == Kind::BashCommand || self.order_above.is_none_or(above))
    }

    /// A page from entries in log order.
    pub fn page<'a>(&self, entries: impl DoubleEndedIterator<Item = &'a EventSummary> + Clone) -> Page {
        let known = self.cursor.filter(|cursor| entries.clone().any(|entry| entry.id == *cursor));
        if self.newest_first { self.fill(entries.rev(), known) } else { self.fill(entries, known) }
    }

    fn fill<'a>(&self, entries: impl Iterator<Item = &'a EventSummary>, cursor: Option<Uuid>) -> Page {
        let from_cursor = entries.skip_while(|entry| cursor.is_some_and(|cursor| entry.id != cursor));
        let mut wanted = from_cursor.filter(|entry| self.wants(entry)).copied();
        let entries = wanted.by_ref().take(self.limit).collect();
        Page { entries, next: wanted.next().map(|entry| entry.id) }
    }

    /// Whether entries older than all of `newest` can matter; `begin` is where those start.
    pub fn needs_older<'a>(
        &self,
        newest: impl DoubleEndedIterator<Item = &'a EventSummary> + Clone,
        begin: Seq,
    ) -> bool {
        if begin == Seq::ZERO {
            return false;
        }
        let has = |id: Uuid| newest.clone().any(|entry| entry.id == id);
        if self.command.is_some_and(has) {
            return false;
        }
        match self.cursor {
            Some(cursor) if !has(cursor) => true,
            Some(_) if !self.newest_first => false,
            None if !self.newest_first => true,
            _ => self.page(newest).next.is_none(),
        }
    }
}

/// A page of events that come in the order of the log, of which no more are kept than the page may need.
pub(super) struct Gathering<'a> {
    query: &'a Query,
    /// Without regard to the cursor: one that never comes counts as none.
    all: VecDeque<EventSummary>,
    /// Those that the cursor begins with, once it has come.
    from_cursor: Option<VecDeque<EventSummary>>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        Self { query, all: VecDeque::new(), from_cursor: None }
    }

    /// Takes the next event. Whether none that follow can matter.
    pub(super) fn take(&mut self, entry: &EventSummary) -> bool {
        let Query { cursor, newest_first, limit, .. } = self.query;
        let (is_cursor, enough) = (*cursor == Some(entry.id), limit.saturating_add(1));
        if *newest_first {
            if self.query.wants(entry) {
                self.all.push_back(*entry);
                self.all.drain(..self.all.len().saturating_sub(enough));
            }
            return is_cursor;
        }
        if is_cursor {
            self.from_cursor.get_or_insert_default();
        }
        let has_cursor = self.from_cursor.is_some();
        let gathered = self.from_cursor.as_mut().unwrap_or(&mut self.all);
        if gathered.len() < enough && self.query.wants(entry) {
            gathered.push_back(*entry);
        }
        gathered.len() >= enough && (has_cursor || cursor.is_none())
    }

    pub(super) fn page(self) -> Page {
        let mut gathered: Vec<_> = self.from_cursor.unwrap_or(self.all).into();
        if self.query.newest_first {
            gathered.reverse();
        }
        let next = gathered.get(self.query.limit).map(|entry| entry.id);
        gathered.truncate(self.query.limit);
        Page { entries: gathered, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn log() -> Vec<EventSummary> {
        let record = |i: u64| {
            let (kind, command) =
                if i.is_multiple_of(4) { ("BashCommand", None) } else { ("BashOutput", Some(i / 4 * 4)) };
            json!({"kind": kind, "id": Uuid::from_u128(i.into()).simple(), "order": i % 4,
                "timestamp": format!("2026-11-23T00:00:{i:02}.000000Z"),
                "command_id": command.map(|c| Uuid::from_u128(c.into()).simple())})
        };
        let entry = |i: u64| EventSummary::of(Seq(i), Seq(i + 1), record(i).to_string().as_bytes()).unwrap();
        (0..12).map(entry).collect()
    }

    fn ids(page: &Page) -> Vec<u128> {
        page.entries.iter().map(|entry| entry.id.as_u128()).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap_in_both_orders() {
        let log = log();
        for newest_first in [false, true] {
            let mut query = Query { newest_first, limit: 5, ..Query::default() };
            let mut seen = Vec::new();
            loop {
                let page = query.page(log.iter());
                assert!(!page.entries.is_empty());
                seen.extend(ids(&page));
                query.cursor = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            let mut all: Vec<u128> = (0..12).collect();
            if newest_first {
                all.reverse();
            }
            assert_eq!(seen, all);
        }
    }

    #[test]
    fn a_page_is_the_same_whether_the_events_are_at_hand_or_come_one_by_one() {
        let log = log();
        for newest_first in [false, true] {
            for cursor in (0..13).map(|id| Some(Uuid::from_u128(id))).chain([None]) {
                for (limit, command) in [(1, None), (3, None), (3, Some(4)), (20, Some(4))] {
                    let command = command.map(Uuid::from_u128);
                    let query = Query { newest_first, cursor, limit, command, ..Query::default() };
                    let mut gathering = Gathering::new(&query);
                    let _ = log.iter().any(|entry| gathering.take(entry));
                    let kept = gathering.all.len() + gathering.from_cursor.as_ref().map_or(0, VecDeque::len);
                    assert!(kept <= 2 * (limit + 1), "{kept}");
                    assert_eq!(gathering.page(), query.page(log.iter()), "{query:?}");
                }
            }
        }
    }

    #[test]
    fn a_command_filter_takes_outputs_and_an_order_filter_keeps_commands() {
        let log = log();
        let query =
            Query { command: Some(Uuid::from_u128(4)), order_above: Some(1), limit: 9, ..Query::default() };
        assert_eq!(ids(&query.page(log.iter())), [6, 7]);
        let query = Query { order_above: Some(2), limit: 9, ..Query::default() };
        assert_eq!(ids(&query.page(log.iter())), [0, 3, 4, 7, 8, 11]);
    }

    #[test]
    fn bounds_are_inclusive_below_and_exclusive_above() {
        let from = Some("2026-11-23T00:00:02.000000Z".to_owned());
        let until = Some("2026-11-23T00:00:04.000000Z".to_owned());
        let query = Query { from, until, limit: 9, ..Query::default() };
        assert_eq!(ids(&query.page(log().iter())), [2, 3]);
    }

    #[test]
    fn an_unknown_cursor_starts_over() {
        let query = Query { cursor: Some(Uuid::from_u128(99)), limit: 1, ..Query::default() };
        assert_eq!(ids(&query.page(log().iter())), [0]);
    }

    #[test]
    fn older_entries_are_asked_for_only_where_they_can_matter() {
        let log = log();
        let (newest, begin) = (&log[4..], Seq(4));
        let needs = |query: Query| query.needs_older(newest.iter(), begin);
        let of = |command| Query { command: Some(Uuid::from_u128(command)), limit: 2, ..Query::default() };
        assert!(!needs(of(4)) && needs(of(0)));
        assert!(needs(Query { limit: 2, ..Query::default() }));
        assert!(!needs(Query { limit: 2, newest_first: true, ..Query::default() }));
        assert!(needs(Query { limit: 8, newest_first: true, ..Query::default() }));
        assert!(!needs(Query { limit: 8, cursor: Some(Uuid::from_u128(5)), ..Query::default() }));
        assert!(!Query::default().needs_older(log.iter(), Seq::ZERO));
    }
}
