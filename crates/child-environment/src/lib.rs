//! The environment of every program that this process starts for others: shells of agents, commands of the
//! API, git.
//!
//! There is one rule, and it is an allow list. A variable passes when its name is one that ordinary work needs
//! (`names`: search path, locale, proxies, certificates, homes of tool chains) or one that the operator named
//! in `OH_PASS_ENV_0`, `_1` and so on, exactly or by a pattern with one `*`. Two things stand above the list:
//!
//! - What configures this server (`OH_…` and its relatives) never passes.
//! - What looks like a secret, by its name or because its value is a URL with a user in it (`secret`; of a proxy
//!   or a package index, because it has an `@`), passes
//!   only when it is named exactly. So a pattern cannot hand out a password by accident, and neither can a proxy
//!   or a package index that is usually harmless.
//!
//! The choice is made once, at the start of the process, by whoever read the settings; the process keeps the
//! resulting list and nothing that starts a program reads the environment itself. Without a choice, as in
//! tests, the rule without names of the operator applies to the environment that the process has.
//!
//! What this cannot do: a program of the same user as the server may read whatever that user may read, so the
//! server also keeps its secrets out of `/proc/<pid>/environ` and forbids others to look into its memory. The
//! administrator of the machine (root with the right to trace) can read the memory of any process.

mod names;
mod rule;
mod secret;

use std::ffi::OsString;
use std::sync::OnceLock;

pub use names::is_variable;
pub use rule::{Rule, Unusable, Verdict};

pub type Variable = (OsString, OsString);

/// What was chosen for the programs of this process.
#[derive(Debug, Default)]
pub struct Chosen {
    pub passing: Vec<Variable>,
    /// The names of those that would pass if they did not look like secrets.
    pub withheld: Vec<String>,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// Chooses what the programs of this process inherit: those of `own` that pass the `rule`.
///
/// Only the first choice counts: what programs get must not change while they run.
pub fn choose(rule: &Rule, own: impl IntoIterator<Item = Variable>) -> &'static Chosen {
    CHOSEN.get_or_init(|| rule.apply(own))
}

/// What a new program inherits.
pub fn inherited() -> impl Iterator<Item = Variable> {
    chosen().passing.iter().cloned()
}

/// What was chosen, or would be without names of the operator.
pub fn chosen() -> &'static Chosen {
    CHOSEN.get_or_init(|| Rule::default().apply(std::env::vars_os()))
}
