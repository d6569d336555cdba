//! The keys and tokens with which the parts of a cluster sign in to NATS, which runs in operator mode: the
//! server holds public keys alone, and whoever holds a signing key lets others in without asking it.
//!
//! [`Keys`] are made once by `manyhands init`. The supervisor is given the [`Minter`], a key that can make
//! workers and nothing else: what a worker may do stands in the account, under that key, not in the token.
//! Nothing here talks to a server.

mod claims;
mod error;
mod files;
pub mod folder;
mod keys;
mod minter;
mod permissions;
mod revocation;
mod revoke;
mod rights;
mod server;

pub use error::{Error, Result};
pub use files::load;
pub use keys::Keys;
pub use minter::Minter;
pub use permissions::{Permissions, Role};
pub use revocation::{Leaked, Part, Revoked, UPDATE_SUBJECT, accepted};
pub use revoke::{Revocation, Who, revoke};
pub use server::server_config;
