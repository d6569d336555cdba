//! The events of commands that were run over the API, read from their logs.

mod again;
mod body;
mod listener;
mod query;
mod summary;
mod tail;
mod tails;
mod window;

pub use again::unless_cleared;
pub use body::{PageText, list_of, records_of, text_of};
pub use listener::Listener;
pub use query::{Page, Query};
pub use summary::{EventSummary, Kind};
pub use tail::Tail;
pub use tails::Tails;
