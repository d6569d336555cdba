//! What can be counted of the calls that are served, for whoever keeps the counts.

use std::sync::Arc;

/// What happened to a call; `Begun` is followed by one `Ended`, whatever else happens in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Begun,
    Ended,
    /// Refused: too much is under way.
    Busy,
    /// Calls were dropped before they could be refused; how many is not known.
    Lagged,
    /// Not begun: its caller had given up.
    Late,
    /// The handler has panicked.
    Panicked,
    /// The answer could not be sent.
    Unanswered,
}

/// Told of each event with the name of the service. It must not wait.
pub type Watch = Arc<dyn Fn(&'static str, Event) + Send + Sync>;

/// Counts nothing.
#[must_use]
pub fn unwatched() -> Watch {
    Arc::new(|_, _| {})
}
