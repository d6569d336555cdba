//! A webhook as the operator has described it.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use ports::retry::Backoff;
use reqwest::Url;
use sha2::{Digest, Sha256};
use types::hex;

/// Headers of a connection and of how bodies are sent over it.
const FRAMING: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Between two tries of what fails for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Somebody who is told of conversations.
#[derive(Clone)]
pub struct Hook {
    base_url: Url,
    /// Sent with each call: those that are configured, and the session key.
    headers: HeaderMap,
    /// Events of one call, at most; so many are sent at once.
    pub event_buffer_size: usize,
    /// How long fewer of them wait for more.
    pub flush_delay: Duration,
    /// How often what fails is tried again soon.
    pub num_retries: usize,
    pub retry_delay: Duration,
    /// Bytes of one call, unless a single event has more.
    pub max_batch_bytes: usize,
    /// What is kept of the events of a conversation that is deleted before they were delivered.
    pub max_queue_size: usize,
    pub max_queue_bytes: usize,
}

/// The name of a hook in stores: it stays where the order of hooks changes, and says nothing of the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HookId(pub String);

impl Hook {
    /// The hook at an address, with the settings of the peer for whatever is not said. `None`: nothing can be put behind it.
    #[must_use]
    pub fn at(base_url: &str) -> Option<Self> {
        let base_url = Url::parse(base_url.trim()).ok()?;
        let is_base = matches!(base_url.scheme(), "http" | "https")
            && base_url.has_host()
            && base_url.query().is_none()
            && base_url.fragment().is_none();
        is_base.then(|| Self {
            base_url,
            headers: HeaderMap::new(),
            event_buffer_size: 5,
            flush_delay: Duration::from_secs(30),
            num_retries: 3,
            retry_delay: Duration::from_secs(5),
            max_batch_bytes: 5 << 20,
            max_queue_size: 1_000,
            max_queue_bytes: 50 << 20,
        })
    }

    /// Sends a header with each call, in the place of an earlier one of this name. `None`: there is no such header, or it says
    /// how the call itself is sent.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Option<Self> {
        let name = HeaderName::try_from(name).ok().filter(|name| !FRAMING.contains(name))?;
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Some(self)
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// Of the `nth` hook with this address; who calls there makes no difference.
    pub(super) fn id(&self, nth: usize) -> HookId {
        let (origin, path) = (self.base_url.origin().ascii_serialization(), self.base_url.path());
        let digest = Sha256::digest(format!("{origin}{} {nth}", path.trim_end_matches('/')));
        HookId(hex(digest.get(..8).unwrap_or_default()))
    }

    /// The address of a call; `None` where there can be none.
    pub(super) fn url(&self, path: &str) -> Option<Url> {
        let mut url = self.base_url.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(path.split('/'));
        Some(url)
    }

    /// How long to wait after so many failures in a row.
    pub(super) fn pause(&self, failures: usize) -> Duration {
        let pause = Backoff::new(self.retry_delay, LONGEST_PAUSE.max(self.retry_delay)).after(failures);
        match failures > self.num_retries {
            // It is away: what is new comes together with what waits.
            true => pause.max(self.flush_delay.min(LONGEST_PAUSE)),
            false => pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str) -> Hook {
        Hook::at(url).unwrap()
    }

    #[test]
    fn calls_go_below_the_address_whether_or_not_it_ends_with_a_slash() {
        for base in ["http://h/a/b", "http://h/a/b/"] {
            assert_eq!(hook(base).url("events/0a").unwrap().as_str(), "http://h/a/b/events/0a");
        }
        assert_eq!(hook("http://h").url("conversations").unwrap().as_str(), "http://h/conversations");
    }

    #[test]
    fn a_hook_keeps_its_name_and_two_at_one_address_have_two() {
        let (one, other) = (hook("http://h/a"), hook("http://h/b"));
        for same in ["http://h/a", "http://h/a/", "http://user:password@h:80/a"] {
            assert_eq!(one.id(0), hook(same).id(0), "{same}");
        }
        assert!(one.id(0) != other.id(0) && one.id(0) != one.id(1));
        assert_eq!(one.id(0).0.len(), 16);
    }

    #[test]
    fn an_address_that_nothing_can_be_put_behind_is_none() {
        for url in ["ftp://h", "h", "http://", "http://h/?a=b", "http://h/#a", "data:,x"] {
            assert!(Hook::at(url).is_none(), "{url}");
        }
        assert!(hook("http://h").with_header("a b", "x").is_none());
        for framing in ["Content-Length", "transfer-encoding", "Connection"] {
            assert!(hook("http://h").with_header(framing, "1").is_none(), "{framing}");
        }
        assert!(hook("http://h").with_header("a", "x\ny").is_none());
    }

    #[test]
    fn pauses_grow_and_are_longer_where_a_hook_is_away() {
        let hook = hook("http://h");
        assert!(hook.pause(1) <= Duration::from_secs(5));
        assert!((4..=hook.num_retries + 4).all(|failures| hook.pause(failures) >= hook.flush_delay / 2));
        assert!(hook.pause(usize::MAX) <= LONGEST_PAUSE);
    }
}
