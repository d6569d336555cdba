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
use crate::error::ApiResult;
use crate::rates::Rates;
use crate::tokens::Stamps;

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

impl Named {
    fn caller(self) -> Option<Caller> {
        match self {
            Self::Known(caller) => Some(caller),
            Self::Nobody | Self::Stranger => None,
        }
    }
}

/// What callers are known by. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    keys: vault::Keys,
    bearer: Option<Arc<Bearer>>,
    sessions: Sessions,
    rates: Rates,
    /// Alike on all gateways and after a restart: a cookie of one is shown to the others.
    marks: Stamps,
}

impl Auth {
    /// # Errors
    /// When the keys of bearer tokens cannot be had.
    pub fn open(config: &Config) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Inner {
            keys: config.keys.clone(),
            bearer: config.site.bearer.as_ref().map(Bearer::open).transpose()?.map(Arc::new),
            sessions: Sessions::new(&config.secret_key, &config.site.previous_secret_keys),
            rates: Rates::new(&config.limits.rates),
            marks: Stamps::new("caller", &config.secret_key, &[]),
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

    /// How often may be called.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// # Errors
    /// 429 where the caller has called too often.
    pub fn admit(&self, caller: &Caller) -> ApiResult<()> {
        self.0.rates.admit_caller(caller.key, &caller.tenant)
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
        match token {
            Some(token) if self.0.bearer.is_some() => self.of_token(token),
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
                    Some(key) if self.0.keys.accepts(key) => self.of_key(key),
                    _ => other,
                }
            }
        }
    }

    fn of_key(&self, key: &str) -> Named {
        match self.0.keys.accepts(key) {
            true => self.known(Caller::operator(), key),
            false => Named::Stranger,
        }
    }

    fn of_token(&self, token: &str) -> Named {
        match self.0.bearer.as_ref().and_then(|bearer| bearer.caller(token)) {
            Some(caller) => self.known(caller, token),
            None => Named::Stranger,
        }
    }

    fn known(&self, caller: Caller, by: &str) -> Named {
        Named::Known(Caller { key: Some(u64::from_le_bytes(self.0.marks.of(&[by.as_bytes()]))), ..caller })
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
