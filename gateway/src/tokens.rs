//! Tokens this server signs for itself, each kind with a type and a key of its own: what was made for one
//! purpose is good for no other, and none of them is a bearer token.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Signs and opens the tokens of one purpose.
pub struct Signer {
    typ: String,
    current: EncodingKey,
    /// The current key and those before it.
    accepted: Vec<DecodingKey>,
}

impl Signer {
    /// Signs with a key derived from `current`; accepts also what was signed under one of `previous`.
    #[must_use]
    pub fn new(purpose: &str, current: &SecretString, previous: &[SecretString]) -> Self {
        let derived = |secret| key(purpose, secret);
        Self {
            typ: format!("manyhands-{purpose}+jwt"),
            current: EncodingKey::from_secret(&derived(current)),
            accepted: std::iter::once(current)
                .chain(previous)
                .map(|secret| DecodingKey::from_secret(&derived(secret)))
                .collect(),
        }
    }

    /// `claims` have to have an `exp`.
    ///
    /// # Errors
    /// When `claims` cannot be written as JSON.
    pub fn sign(&self, claims: &impl Serialize) -> jsonwebtoken::errors::Result<String> {
        let header = Header { typ: Some(self.typ.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &self.current)
    }

    /// The claims of a token of this purpose that has not expired.
    #[must_use]
    pub fn open<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let validation = Validation::new(Algorithm::HS256);
        let mut opened =
            self.accepted.iter().filter_map(|key| jsonwebtoken::decode::<T>(token, key, &validation).ok());
        opened.next().filter(|token| token.header.typ.as_ref() == Some(&self.typ)).map(|token| token.claims)
    }
}

/// Says of bytes that they were made here and for one purpose: shorter than a token, and without an end.
pub struct Stamps {
    current: [u8; 32],
    /// The current key and those before it.
    accepted: Vec<[u8; 32]>,
}

/// Bytes of a stamp.
pub const STAMP: usize = 8;

impl Stamps {
    /// Accepts also what was stamped under one of `previous`.
    #[must_use]
    pub fn new(purpose: &str, current: &SecretString, previous: &[SecretString]) -> Self {
        let accepted = std::iter::once(current).chain(previous).map(|secret| key(purpose, secret)).collect();
        Self { current: key(purpose, current), accepted }
    }

    #[must_use]
    pub fn of(&self, parts: &[&[u8]]) -> [u8; STAMP] {
        stamp(&self.current, parts)
    }

    #[must_use]
    pub fn is_of(&self, given: &[u8], parts: &[&[u8]]) -> bool {
        self.accepted.iter().any(|key| bool::from(stamp(key, parts).as_slice().ct_eq(given)))
    }
}

/// Hashed twice, so that nothing can be added to what was stamped.
fn stamp(key: &[u8; 32], parts: &[&[u8]]) -> [u8; STAMP] {
    let mut inner = Sha256::new();
    inner.update(key);
    for part in parts {
        inner.update((part.len() as u64).to_le_bytes());
        inner.update(part);
    }
    let outer = Sha256::new().chain_update(key).chain_update(inner.finalize()).finalize();
    std::array::from_fn(|at| outer.get(at).copied().unwrap_or_default())
}

fn key(purpose: &str, secret: &SecretString) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(format!("manyhands {purpose}\0"));
    digest.update(secret.expose_secret().as_bytes());
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_unexpired_tokens_of_the_purpose_open() {
        let signer = |purpose, secret: &str| Signer::new(purpose, &secret.into(), &[]);
        let (ours, ticket) = (signer("page", "one"), signer("ticket", "one"));
        let claims = json!({"exp": u32::MAX, "tenant": "a"});
        let token = ours.sign(&claims).unwrap();
        assert_eq!(ours.open::<Value>(&token), Some(claims));
        assert_eq!(ticket.open::<Value>(&token), None);
        assert_eq!(signer("page", "two").open::<Value>(&token), None);
        let expired = ours.sign(&json!({"exp": 1})).unwrap();
        assert_eq!(ours.open::<Value>(&expired), None);
        assert_eq!(ours.open::<Value>(&ours.sign(&json!({})).unwrap()), None);
    }

    #[test]
    fn a_stamp_is_good_for_its_bytes_its_purpose_and_its_secrets() {
        let stamps =
            |purpose, secret: &str, previous: &[SecretString]| Stamps::new(purpose, &secret.into(), previous);
        let ours = stamps("cursor", "one", &[]);
        let stamp = ours.of(&[b"ab", b"c"]);
        assert!(ours.is_of(&stamp, &[b"ab", b"c"]));
        assert!(!ours.is_of(&stamp, &[b"a", b"bc"]) && !ours.is_of(&stamp[1..], &[b"ab", b"c"]));
        assert!(!stamps("other", "one", &[]).is_of(&stamp, &[b"ab", b"c"]));
        assert!(!stamps("cursor", "two", &[]).is_of(&stamp, &[b"ab", b"c"]));
        assert!(stamps("cursor", "two", &["one".into()]).is_of(&stamp, &[b"ab", b"c"]));
    }

    #[test]
    fn another_type_under_the_right_key_does_not_open() {
        let signer = Signer::new("page", &"one".into(), &[]);
        let token = jsonwebtoken::encode(&Header::default(), &json!({"exp": u32::MAX}), &signer.current);
        assert_eq!(signer.open::<Value>(&token.unwrap()), None);
    }

    #[test]
    fn a_previous_secret_still_opens_and_an_unknown_one_does_not() {
        let old = Signer::new("page", &"old".into(), &[]).sign(&json!({"exp": u32::MAX})).unwrap();
        let opens = |previous: &[SecretString]| {
            Signer::new("page", &"new".into(), previous).open::<Value>(&old).is_some()
        };
        assert!(opens(&["older".into(), "old".into()]) && !opens(&["older".into()]) && !opens(&[]));
    }
}
