//! The tokens in the cookie with which a browser shows files of workspaces.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use types::TenantId;

use super::cookies::cookies;
use super::{Caller, Right};
use crate::rates::of_pages;
use crate::tokens::Signer;

pub const NAME: &str = "oh_workspace_session_key";
pub const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

#[derive(Serialize, Deserialize)]
struct Claims {
    /// Seconds since 1970.
    exp: u64,
    tenant: TenantId,
    /// [`Caller::key`] of whoever it was made for.
    #[serde(default)]
    key: Option<u64>,
}

/// Makes and reads the cookies.
pub struct Sessions {
    signer: Signer,
}

impl Sessions {
    /// Cookies made under a `previous` secret stay good; those of any other are not accepted.
    #[must_use]
    pub fn new(secret: &SecretString, previous: &[SecretString]) -> Self {
        Self { signer: Signer::new("workspace-session", secret, previous) }
    }

    /// A token, and how long it is good: not longer than the caller's own credential.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn mint(&self, caller: &Caller) -> jsonwebtoken::errors::Result<(String, Duration)> {
        let now = SystemTime::now();
        let left = caller.until.map(|until| until.duration_since(now).unwrap_or_default());
        let age = left.map_or(LIFETIME, |left| left.min(LIFETIME));
        let exp = now.duration_since(UNIX_EPOCH).unwrap_or_default() + age;
        let claims = Claims { exp: exp.as_secs(), tenant: caller.tenant.clone(), key: caller.key };
        Ok((self.signer.sign(&claims)?, age))
    }

    /// Whom a cookie of the request lets read.
    #[must_use]
    pub fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let claims = cookies(headers, NAME).find_map(|token| self.signer.open::<Claims>(token))?;
        let until = UNIX_EPOCH + Duration::from_secs(claims.exp);
        Some(Caller {
            tenant: claims.tenant,
            rights: [Right::Read].into_iter().collect(),
            key: claims.key.map(of_pages),
            until: Some(until),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;

    fn cookie(value: &str) -> HeaderMap {
        let line = format!("a=b; {NAME}={value}");
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn a_cookie_lets_its_tenant_read_and_nothing_else() {
        let sessions = Sessions::new(&"one".into(), &[]);
        let (token, age) = sessions.mint(&Caller { key: Some(u64::MAX), ..Caller::operator() }).unwrap();
        let caller = sessions.caller(&cookie(&token)).unwrap();
        assert_eq!(
            (caller.tenant.as_str(), caller.key, age),
            ("default", Some(of_pages(u64::MAX)), LIFETIME)
        );
        assert!(caller.may(Right::Read) && !caller.may(Right::Write) && !caller.may(Right::Admin));
        assert_eq!(sessions.caller(&cookie("")), None);
        assert_eq!(Sessions::new(&"two".into(), &[]).caller(&cookie(&token)), None);
    }

    #[test]
    fn a_cookie_ends_with_the_token_it_was_made_for() {
        let until = SystemTime::now() + Duration::from_secs(90);
        let caller = Caller { until: Some(until), ..Caller::operator() };
        let (_, age) = Sessions::new(&"one".into(), &[]).mint(&caller).unwrap();
        assert!(age <= Duration::from_secs(90) && age > Duration::from_secs(80));
    }
}
