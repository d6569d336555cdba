//! A link that opens the page at `/` with the session key, once: `--ticket` prints it where the server is started.
//!
//! The ticket stands behind the `#`, which browsers send to nobody; the page gives it back in a body, and is given the key
//! (`redeem`). So the key is in no address and in no page that others can load: programs of agents on this
//! machine reach the port, but do not see the terminal.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use uuid::Uuid;

/// Where the page gives it back.
pub const PATH: &str = "/ticket";

const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The one ticket of a server, until it was used. Cheap to clone; without one none is good.
#[derive(Clone, Default)]
pub struct Ticket(Arc<Mutex<Option<Unused>>>);

struct Unused {
    digest: [u8; 32],
    until: Instant,
    key: SecretString,
}

impl Ticket {
    /// A new one for `key`, and its text, which is told to nobody else.
    #[must_use]
    pub fn issue(key: SecretString) -> (Self, SecretString) {
        let text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let unused = Unused { digest: digest(&text), until: Instant::now() + LIFETIME, key };
        (Self(Arc::new(Mutex::new(Some(unused)))), text.into())
    }

    /// The key, if this is the ticket and it is still good. It is not afterwards.
    pub(crate) fn take(&self, text: &str) -> Option<SecretString> {
        let mut unused = self.0.lock();
        if unused.as_ref().is_some_and(|unused| unused.until <= Instant::now()) {
            *unused = None;
        }
        let taken = unused.take_if(|unused| bool::from(unused.digest.ct_eq(&digest(text))))?;
        Some(taken.key)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_for_a_while_and_in_its_own_words() {
        let (ticket, text) = Ticket::issue("key".into());
        let text = text.expose_secret();
        assert!(text.len() == 64 && ticket.take("").is_none() && ticket.take(&text[1..]).is_none());
        assert_eq!(ticket.take(text).unwrap().expose_secret(), "key");
        assert!(ticket.take(text).is_none());
        let (ticket, text) = Ticket::issue("key".into());
        tokio::time::advance(LIFETIME).await;
        assert!(ticket.take(text.expose_secret()).is_none());
        assert!(Ticket::default().take("").is_none());
    }
}
