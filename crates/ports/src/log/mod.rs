//! What is built on [`EventLog`](crate::EventLog), once for all logs.

mod writer;

pub use writer::{Batch, LogWriter, Loss, Trouble};
