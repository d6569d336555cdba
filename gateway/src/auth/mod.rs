//! Who calls, and what they may do: session keys, bearer tokens, and the cookie of workspace pages; on HTTP
//! routes and on sockets.
//!
//! Session keys are the operator's: they stand for the tenant `default` with every right. A bearer token names
//! its tenant and its rights. Where a request has both, the key's header decides.

mod bearer;
mod caller;
mod guard;
mod key_file;
mod sockets;

use http::HeaderMap;

use crate::App;

pub use bearer::Bearer;
pub use caller::{Caller, Right};
pub use guard::{guard, workspace_guard};
pub use key_file::Error as KeyError;
pub use sockets::SocketCredentials;

const KEY_HEADER: &str = "x-session-api-key";

/// What a request says about who sends it.
enum Named {
    Nobody,
    /// By a key or token that is not accepted.
    Stranger,
    Known(Caller),
}

/// By the headers alone. Everybody is known to a server that asks for no credentials.
fn named_by(app: &App, headers: &HeaderMap) -> Named {
    if app.config.is_open() {
        return Named::Known(Caller::operator());
    }
    if let Some(key) = headers.get(KEY_HEADER) {
        return of_key(app, text(key));
    }
    let token = headers.get(http::header::AUTHORIZATION).and_then(|value| bearer_token(text(value)));
    match (&app.bearer, token) {
        (Some(bearer), Some(token)) => bearer.caller(token).map_or(Named::Stranger, Named::Known),
        _ => Named::Nobody,
    }
}

fn of_key(app: &App, key: &str) -> Named {
    if app.config.keys.accepts(key) { Named::Known(Caller::operator()) } else { Named::Stranger }
}

/// Keys are texts, also with letters that are not ASCII; a header in another encoding names none.
fn text(value: &http::HeaderValue) -> &str {
    str::from_utf8(value.as_bytes()).unwrap_or_default()
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
