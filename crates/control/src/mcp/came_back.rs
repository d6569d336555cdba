//! What a browser has come back with from a provider.

use ::mcp::oauth::Pending;
use reqwest::Url;

use crate::Refusal;

pub(super) enum CameBack {
    Code(String),
    /// The user or the provider has refused, for a reason in one word.
    Refused(String),
}

impl CameBack {
    /// # Errors
    /// For a URL that is not that of this job, or not the answer to what was asked there: somebody else's, or a guess.
    pub fn read(url: &str, pending: Option<&Pending>) -> Result<Self, Refusal> {
        let invalid = || Refusal::Bad("Invalid OAuth callback URL".to_owned());
        let url = Url::parse(url).map_err(|_| invalid())?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "http" || !is_here {
            return Err(invalid());
        }
        let Some(pending) = pending else {
            return Err(Refusal::Taken("OAuth callback is not ready".to_owned()));
        };
        let expected = Url::parse(&pending.redirect).map_err(|_| invalid())?;
        let unexpected = || Refusal::Bad("Unexpected OAuth callback URL".to_owned());
        if url.port_or_known_default() != expected.port_or_known_default() || url.path() != expected.path() {
            return Err(unexpected());
        }
        let value =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let is_asked = value("state").as_deref() == Some(pending.state.as_str());
        if !is_asked || !pending.is_answer_of(value("iss").as_deref()) {
            return Err(unexpected());
        }
        match (value("error"), value("code").filter(|code| !code.is_empty())) {
            (Some(error), _) => Ok(Self::Refused(word(&error))),
            (None, Some(code)) => Ok(Self::Code(code)),
            (None, None) => Err(unexpected()),
        }
    }
}

/// What else stands there may be anything.
fn word(error: &str) -> String {
    let is_word = error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { error.to_owned() } else { "error".to_owned() }
}
