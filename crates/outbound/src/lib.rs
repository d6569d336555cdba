//! Calls to addresses that somebody else has named: models, servers of secrets, sources of plugins, providers of logins.
//!
//! Whoever may name an address can have this process call what it reaches and they do not: the services of its own
//! network, and those of its cloud, which hand out the machine's credentials to whoever asks from the machine. So nobody
//! makes an HTTP client of their own; they ask [`Outbound`] for one, with the URL that is to be called.
//!
//! | where a URL leads | is called |
//! | --- | --- |
//! | link-local addresses, and those at which clouds describe a machine | never |
//! | the machine itself and its own network | where [`Private::Allowed`], or for a [`Host`] that the operator has named |
//! | everything else | yes |
//!
//! What a server names itself, and not its user, is a server's wish: it is private only where the server's own address is
//! ([`Outbound::named_by`]).
//!
//! An address in the URL is looked at at once; a name when it is connected to, each of its addresses, so that nobody can
//! answer the check with one and the connection with another. Clients follow no redirects: who wants to go on asks again,
//! with the URL that the answer names, and it is looked at like the first.
//!
//! Headers that others name are a hundred at most ([`add_headers`]), and are shown in no log.
//!
//! Where the environment names a proxy, the proxy resolves names: it has to keep to the same rule itself.

mod client;
#[cfg(test)]
mod fuzz;
mod headers;
mod hosts;
mod resolver;
mod rule;

pub use client::{Error, Outbound, cause_of_refusal};
pub use headers::{BadHeaders, MOST_HEADERS, add_headers};
pub use hosts::Host;
pub use rule::{Private, Refused};
