//! What the stores say, kept ready for readers: the list of conversations and the state of each (`index`), their
//! events (`history`), and the events of commands that were run over the API (`bashlog`). What follows a log does so by
//! `followed`; what must not end while the server runs is `vital`.
//!
//! It follows the logs and buckets of [`ports`] and knows no HTTP.

pub mod bashlog;
pub mod followed;
pub mod history;
pub mod index;
pub mod vital;
