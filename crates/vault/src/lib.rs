//! Secrets at rest and at the door: values sealed under a key that is derived from the operator's secret
//! text, the key file of a machine without such a text, and the session API keys.
//!
//! It keeps nothing and logs nothing; where sealed text is stored is the caller's concern.

mod fernet;
mod keys;
mod machine_key;
mod sealing;

pub use keys::Keys;
pub use machine_key::machine_key;
pub use sealing::{PEERS_TENANT, Vault};

/// Why sealed text could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No known key opens it: it was sealed under another one, for another context, or it was altered.
    #[error("sealed with another key, or altered")]
    WrongKey,
    #[error("not sealed text")]
    Malformed,
}
