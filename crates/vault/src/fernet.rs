//! Fernet tokens: version, time, IV, AES-128-CBC ciphertext, HMAC-SHA256, in base64url.

use std::time::{SystemTime, UNIX_EPOCH};

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use chacha20poly1305::aead::Generate;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const VERSION: u8 = 0x80;
const HEAD_BYTES: usize = 1 + 8;
const IV_BYTES: usize = 16;
const MAC_BYTES: usize = 32;

/// SHA-256 of the secret text; its first half signs and its second half encrypts.
pub struct Key {
    signing: Zeroizing<[u8; 16]>,
    encrypting: Zeroizing<[u8; 16]>,
}

impl Key {
    pub fn new(secret: &[u8]) -> Self {
        let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(secret)));
        let mut key = Self { signing: Zeroizing::default(), encrypting: Zeroizing::default() };
        let (signing, encrypting) = digest.split_at(16);
        key.signing.copy_from_slice(signing);
        key.encrypting.copy_from_slice(encrypting);
        key
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "an HMAC key may have any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.signing).expect("any length will do");
        mac.update(signed);
        mac
    }
}

/// The version byte and the leading zeros of the time give every token the same first characters.
pub fn looks_like_token(text: &str) -> bool {
    text.starts_with("gAAAAA")
}

/// A token of this moment.
pub fn make(plain: &[u8], key: &Key) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let iv = <[u8; IV_BYTES]>::generate();
    let cipher = cbc::Encryptor::<Aes128>::new((&*key.encrypting).into(), (&iv).into());
    let ciphertext = cipher.encrypt_padded_vec::<Pkcs7>(plain);
    let mut token = [[VERSION].as_slice(), &now.to_be_bytes(), &iv, &ciphertext].concat();
    let mac = key.mac(&token).finalize().into_bytes();
    token.extend_from_slice(&mac);
    URL_SAFE.encode(token)
}

pub struct Token(Vec<u8>);

impl Token {
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE.decode(text).ok()?;
        let fits = bytes.len() >= HEAD_BYTES + IV_BYTES + MAC_BYTES && bytes.first() == Some(&VERSION);
        fits.then_some(Self(bytes))
    }

    /// `None` when `key` did not make this token. Its age does not matter.
    pub fn open(&self, key: &Key) -> Option<Vec<u8>> {
        let (signed, mac) = self.0.split_at_checked(self.0.len().checked_sub(MAC_BYTES)?)?;
        key.mac(signed).verify_slice(mac).ok()?;
        let (iv, ciphertext) = signed.get(HEAD_BYTES..)?.split_at_checked(IV_BYTES)?;
        let cipher = cbc::Decryptor::<Aes128>::new((&*key.encrypting).into(), iv.try_into().ok()?);
        cipher.decrypt_padded_vec::<Pkcs7>(ciphertext).ok()
    }
}

/// Made by Python's `cryptography`: `Fernet(urlsafe_b64encode(sha256(b"s3cret").digest())).encrypt(...)`.
#[cfg(test)]
pub const TOKEN: &str = "gAAAAABrA7CCtnFNxa0j6sit4c6CLB50QCrehXJm22ltCPYotPACZ-YYvli2KWEEZO2jSnXknLw52h_DupKXB60rNbH8OfSFUqSsGJd9B-fW_KC912H99ug=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_pythons_cryptography_opens() {
        let token = Token::parse(TOKEN).unwrap();
        let opened = token.open(&Key::new(b"s3cret")).unwrap();
        assert_eq!(opened, "sk-from-the-peer-\u{e9}".as_bytes());
    }

    #[test]
    fn another_key_or_an_altered_token_does_not_open() {
        let token = Token::parse(TOKEN).unwrap();
        assert!(token.open(&Key::new(b"other")).is_none());
        for at in 0..token.0.len() {
            let mut altered = Token(token.0.clone());
            altered.0[at] ^= 1;
            assert!(altered.open(&Key::new(b"s3cret")).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_cut_token_is_not_one() {
        for length in 0..TOKEN.len() {
            let key = Key::new(b"s3cret");
            assert!(Token::parse(&TOKEN[..length]).and_then(|token| token.open(&key)).is_none());
        }
    }
}
