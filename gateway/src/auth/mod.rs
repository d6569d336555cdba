//! Who calls, and what they may do: session keys, bearer tokens, and the cookie of workspace pages; on HTTP
//! routes and on sockets.
//!
//! Session keys are the operator's: they stand for the tenant `default` with every right. A bearer token names
//! its tenant and its rights. Where a request has both, the key's header decides.

mod bearer;
mod caller;
mod cookies;
mod guard;
mod key_file;
mod sessions;
mod sockets;

use std::sync::Arc;

use http::HeaderMap;

use crate::config::Config;

pub use bearer::Bearer;
pub use caller::{Caller, Right};
pub use cookies::cookies;
pub use guard::{facade_guard, guard, workspace_guard};
pub use key_file::Error as KeyError;
use sessions::Sessions;
pub use sessions::{LIFETIME as COOKIE_LIFETIME, NAME as COOKIE_NAME};
pub use sockets::SocketCredentials;

const KEY_HEADER: &str = "x-session-api-key";

/// What a request says about who sends it.
enum Named {
    Nobody,
    /// By a key or token that is not accepted.
    Stranger,
    Known(Caller),
}

/// What callers are known by. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    keys: vault::Keys,
    bearer: Option<Arc<Bearer>>,
    sessions: Sessions,
}

impl Auth {
    /// # Errors
    /// When the keys of bearer tokens cannot be had.
    pub fn open(config: &Config) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Inner {
            keys: config.keys.clone(),
            bearer: config.site.bearer.as_ref().map(Bearer::open).transpose()?.map(Arc::new),
            sessions: Sessions::new(&config.secret_key, &config.site.previous_secret_keys),
        })))
    }

    /// Nobody is asked for credentials.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.keys.is_empty() && self.0.bearer.is_none()
    }

    #[must_use]
    pub fn bearer(&self) -> Option<&Arc<Bearer>> {
        self.0.bearer.as_ref()
    }

    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// By the headers alone. Everybody is known to a server that asks for no credentials.
    fn named_by(&self, headers: &HeaderMap) -> Named {
        if self.is_open() {
            return Named::Known(Caller::operator());
        }
        if let Some(key) = headers.get(KEY_HEADER) {
            return self.of_key(text(key));
        }
        let token = headers.get(http::header::AUTHORIZATION).and_then(|value| bearer_token(text(value)));
        match (&self.0.bearer, token) {
            (Some(bearer), Some(token)) => bearer.caller(token).map_or(Named::Stranger, Named::Known),
            _ => Named::Nobody,
        }
    }

    /// As [`Auth::named_by`], and also by a session key where a token is expected: the only place that clients of another API
    /// have for one.
    fn named_as_elsewhere(&self, headers: &HeaderMap) -> Named {
        match self.named_by(headers) {
            Named::Known(caller) => Named::Known(caller),
            other => {
                match headers.get(http::header::AUTHORIZATION).and_then(|value| bearer_token(text(value))) {
                    Some(key) if self.0.keys.accepts(key) => Named::Known(Caller::operator()),
                    _ => other,
                }
            }
        }
    }

    fn of_key(&self, key: &str) -> Named {
        if self.0.keys.accepts(key) { Named::Known(Caller::operator()) } else { Named::Stranger }
    }
}

/// Keys are texts, also with letters that are not ASCII; a header in another encoding names none.
fn text(value: &http::HeaderValue) -> &str {
    str::from_utf8(value.as_bytes()).unwrap_or_default()
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
