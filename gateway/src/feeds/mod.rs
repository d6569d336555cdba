//! What the sockets of a conversation are fed with: one task a conversation, and a bounded queue a socket.

mod closing;
mod frames;
mod hub;
mod outbox;
mod tail;

pub use frames::{Protocol, text_of};
pub use hub::{Hub, Seat};
pub use outbox::{Ending, Item, Outbox};
