//! The events of commands that were run over the API, read from their logs.

mod body;
mod entry;
mod query;
mod tail;
mod window;

pub use body::{PageText, records_of, text_of};
pub use entry::{Entry, Kind};
pub use query::{Page, Query};
pub use tail::{Tail, Tails};
