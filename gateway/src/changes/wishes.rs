//! What a client wants to be told, as its request says it.

use http::{HeaderMap, Uri};

use crate::error::Problem;
use crate::extract::{query_values, truth};

const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Where it left off. Whether that can be read is found out later: what cannot be is no fault of the request.
    pub(super) cursor: Option<String>,
    pub(super) events: bool,
    /// Of events; empty: all.
    pub(super) kinds: Vec<String>,
}

impl Wishes {
    /// `cursor`, `events` and any number of `kind` in the query; a browser that connects again names the cursor in a header.
    ///
    /// # Errors
    /// When `events` is neither true nor false.
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, Box<Problem>> {
        let given = |name: &str| query_values(uri, name).pop().filter(|text| !text.is_empty());
        let newer = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
        let events = match given("events") {
            Some(text) => truth(&text).ok_or_else(|| Box::new(not_a_truth()))?,
            None => false,
        };
        let cursor = newer.map(str::to_owned).or_else(|| given("cursor"));
        Ok(Self { cursor, events, kinds: query_values(uri, "kind") })
    }

    pub(super) fn wants(&self, event: &str) -> bool {
        self.kinds.is_empty()
            || types::event::Head::of(event)
                .is_ok_and(|head| self.kinds.iter().any(|kind| *kind == head.kind))
    }
}

fn not_a_truth() -> Problem {
    Problem::new(
        "bool_parsing",
        &["query", "events"],
        "Input should be a valid boolean, unable to interpret input",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_browser_that_comes_back_goes_on_where_it_was_and_not_where_its_address_says() {
        let uri = Uri::from_static("/s?cursor=old&events=yes&kind=A&kind=B");
        let headers =
            HeaderMap::from_iter([(LAST_EVENT_ID.parse().unwrap(), HeaderValue::from_static("new"))]);
        let wishes = |cursor: &str| Wishes {
            cursor: Some(cursor.to_owned()),
            events: true,
            kinds: vec!["A".to_owned(), "B".to_owned()],
        };
        assert_eq!(Wishes::of(&uri, &HeaderMap::new()), Ok(wishes("old")));
        assert_eq!(Wishes::of(&uri, &headers), Ok(wishes("new")));
        assert_eq!(Wishes::of(&Uri::from_static("/s?cursor="), &HeaderMap::new()), Ok(Wishes::default()));
        let refused = Wishes::of(&Uri::from_static("/s?events=perhaps"), &HeaderMap::new()).unwrap_err();
        assert_eq!(refused.loc, ["query", "events"]);
    }

    #[test]
    fn only_events_of_the_kinds_asked_for_are_wanted() {
        let event = r#"{"kind":"A","id":"1","timestamp":"t"}"#;
        let wishes = |kinds: &[&str]| Wishes {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            ..Wishes::default()
        };
        assert!(wishes(&[]).wants(event) && wishes(&["B", "A"]).wants(event));
        assert!(!wishes(&["B"]).wants(event) && !wishes(&["A"]).wants("{}"));
    }
}
