//! Seals and opens small texts.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, fernet};

const PREFIX: &str = "mhs1:";
const NONCE_BYTES: usize = 24;

/// The tenant whose tokens are those of the server this one replaces.
pub const PEERS_TENANT: &str = "default";

/// Seals and opens small texts with XChaCha20-Poly1305.
///
/// Seals with the current secret; opens with the current and the previous ones, so that a secret can be
/// changed while stored values are still sealed under the old one. Clients that carry secrets get them as Fernet
/// tokens ([`Vault::token`]), and sealed text never: it is for the store.
pub struct Vault {
    current: Opener,
    previous: Vec<Opener>,
}

struct Opener {
    cipher: XChaCha20Poly1305,
    secret: SecretString,
}

impl Vault {
    #[must_use]
    pub fn new(current: &SecretString, previous: &[SecretString]) -> Self {
        Self { current: Opener::new(current), previous: previous.iter().map(Opener::new).collect() }
    }

    /// `mhs1:` and base64url of nonce and ciphertext. `context` says what the value is and where it is kept;
    /// only the same context opens it again, so a sealed value cannot be moved to another place.
    #[must_use]
    pub fn seal(&self, plain: &str, context: &str) -> String {
        let nonce = XNonce::generate();
        let payload = Payload { msg: plain.as_bytes(), aad: context.as_bytes() };
        #[expect(clippy::expect_used, reason = "fails only for texts of more than 256 GiB")]
        let ciphertext = self.current.cipher.encrypt(&nonce, payload).expect("the text fits the cipher");
        format!("{PREFIX}{}", BASE64.encode([nonce.as_slice(), ciphertext.as_slice()].concat()))
    }

    /// # Errors
    /// `WrongKey` when neither the current nor a previous secret opens it under this context; `Malformed` when it is not
    /// sealed text at all.
    pub fn open(&self, sealed: &str, context: &str) -> Result<SecretString, Error> {
        self.opened(sealed, context).map(|(plain, _)| plain)
    }

    /// The same sealed anew, where only a previous secret opens it; `None` where the current one does.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn renewed(&self, sealed: &str, context: &str) -> Result<Option<String>, Error> {
        let (plain, is_current) = self.opened(sealed, context)?;
        Ok((!is_current).then(|| self.seal(plain.expose_secret(), context)))
    }

    fn opened(&self, sealed: &str, context: &str) -> Result<(SecretString, bool), Error> {
        let body = sealed.strip_prefix(PREFIX).ok_or(Error::Malformed)?;
        let bytes = BASE64.decode(body).map_err(|_| Error::Malformed)?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES).ok_or(Error::Malformed)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| Error::Malformed)?;
        let with = |opener: &Opener| {
            opener.cipher.decrypt(&nonce, Payload { msg: ciphertext, aad: context.as_bytes() }).ok()
        };
        if let Some(plain) = with(&self.current) {
            return Ok((text(plain)?, true));
        }
        let plain = self.previous.iter().find_map(with).ok_or(Error::WrongKey)?;
        Ok((text(plain)?, false))
    }

    /// What a client may carry and bring back: a Fernet token, which only the same tenant's [`Vault::open_token`] opens.
    #[must_use]
    pub fn token(&self, plain: &str, tenant: &str) -> String {
        fernet::make(plain.as_bytes(), &self.current.key_of(tenant))
    }

    /// Tokens of the tenant [`PEERS_TENANT`] are also those of the server this one replaces, made with the same secret text.
    ///
    /// # Errors
    /// `WrongKey` when neither the current nor a previous secret has made it for this tenant; `Malformed` when it is no
    /// token.
    pub fn open_token(&self, token: &str, tenant: &str) -> Result<SecretString, Error> {
        let token = fernet::Token::parse(token).ok_or(Error::Malformed)?;
        let openers = std::iter::once(&self.current).chain(&self.previous);
        let plain = openers.into_iter().find_map(|opener| token.open(&opener.key_of(tenant)));
        text(plain.ok_or(Error::WrongKey)?)
    }

    /// Whether `text` has the form of a token, by its first characters.
    #[must_use]
    pub fn is_token(text: &str) -> bool {
        fernet::looks_like_token(text)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Opener {
    fn new(secret: &SecretString) -> Self {
        let key = sealing_key(secret.expose_secret().as_bytes());
        Self { cipher: XChaCha20Poly1305::new((&*key).into()), secret: secret.clone() }
    }

    /// The peer has one tenant, and makes the key from the secret itself.
    fn key_of(&self, tenant: &str) -> fernet::Key {
        let secret = self.secret.expose_secret();
        if tenant == PEERS_TENANT {
            return fernet::Key::new(secret.as_bytes());
        }
        let own = mac(secret.as_bytes(), format!("tenant {tenant}").as_bytes());
        fernet::Key::new(hex(&*own).as_bytes())
    }
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// HKDF (RFC 5869) with one block of output: the same secret text never yields this key for another use.
fn sealing_key(secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let extracted = mac(b"manyhands vault", secret);
    mac(&*extracted, b"seal with xchacha20poly1305\x01")
}

fn mac(key: &[u8], message: &[u8]) -> Zeroizing<[u8; 32]> {
    #[expect(clippy::expect_used, reason = "an HMAC key may have any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn text(bytes: Vec<u8>) -> Result<SecretString, Error> {
    String::from_utf8(bytes).map(SecretString::from).map_err(|error| {
        error.into_bytes().zeroize();
        Error::Malformed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_context_only() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        let sealed = vault.seal("sk-ä-1", "settings/llm");
        assert!(!Vault::is_token(&sealed) && !sealed.contains("sk-"));
        assert_eq!(vault.open(&sealed, "settings/llm").unwrap().expose_secret(), "sk-ä-1");
        assert_eq!(vault.open(&sealed, "settings/other").unwrap_err(), Error::WrongKey);
    }

    #[test]
    fn sealing_twice_gives_different_text() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        assert_ne!(vault.seal("x", "c"), vault.seal("x", "c"));
    }

    #[test]
    fn a_previous_secret_still_opens_and_an_unknown_one_does_not() {
        let old = Vault::new(&secret("old"), &[]).seal("value", "c");
        let rotated = Vault::new(&secret("new"), &[secret("older"), secret("old")]);
        assert_eq!(rotated.open(&old, "c").unwrap().expose_secret(), "value");
        assert_eq!(Vault::new(&secret("new"), &[]).open(&old, "c").unwrap_err(), Error::WrongKey);
        let renewed = rotated.seal("value", "c");
        assert!(Vault::new(&secret("old"), &[]).open(&renewed, "c").is_err());
    }

    #[test]
    fn an_altered_byte_is_noticed() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        let sealed = vault.seal("value", "c");
        for at in PREFIX.len()..sealed.len() {
            let mut altered = sealed.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            assert!(vault.open(&String::from_utf8(altered).unwrap(), "c").is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_a_client_of_the_peer_carries_opens_and_only_for_the_tenant_that_stands_for_it() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        let token = fernet::TOKEN;
        assert!(Vault::is_token(token));
        assert_eq!(vault.open_token(token, PEERS_TENANT).unwrap().expose_secret(), "sk-from-the-peer-\u{e9}");
        assert_eq!(vault.open_token(token, "b").unwrap_err(), Error::WrongKey);
        let other = Vault::new(&secret("other"), &[]);
        assert_eq!(other.open_token(token, PEERS_TENANT).unwrap_err(), Error::WrongKey);
    }

    #[test]
    fn a_token_of_one_tenant_opens_for_no_other() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        let tenants = [PEERS_TENANT, "a", "b", "Default"];
        for maker in tenants {
            let token = vault.token("sk-ä-1", maker);
            for reader in tenants {
                let opened = vault.open_token(&token, reader).ok();
                let opened = opened.as_ref().map(|plain| plain.expose_secret());
                assert_eq!(opened, (maker == reader).then_some("sk-ä-1"), "{maker} for {reader}");
            }
        }
    }

    #[test]
    fn a_token_and_sealed_text_never_stand_for_each_other() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        assert_eq!(vault.open(&vault.token("v", "a"), "a").unwrap_err(), Error::Malformed);
        assert_eq!(vault.open_token(&vault.seal("v", "a"), "a").unwrap_err(), Error::Malformed);
    }

    #[test]
    fn a_token_of_before_the_secret_was_changed_still_opens() {
        let old = Vault::new(&secret("old"), &[]).token("value", "a");
        let changed = Vault::new(&secret("new"), &[secret("old")]);
        assert_eq!(changed.open_token(&old, "a").unwrap().expose_secret(), "value");
        assert!(Vault::new(&secret("old"), &[]).open_token(&changed.token("value", "a"), "a").is_err());
    }

    #[test]
    fn what_only_a_previous_secret_opens_is_sealed_anew_and_nothing_else() {
        let (old, new) = (Vault::new(&secret("old"), &[]), Vault::new(&secret("new"), &[]));
        let both = Vault::new(&secret("new"), &[secret("old")]);
        let renewed = both.renewed(&old.seal("value", "c"), "c").unwrap().unwrap();
        assert_eq!(new.open(&renewed, "c").unwrap().expose_secret(), "value");
        assert_eq!(both.renewed(&renewed, "c"), Ok(None));
        assert_eq!(both.renewed(&old.seal("value", "c"), "d"), Err(Error::WrongKey));
    }

    #[test]
    fn text_that_was_never_sealed_is_malformed() {
        let vault = Vault::new(&secret("s3cret"), &[]);
        for text in ["", "plain", "mhs1:", "mhs1:AAAA", "mhs1:!!!", "mhs2:AAAA"] {
            assert_eq!(vault.open(text, "c").unwrap_err(), Error::Malformed, "{text:?}");
        }
    }

    #[test]
    fn the_sealing_key_never_changes_between_releases() {
        let sealed = "mhs1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXRZBMiPu3zo8goh_Uv-rqHVhCIoq8zCStfb3bDkiv";
        let vault = Vault::new(&secret("correct horse"), &[]);
        assert_eq!(vault.open(sealed, "tenant/settings/llm").unwrap().expose_secret(), "battery staple");
    }

    #[test]
    fn debug_output_shows_nothing() {
        assert_eq!(format!("{:?}", Vault::new(&secret("s3cret"), &[])), "Vault");
    }
}
