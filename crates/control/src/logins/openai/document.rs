//! The shelf of logins, as far as they are OpenAI's.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::buckets::LOGINS;
use uuid::Uuid;

use super::provider::{Begun, Tokens};
use crate::logins;
use crate::shelf::{Kept, Sealing, Version};

/// Logins that are pending at once: the oldest makes way, for nobody waits for it any more.
const MOST_PENDING: usize = 8;
/// As long as OpenAI lets a user enter a code.
const PENDING_MS: u64 = 15 * 60 * 1_000;
/// A token that ends sooner might end within a call.
const GOOD_MS: u64 = 60 * 1_000;

/// What a tenant has with OpenAI. Other logins of the same shelf ride along in `rest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenAiLogins {
    v: Version,
    #[serde(rename = "openai")]
    pub(super) login: Option<Login>,
    /// The oldest first.
    #[serde(rename = "openai_devices")]
    pending: Vec<Device>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Login {
    /// Sealed, as is the other.
    pub access_token: String,
    pub refresh_token: String,
    /// In milliseconds since 1970.
    pub expires_at: u64,
}

/// A login that the user has not allowed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    pub id: String,
    /// Sealed, as is the user's code: who has both can fetch the login.
    pub auth_id: String,
    pub user_code: String,
    /// In milliseconds since 1970.
    pub expires_at: u64,
}

impl Kept for OpenAiLogins {
    const BUCKET: &'static str = LOGINS;
    const MOST: usize = logins::MOST;
    const TOO_LARGE: &'static str = logins::TOO_LARGE;

    fn version(&self) -> Version {
        self.v
    }

    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        if let Some(login) = &mut self.login {
            change(&mut login.access_token);
            change(&mut login.refresh_token);
        }
        for device in &mut self.pending {
            change(&mut device.auth_id);
            change(&mut device.user_code);
        }
    }
}

impl OpenAiLogins {
    pub(super) fn pending(&self, id: &str, now: u64) -> Option<&Device> {
        self.pending.iter().find(|device| device.id == id && now < device.expires_at)
    }

    pub(super) fn begin(&mut self, device: Device, now: u64) {
        self.pending.retain(|device| now < device.expires_at);
        let too_many = (self.pending.len() + 1).saturating_sub(MOST_PENDING);
        self.pending.drain(..too_many);
        self.pending.push(device);
    }

    /// False where it is not pending any more.
    pub(super) fn end(&mut self, id: &str) -> bool {
        let before = self.pending.len();
        self.pending.retain(|device| device.id != id);
        self.pending.len() < before
    }

    /// False where there is nothing to forget.
    pub(super) fn forget(&mut self) -> bool {
        let is_something = self.login.is_some() || !self.pending.is_empty();
        self.login = None;
        self.pending.clear();
        is_something
    }
}

impl Device {
    pub fn new(sealing: &Sealing<'_>, begun: &Begun, now: u64) -> Self {
        Self {
            id: [Uuid::new_v4(), Uuid::new_v4()].map(|half| half.simple().to_string()).concat(),
            auth_id: sealing.seal(begun.auth_id.expose_secret()),
            user_code: sealing.seal(&begun.user_code),
            expires_at: now.saturating_add(PENDING_MS),
        }
    }
}

impl Login {
    pub fn new(sealing: &Sealing<'_>, tokens: &Tokens, now: u64) -> Self {
        let refresh = tokens.refresh.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
        Self {
            access_token: sealing.seal(tokens.access.expose_secret()),
            refresh_token: sealing.seal(refresh),
            expires_at: now.saturating_add(tokens.lifetime_ms),
        }
    }

    /// With the same right to refresh unless there is a new one.
    pub fn refreshed(&self, sealing: &Sealing<'_>, tokens: &Tokens, now: u64) -> Self {
        let new = Self::new(sealing, tokens, now);
        match tokens.refresh {
            Some(_) => new,
            None => Self { refresh_token: self.refresh_token.clone(), ..new },
        }
    }

    pub fn is_good(&self, now: u64) -> bool {
        self.expires_at >= now.saturating_add(GOOD_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, expires_at: u64) -> Device {
        Device { id: id.to_owned(), auth_id: String::new(), user_code: String::new(), expires_at }
    }

    #[test]
    fn the_oldest_of_too_many_pending_logins_makes_way() {
        let mut kept = OpenAiLogins::default();
        kept.begin(device("late", 5), 0);
        for n in 0..9 {
            kept.begin(device(&n.to_string(), 100), 5);
        }
        let pending: Vec<&str> = kept.pending.iter().map(|device| device.id.as_str()).collect();
        assert_eq!(pending, ["1", "2", "3", "4", "5", "6", "7", "8"]);
        assert!(kept.pending("8", 99).is_some() && kept.pending("8", 100).is_none());
        assert!(kept.end("8") && !kept.end("8") && kept.forget() && !kept.forget());
    }

    #[test]
    fn a_token_is_good_until_a_minute_before_its_end() {
        let login =
            Login { access_token: String::new(), refresh_token: String::new(), expires_at: GOOD_MS + 7 };
        assert!(login.is_good(7) && !login.is_good(8));
    }
}
