//! Tokens this server signs for itself, each kind with a type and a key of its own: what was made for one
//! purpose is good for no other, and none of them is a bearer token.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

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
