//! Just enough of NATS' operator mode to sign in with a token: keys, tokens and the server's configuration.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use types::placement::Credentials;

pub struct Operator {
    operator: KeyPair,
    account: KeyPair,
    /// JetStream asks for one of the system's own.
    system: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }
    }

    /// For the server: one account with JetStream.
    pub fn configuration(&self) -> String {
        let unlimited = -1;
        let operator =
            token(&self.operator, &self.operator.public_key(), json!({ "type": "operator" }), None);
        let limits = json!({
            "subs": unlimited, "data": unlimited, "payload": unlimited, "imports": unlimited,
            "exports": unlimited, "wildcards": true, "conn": unlimited, "leaf": unlimited,
            "mem_storage": unlimited, "disk_storage": unlimited, "streams": unlimited, "consumer": unlimited,
        });
        let account = json!({ "type": "account", "limits": limits });
        let system = json!({ "type": "account" });
        let preloaded = [(&self.account, account), (&self.system, system)].map(|(key, claims)| {
            let name = key.public_key();
            format!("{name}: {}", token(&self.operator, &name, claims, None))
        });
        format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {} }}",
            self.system.public_key(),
            preloaded.join("\n"),
        )
    }

    /// For a client that may do what `permissions` say, and until `expires`, in Unix seconds.
    pub fn user(&self, inbox_prefix: &str, permissions: Value, expires: Option<u64>) -> Credentials {
        let key = KeyPair::new_user();
        let mut claims = json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 });
        claims.as_object_mut().unwrap().extend(permissions.as_object().unwrap().clone());
        let jwt = token(&self.account, &key.public_key(), claims, expires);
        Credentials { jwt, seed: key.seed().unwrap(), inbox_prefix: inbox_prefix.to_owned() }
    }
}

pub fn seconds_from_now(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds
}

fn token(issuer: &KeyPair, subject: &str, mut nats: Value, expires: Option<u64>) -> String {
    nats["version"] = 2.into();
    let mut claims = json!({
        "jti": subject, "iat": seconds_from_now(0), "iss": issuer.public_key(), "sub": subject, "nats": nats,
    });
    if let Some(expires) = expires {
        claims["exp"] = expires.into();
    }
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}
