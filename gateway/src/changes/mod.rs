//! One stream of all conversations of a tenant: which there are, what becomes of them and, for who asks for it, their events.
//!
//! ```text
//!   index ──which are not as they were──▶ News ─▶ Follower ─▶ outbox ─▶ socket, or server-sent events
//!   index, log ──what they are now─────────────────▲  │
//!                                                  Known: what the client has ──▶ cursor
//! ```
//!
//! *Nothing is queued but what is to be looked at.* A [`Follower`] is told which conversations have changed, looks at one after
//! another and sends what its client does not have: the conversation in brief, and the events after the last one that was sent,
//! from the log. A client that is slow finds several changes of a conversation as one, and all of its events. Records of some
//! conversations that run are read once for all streams (`tapes`).
//!
//! *A stream at rest costs nothing but its memory*: 50 bytes for each conversation, once for all streams of a tenant that began at
//! about the same time (`base`), and some 90 for each that has changed since it began. All of them hang on the one subscription
//! that the index has.
//!
//! *The cursor* says what a client has, so that any gateway can go on: there is no order of all records of all logs, on files
//! none at all, so it says it of each conversation. Of those that have changed last, and of those that run, it has the
//! positions; of all others together a sum over theirs, which no change of one leaves as it is. Who comes back with a
//! cursor whose sum is that of the conversations as they are now has missed nothing but what its positions tell, and what was
//! made since, which is found by leaving the youngest ones out of the sum. Otherwise more has changed than a cursor
//! can tell: the client is told so, and gets the list anew. Nothing of a cursor is kept here.
//!
//! *It is never believed against the store.* A conversation that is not here may not be here yet: that one is gone is said
//! when its record is, and as long as neither is so that is looked at again and again. A position beyond the end of a log, or a
//! revision beyond that of a stored record, says that the store was put back; the client begins anew.

mod base;
mod cursor;
mod follow;
mod frames;
mod known;
mod resume;
mod streams;
mod tapes;
mod wishes;

pub use follow::Follower;
pub use frames::Form;
pub use streams::Streams;
pub use wishes::Wishes;
