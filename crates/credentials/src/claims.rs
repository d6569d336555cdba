//! JSON web tokens as NATS has them: signed with Ed25519 by a key whose name stands in the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Result;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// `Body` is what NATS keeps under its own name: an operator, an account, or a user.
#[derive(Serialize)]
pub struct Claims<Body> {
    /// The server takes an account for unchanged while its token has the same id.
    jti: String,
    /// Unix seconds.
    pub iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    iss: String,
    sub: String,
    name: String,
    nats: Body,
}

impl<Body: Serialize> Claims<Body> {
    /// About the holder of `subject`, valid without end.
    pub fn new(subject: &KeyPair, name: impl Into<String>, iat: u64, nats: Body) -> Self {
        let (jti, iss) = (String::new(), String::new());
        Self { jti, iat, exp: None, iss, sub: subject.public_key(), name: name.into(), nats }
    }

    /// The token. The same claims and key give the same token.
    pub fn sign(mut self, issuer: &KeyPair) -> Result<String> {
        self.iss = issuer.public_key();
        self.jti = URL_SAFE_NO_PAD.encode(Sha256::digest(json(&self)));
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(json(&self)));
        let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }
}

/// What a token says of itself.
#[derive(Deserialize)]
pub struct About {
    /// The public key of its holder.
    pub sub: String,
    /// The public key that signed it.
    pub iss: String,
    /// Unix seconds.
    pub iat: u64,
    pub nats: Kind,
}

#[derive(Deserialize)]
pub struct Kind {
    pub r#type: String,
    /// The account, where another key signed for it.
    pub issuer_account: Option<String>,
}

/// Looks at no signature.
pub fn about(token: &str) -> Option<About> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn json(claims: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(claims).unwrap_or_default()
}
