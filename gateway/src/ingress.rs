//! Where pages of extensions' programs are served: below an origin of their own, to who has a session for the one program.
//!
//! ```text
//!   page of the user interface ── key, POST session ──▶ cookie, for one program and five minutes
//!   frame ── cookie ──▶ the ingress origin, /app-backends/<name>/… ──▶ the program, on loopback
//! ```
//!
//! The origin is what keeps a program apart: its pages may do what they like there, and reach nothing of the user interface and,
//! for want of a key, nothing of the server. A session is a random text that means something to this process alone, and only
//! while it lives: it opens one program at the port that it had, and ends with its time, when it is taken back, and when
//! the program is stopped; then what was switched to another protocol under it is cut off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::TenantId;
use types::time::{millis, unix_ms};
use uuid::Uuid;

use crate::front::Front;

pub const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// The oldest make way.
const MOST_SESSIONS: usize = 1_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct Ingress(Arc<Inner>);

struct Inner {
    public: Option<Public>,
    /// By the digest of what the cookie holds.
    sessions: Mutex<HashMap<[u8; 32], Session>>,
}

/// How browsers reach it.
pub struct Public {
    /// Without a slash at its end.
    pub url: String,
    pub origin: Origin,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    pub host: String,
    pub port: u16,
}

/// What a cookie stands for.
#[derive(Clone)]
pub struct Session {
    pub tenant: TenantId,
    /// With which key it was begun: what its pages ask counts as asked with that.
    pub key: Option<u64>,
    pub name: String,
    pub port: u16,
    pub expires_at: Instant,
    /// Cancelled when it is taken back.
    pub over: CancellationToken,
}

impl Ingress {
    /// `url`: how browsers reach it; none, or one that is no such address: there is no ingress.
    #[must_use]
    pub fn new(url: Option<&str>) -> Self {
        let public = url.and_then(|url| {
            let url = url.trim_end_matches('/').to_owned();
            Some(Public { origin: Origin::of(&url)?, url })
        });
        Self(Arc::new(Inner { public, sessions: Mutex::default() }))
    }

    #[must_use]
    pub fn public(&self) -> Option<&Public> {
        self.0.public.as_ref()
    }

    /// What the cookie is to hold, and until when it is good, in milliseconds since 1970.
    #[must_use]
    pub fn begin(&self, tenant: &TenantId, key: Option<u64>, name: &str, port: u16) -> (String, u64) {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let session = Session {
            tenant: tenant.clone(),
            key,
            name: name.to_owned(),
            port,
            expires_at: Instant::now() + LIFETIME,
            over: CancellationToken::new(),
        };
        let mut sessions = self.0.sessions.lock();
        sessions.retain(|_, session| session.expires_at > Instant::now());
        if sessions.len() >= MOST_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.expires_at).map(|(key, _)| *key);
            if let Some(session) = oldest.and_then(|oldest| sessions.remove(&oldest)) {
                session.over.cancel();
            }
        }
        sessions.insert(digest(&token), session);
        (token, unix_ms() + millis(LIFETIME))
    }

    /// The session of a cookie, if it is for this program.
    #[must_use]
    pub fn find(&self, token: &str, name: &str) -> Option<Session> {
        let sessions = self.0.sessions.lock();
        let session = sessions.get(&digest(token))?;
        (session.name == name && session.expires_at > Instant::now()).then(|| session.clone())
    }

    pub fn end(&self, token: &str) {
        if let Some(session) = self.0.sessions.lock().remove(&digest(token)) {
            session.over.cancel();
        }
    }

    /// Ends all sessions of a program.
    pub fn end_all(&self, tenant: &TenantId, name: &str) {
        self.0.sessions.lock().retain(|_, session| {
            let stays = session.name != name || session.tenant != *tenant;
            if !stays {
                session.over.cancel();
            }
            stays
        });
    }
}

impl Origin {
    /// Of a URL; `None` for what has none.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Some(Self {
            scheme: scheme.to_owned(),
            host: uri.host()?.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(default),
        })
    }

    /// That at which a request has arrived.
    #[must_use]
    pub fn asked(front: &Front, headers: &HeaderMap) -> Option<Self> {
        Self::of(&front.base_url(headers))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_same_however_it_is_written() {
        assert_eq!(Origin::of("https://Apps.Example/x"), Origin::of("https://apps.example:443"));
        assert_ne!(Origin::of("http://apps.example"), Origin::of("https://apps.example"));
        assert_ne!(Origin::of("http://localhost:1"), Origin::of("http://127.0.0.1:1"));
        for nothing in ["", "null", "apps.example", "ftp://apps.example", "/x"] {
            assert_eq!(Origin::of(nothing), None, "{nothing}");
        }
    }

    #[tokio::test]
    async fn a_session_opens_one_program_until_it_is_ended() {
        let ingress = Ingress::new(Some("https://apps.example"));
        let tenant = TenantId::default();
        let (token, _) = ingress.begin(&tenant, None, "one", 1);
        let (other, _) = ingress.begin(&tenant, None, "one", 1);
        let session = ingress.find(&token, "one").unwrap();
        assert!(ingress.find(&token, "two").is_none() && ingress.find("guess", "one").is_none());
        ingress.end(&token);
        assert!(session.over.is_cancelled() && ingress.find(&token, "one").is_none());
        ingress.end_all(&tenant, "two");
        assert!(ingress.find(&other, "one").is_some());
        ingress.end_all(&tenant, "one");
        assert!(ingress.find(&other, "one").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_time() {
        let ingress = Ingress::new(Some("https://apps.example"));
        let (token, _) = ingress.begin(&TenantId::default(), None, "one", 1);
        tokio::time::advance(LIFETIME - Duration::from_secs(1)).await;
        assert!(ingress.find(&token, "one").is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ingress.find(&token, "one").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_session_makes_way_where_there_are_too_many() {
        let (ingress, tenant) = (Ingress::new(Some("https://apps.example")), TenantId::default());
        let begin = || ingress.begin(&tenant, None, "one", 1).0;
        let oldest = begin();
        let session = ingress.find(&oldest, "one").unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        let mut others: Vec<String> = (1..MOST_SESSIONS).map(|_| begin()).collect();
        assert!(ingress.find(&oldest, "one").is_some());
        others.push(begin());
        assert!(session.over.is_cancelled() && ingress.find(&oldest, "one").is_none());
        assert!(others.iter().all(|token| ingress.find(token, "one").is_some()));
    }
}
