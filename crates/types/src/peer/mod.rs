//! The files in which the peer keeps a conversation: `meta.json`, with what was asked for, and `base_state.json`, with what it
//! is now. Events lie beside them, one a file, and are the same here and there.
//!
//! [`read()`] makes of both a record and a [`Brought`](crate::brought::Brought), the last record of the log; [`write()`] makes them
//! again, of a conversation that may have gone on here. Fields that mean nothing here are kept as they were written and go
//! out again in the same file. Secrets pass through as they are: who calls opens and seals them.

mod fields;
mod lineage;
mod read;
mod write;

pub use fields::{compact, event_file, event_of_file};
pub use lineage::Lineage;
pub use read::{Moved, Unreadable, created_at, read};
pub use write::{Files, Written, write};
