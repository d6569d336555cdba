//! What is built on [`EventLog`](crate::EventLog), once for all logs.

mod pages;
mod writer;

pub use pages::Pages;
pub use writer::{Batch, LogWriter, Loss, Trouble};
