//! The session API keys that a server accepts.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The session API keys a server accepts. Kept as hashes only.
#[derive(Clone)]
pub struct Keys {
    hashes: Vec<[u8; 32]>,
}

impl Keys {
    /// Blank keys are left out: they could never be meant to open a door.
    #[must_use]
    pub fn new(keys: &[SecretString]) -> Self {
        let given = keys.iter().map(|key| key.expose_secret()).filter(|key| !key.trim().is_empty());
        Self { hashes: given.map(hash).collect() }
    }

    /// Whether `offered` is one of the keys. Takes the same time whichever it is, and if it is none.
    #[must_use]
    pub fn accepts(&self, offered: &str) -> bool {
        let offered = hash(offered);
        let visit_all = |found: Choice, known: &[u8; 32]| found | known.ct_eq(&offered);
        self.hashes.iter().fold(Choice::from(0), visit_all).into()
    }

    /// No key is known: nothing can be accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.hashes.len())
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_keys_and_nothing_else_is_accepted() {
        let keys = Keys::new(&[SecretString::from("one"), SecretString::from("two")]);
        assert!(keys.accepts("one") && keys.accepts("two"));
        for other in ["", "on", "one ", "One", "onetwo"] {
            assert!(!keys.accepts(other), "{other:?}");
        }
    }

    #[test]
    fn blank_keys_are_not_keys() {
        let keys = Keys::new(&[SecretString::from(""), SecretString::from("  ")]);
        assert!(keys.is_empty() && !keys.accepts("") && !keys.accepts("  "));
    }

    #[test]
    fn debug_output_shows_only_how_many_there_are() {
        assert_eq!(format!("{:?}", Keys::new(&[SecretString::from("one")])), "Keys(1)");
    }
}
