//! The public keys of bearer tokens, in a file that may change while the server runs.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{KeyPlace, Signature};

/// Between two looks at the file.
const INTERVAL: Duration = Duration::from_secs(1);

/// What precedes the 32 bytes of an Ed25519 key in its DER form.
const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The algorithm identifier of RSA keys in their DER form, and where it ends at the latest.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_WITHIN: usize = 24;

/// Why the keys of bearer tokens cannot be had. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the key file {0} cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    #[error("the key file {0} holds no key of the configured algorithm")]
    NoKey(String),
}

/// The keys a token may be signed with.
pub enum Keys {
    /// Any of them.
    Any(Vec<DecodingKey>),
    /// The one it names.
    Named(HashMap<String, DecodingKey>),
}

impl Keys {
    /// Those that count for a token that names `kid`.
    pub fn for_token(&self, kid: Option<&str>) -> &[DecodingKey] {
        match self {
            Self::Any(keys) => keys,
            Self::Named(keys) => {
                kid.and_then(|kid| keys.get(kid)).map(std::slice::from_ref).unwrap_or_default()
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Any(keys) => keys.is_empty(),
            Self::Named(keys) => keys.is_empty(),
        }
    }
}

pub struct KeyFile {
    pub signature: Signature,
    pub place: KeyPlace,
}

impl KeyFile {
    /// # Errors
    /// When the file cannot be read or holds no key of the algorithm.
    pub fn read(&self) -> Result<Keys, Error> {
        let text = std::fs::read(self.path()).map_err(|error| Error::Unreadable(self.name(), error))?;
        self.keys(&text)
    }

    /// Gives `take` the keys whenever the file has others.
    pub async fn follow(&self, take: impl Fn(Keys)) {
        let mut known = None;
        loop {
            let found = tokio::fs::read(self.path()).await.map_err(|error| error.kind());
            if known.as_ref() != Some(&found) {
                let text = found.as_ref().map_err(|&kind| Error::Unreadable(self.name(), kind.into()));
                match text.and_then(|text| self.keys(text)) {
                    Ok(keys) => take(keys),
                    Err(error) => tracing::warn!(%error, "the keys of bearer tokens stay as they were"),
                }
                known = Some(found);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn keys(&self, text: &[u8]) -> Result<Keys, Error> {
        let keys = match self.place {
            KeyPlace::Pem(_) => Keys::Any(pem_keys(text, self.signature)),
            KeyPlace::Jwks(_) => Keys::Named(named_keys(text, self.signature)),
        };
        if keys.is_empty() { Err(Error::NoKey(self.name())) } else { Ok(keys) }
    }

    fn path(&self) -> &Path {
        match &self.place {
            KeyPlace::Pem(path) | KeyPlace::Jwks(path) => path,
        }
    }

    fn name(&self) -> String {
        self.path().display().to_string()
    }
}

/// All `PUBLIC KEY` parts of the algorithm.
fn pem_keys(text: &[u8], signature: Signature) -> Vec<DecodingKey> {
    let parts = SubjectPublicKeyInfoDer::pem_slice_iter(text).filter_map(Result::ok);
    parts.filter_map(|der| of_der(&der, signature)).collect()
}

fn of_der(der: &[u8], signature: Signature) -> Option<DecodingKey> {
    match signature {
        Signature::EdDsa => der.strip_prefix(ED25519).map(DecodingKey::from_ed_der),
        Signature::Rs256 => {
            let head = der.get(..RSA_WITHIN)?;
            let is_rsa = head.windows(RSA.len()).any(|part| part == RSA);
            is_rsa.then(|| DecodingKey::from_rsa_der(der))
        }
    }
}

/// The keys of a JWK set by their `kid`; entries that cannot be used are passed over.
fn named_keys(text: &[u8], signature: Signature) -> HashMap<String, DecodingKey> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set = serde_json::from_slice::<Set>(text).map(|set| set.keys).unwrap_or_default();
    let keys = set.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    keys.filter(|key| signs(key, signature))
        .filter_map(|key| Some((key.common.key_id.clone()?, DecodingKey::from_jwk(&key).ok()?)))
        .collect()
}

fn signs(key: &Jwk, signature: Signature) -> bool {
    let (fits, algorithm) = match (&key.algorithm, signature) {
        (AlgorithmParameters::RSA(_), Signature::Rs256) => (true, KeyAlgorithm::RS256),
        (AlgorithmParameters::OctetKeyPair(pair), Signature::EdDsa) => {
            (pair.curve == EllipticCurve::Ed25519, KeyAlgorithm::EdDSA)
        }
        _ => return false,
    };
    fits && key.common.key_algorithm.as_ref().is_none_or(|named| *named == algorithm)
        && key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
}
