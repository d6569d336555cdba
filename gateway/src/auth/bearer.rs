//! Bearer tokens: whose they are, and whether they count.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::RwLock;
use secrecy::ExposeSecret;
use serde::Deserialize;
use types::TenantId;

use super::caller::{Caller, Rights};
use super::key_file::{Error, KeyFile, Keys};
use crate::config::{self, BearerKeys, Signature};

/// The types a token may say it has, beside none: what this server signs for itself has others.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Checks bearer tokens. The algorithm is the configured one, whatever a token says.
pub struct Bearer {
    keys: RwLock<Arc<Keys>>,
    file: Option<KeyFile>,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970.
    exp: f64,
    #[serde(default)]
    tenant: TenantId,
    #[serde(default)]
    scope: Rights,
}

impl Bearer {
    /// # Errors
    /// When the key file cannot be read or holds no key of the algorithm.
    pub fn open(config: &config::Bearer) -> Result<Self, Error> {
        let (algorithm, keys, file) = match &config.keys {
            BearerKeys::Secrets(secrets) => {
                let key = |secret: &secrecy::SecretString| {
                    DecodingKey::from_secret(secret.expose_secret().as_bytes())
                };
                (Algorithm::HS256, Keys::Any(secrets.iter().map(key).collect()), None)
            }
            BearerKeys::Public { signature, file } => {
                let file = KeyFile { signature: *signature, place: file.clone() };
                let keys = file.read()?;
                (algorithm(*signature), keys, Some(file))
            }
        };
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.validate_nbf = true;
        validation.leeway = config.leeway.as_secs();
        Ok(Self { keys: RwLock::new(Arc::new(keys)), file, validation })
    }

    /// Whose token it is; `None` for one that is no good, for whatever reason.
    #[must_use]
    pub fn caller(&self, token: &str) -> Option<Caller> {
        let header = decode_header(token).ok()?;
        let typ = header.typ.as_deref();
        let meant_for_us = typ.is_none_or(|typ| TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ)));
        // What a token calls critical must be understood, and nothing of the kind is known here.
        if !meant_for_us || header.crit.is_some() {
            return None;
        }
        let keys = self.keys();
        let mut claims = keys
            .for_token(header.kid.as_deref())
            .iter()
            .filter_map(|key| decode::<Claims>(token, key, &self.validation).ok());
        let Claims { exp, tenant, scope } = claims.next()?.claims;
        let leeway = Duration::from_secs(self.validation.leeway);
        let until =
            Duration::try_from_secs_f64(exp).ok().and_then(|exp| UNIX_EPOCH.checked_add(exp + leeway));
        Some(Caller { tenant, rights: scope, key: None, until: Some(until?) })
    }

    /// Takes over what changes in the key file; never ends where there is one. A file that is no good is passed
    /// over: the keys read before stay.
    pub async fn follow(self: Arc<Self>) {
        let Some(file) = &self.file else { return std::future::pending().await };
        file.follow(|keys| {
            *self.keys.write() = Arc::new(keys);
        })
        .await;
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().clone()
    }
}

fn algorithm(signature: Signature) -> Algorithm {
    match signature {
        Signature::EdDsa => Algorithm::EdDSA,
        Signature::Rs256 => Algorithm::RS256,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "a secret of an issuer that is long enough";

    fn bearer() -> Bearer {
        let config = config::Bearer {
            keys: BearerKeys::Secrets(vec![SECRET.into()]),
            issuer: "issuer".to_owned(),
            audience: "audience".to_owned(),
            leeway: Duration::ZERO,
        };
        Bearer::open(&config).unwrap()
    }

    fn token() -> String {
        let claims = json!({"exp": 4_000_000_000_u64, "iss": "issuer", "aud": "audience", "tenant": "a", "scope": "read"});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    proptest! {
        #[test]
        fn a_token_in_which_anything_was_changed_is_none(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let (bearer, token) = (bearer(), token());
            prop_assert!(bearer.caller(&token).is_some());
            let mut changed = token.clone().into_bytes();
            let at = at.index(changed.len());
            if cut {
                changed.truncate(at);
            } else {
                changed[at] = byte;
            }
            let changed = String::from_utf8_lossy(&changed).into_owned();
            prop_assert_eq!(bearer.caller(&changed).is_some(), changed == token, "{}", changed);
        }

        #[test]
        fn no_text_is_a_token(text in any::<String>(), parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,50}") {
            prop_assert!(bearer().caller(&text).is_none());
            prop_assert!(bearer().caller(&parts).is_none());
        }
    }
}
