//! What the strictest provider of each dialect refuses in a request, for tests: whatever passes here is taken everywhere.
//!
//! A model's history grows by what models say, and one request that is refused is refused for ever after. So all that asks a
//! model in a test is looked at: by the scripted model, by the simulator, and by drawn histories. Each rule is one that some
//! provider has; which one, its comment says. [`check`] looks at one request, [`Seen`] at those of one conversation together.

mod anthropic;
mod calls;
mod chat;
mod images;
mod look;
mod responses;
mod seen;

use serde_json::Value;

pub use seen::Seen;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /v1/chat/completions`, of OpenAI and of all that speak like it.
    Chat,
    /// `POST /v1/responses` of OpenAI.
    Responses,
    /// `POST /v1/messages` of Anthropic.
    Anthropic,
}

/// Whether every provider of the dialect takes that body.
///
/// # Errors
/// A sentence that says where the first fault is, as a provider would.
pub fn check(dialect: Dialect, body: &Value) -> Result<(), String> {
    match dialect {
        Dialect::Chat => chat::check(body),
        Dialect::Responses => responses::check(body),
        Dialect::Anthropic => anthropic::check(body),
    }
}
