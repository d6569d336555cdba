//! JSON-RPC 2.0 with programs that strangers have chosen: servers of the Model Context Protocol, agents behind the Agent
//! Client Protocol.
//!
//! One side asks, and waits for the answer; what the other side asks meanwhile is answered as far as that costs nothing, and
//! what it merely tells is passed over. A [`Peer`] is asked one question at a time, over a [`Wire`]: the standard input and
//! output of a program ([`Lines`]), or HTTP where that is spoken. [`open`] asks a program many questions at once, for as long
//! as it lives.
//!
//! Nobody on the other side is trusted. A wire takes a bounded number of bytes, and waits are bounded by whoever asks: to give
//! up is to drop the call, after which the connection is of no more use.

mod duplex;
mod lines;
mod message;
mod peer;

pub use duplex::{Handle, open};
pub use lines::Lines;
pub use peer::Peer;

use serde_json::Value;

/// A way for messages in both directions.
pub trait Wire: Send {
    type Error: From<Broken> + Send;

    fn send(&mut self, message: &Value) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The next message of the other side: an object.
    fn next(&mut self) -> impl Future<Output = Result<Value, Self::Error>> + Send;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the connection ended")]
    Ended,
    /// More than is taken.
    #[error("the other side sent too much")]
    TooLarge,
    /// The other side's own words, shortened; `data` is what it has to say beyond its message.
    #[error("refused: {message}")]
    Refused { code: i64, message: String, data: String },
}
