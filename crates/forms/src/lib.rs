//! What clients fill in: settings, models, profiles, MCP servers. They are kept as JSON, and checked and completed by a
//! form, which is the peer's own schema of them.
//!
//! ```text
//!   schema (a file) ── Form::read ──▶ rules, once
//!   what a client sent ── Form::fill ──▶ complete: defaults put in, types made right, unknown fields dealt with
//!                                └─────▶ or every trouble with it, by kind and place, and never by value
//!   a complete value ── Form::map_secrets ──▶ each of its secrets, sealed, masked or opened by whoever asks
//! ```
//!
//! So nobody writes a struct of sixty fields that has to follow the peer's, and where the secrets are is written in one
//! place. A schema has the few words of JSON Schema that `read` knows, and four more: `writeOnly` says that a text is a
//! secret, `hidden` that a field is read and not kept, `always` what a field is whatever was sent, and `discriminator`
//! names the field that says which of several kinds an object is. What a form cannot say, a rule between fields, is a
//! function beside its user.
//!
//! Types are as forgiving as those of the peer: `"7"` and `7.0` are whole numbers, `"on"` is true. The kinds and the words
//! of troubles are the peer's too, for its clients show them.
//!
//! It knows nothing of where values are kept, of how secrets are sealed, and of HTTP.

mod fill;
mod known;
mod number;
mod read;
mod rule;
mod secrets;
#[cfg(test)]
mod tests;
mod text;
mod trouble;
mod union;

use serde_json::Value;

pub use known::{
    Text, acp_profile, acp_settings, canvas_manifest, conversation_settings, hook_config, llm, mcp_server,
    mcp_server_patch, meta_profile, openhands_profile, openhands_settings,
};
use rule::Rule;
pub use trouble::{Step, Trouble};

/// Why a schema is no form.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Broken {
    place: String,
    what: String,
}

/// A schema, made ready.
pub struct Form {
    /// They name each other by their places here.
    rules: Vec<Rule>,
    root: usize,
}

impl Form {
    /// # Errors
    /// A word that is not known, a reference that leads nowhere, a pattern that cannot be.
    pub fn read(schema: &str) -> Result<Self, Broken> {
        read::read(schema)
    }

    /// Completes what was given, or says what is wrong with it.
    ///
    /// # Errors
    /// At least one, and the first hundred.
    pub fn fill(&self, given: Value) -> Result<Value, Vec<Trouble>> {
        let mut troubles = Vec::new();
        let filled = self.fill_by(self.root, given, &mut Vec::new(), &mut troubles);
        troubles.truncate(fill::MOST_TROUBLES);
        if troubles.is_empty() { Ok(filled) } else { Err(troubles) }
    }

    /// What there is where nothing was given.
    ///
    /// # Errors
    /// Where something has to be given.
    pub fn default_value(&self) -> Result<Value, Vec<Trouble>> {
        self.fill(Value::Object(serde_json::Map::new()))
    }

    /// Calls `change` with the place and the text of every secret that is set, and puts its answer there. Also of what is
    /// not complete: a change of a value, or one that was never checked.
    pub fn map_secrets(&self, value: &mut Value, change: &mut dyn FnMut(&[Step], &str) -> Value) {
        self.map_secrets_by(&[self.root], value, &mut Vec::new(), change);
    }

    fn rule(&self, at: usize) -> &Rule {
        self.rules.get(at).unwrap_or(&Rule::Any)
    }
}
