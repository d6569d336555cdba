//! Why something that a client asked for was not done, in the client's terms. The gateway makes answers of it, in one place.

use forms::Trouble;
use ports::rpc::{Code, Fault};
use serde_json::Value;

/// Why it was not done.
#[derive(Debug)]
pub enum Refusal {
    /// It is not there.
    Missing(String),
    /// What is there is in its way.
    Taken(String),
    Bad(String),
    /// It was understood, and cannot be.
    Unfit(String),
    /// The same, each thing with its place below `root`.
    Troubles {
        root: &'static [&'static str],
        list: Vec<Trouble>,
    },
    /// With more than a text, for programs to read.
    Coded {
        code: Code,
        detail: Value,
    },
    /// What is stored was sealed with a key that this server does not have.
    WrongKey,
    /// What is stored cannot be read: nothing is done to it.
    Damaged,
    /// It is more than is kept; the sentence says how much that would be.
    TooLarge(&'static str),
    /// A store, a worker, a defect.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ports::Error> for Refusal {
    fn from(error: ports::Error) -> Self {
        Self::Fault(error.into())
    }
}
