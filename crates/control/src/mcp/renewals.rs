//! Tokens that are being renewed, as a tenant's shelf has them: what renews a token may be good once, and several may want to,
//! on several gateways.
//!
//! ```text
//!   a token is over ─▶ on the shelf? ─ no ─▶ noted as being renewed ─▶ asked ─▶ given: noted for all who come later
//!                        ├─ being renewed: waited for                    └───▶ refused: forgotten, whoever waits asks himself
//!                        └─ renewed: taken from there
//! ```
//!
//! So one whose answer was lost gets the new tokens for the old ones, too, for a quarter of an hour.

use std::net::IpAddr;
use std::time::Duration;

use ::mcp::oauth::{State, refresh};
use ports::rpc::{Fault, Reason};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use types::TenantId;
use types::time::unix_ms;

use super::McpServers;
use super::jobs::{LIFE, McpLogins};
use super::trial::Unusable;
use crate::Refusal;
use crate::shelf::Change;

/// The oldest make way.
const MOST: usize = 16;
/// Bytes of all of them. One that is larger is not remembered.
const MOST_BYTES: usize = 96 << 10;
/// A provider takes less: who is longer about it has died.
const RENEWING: Duration = Duration::from_secs(30);
/// Between two looks at what another one does.
const PAUSE: Duration = Duration::from_millis(50);

/// As the shelf has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Renewals(Vec<Renewal>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Renewal {
    /// The digest of what is renewed.
    of: String,
    /// Milliseconds since 1970: when it was begun, or was over.
    at: u64,
    /// A [`State`], sealed; `None` while it is asked for.
    #[serde(default)]
    state: Option<String>,
}

/// What one who wants to renew tokens finds.
#[derive(Debug, PartialEq)]
enum Turn {
    Ours,
    Anothers,
    Renewed(String),
}

impl Renewals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn drop_what_is_over(&mut self) -> bool {
        let (now, before) = (unix_ms(), self.0.len());
        self.0.retain(|renewal| renewal.is_alive(now));
        self.0.len() < before
    }

    pub fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        self.0.iter_mut().filter_map(|renewal| renewal.state.as_mut()).for_each(change);
    }

    fn take_turn(&mut self, of: &str) -> Turn {
        self.drop_what_is_over();
        match self.0.iter().find(|renewal| renewal.of == of) {
            Some(Renewal { state: Some(state), .. }) => Turn::Renewed(state.clone()),
            Some(_) => Turn::Anothers,
            None => {
                self.put(of, None);
                Turn::Ours
            }
        }
    }

    fn put(&mut self, of: &str, state: Option<String>) {
        self.forget(of);
        self.0.push(Renewal { of: of.to_owned(), at: unix_ms(), state });
        while self.0.len() > MOST || self.bytes() > MOST_BYTES {
            self.0.remove(0);
        }
    }

    fn forget(&mut self, of: &str) {
        self.0.retain(|renewal| renewal.of != of);
    }

    fn bytes(&self) -> usize {
        self.0.iter().filter_map(|renewal| renewal.state.as_ref()).map(String::len).sum()
    }
}

impl Renewal {
    fn is_alive(&self, now: u64) -> bool {
        let life = if self.state.is_some() { LIFE } else { RENEWING };
        now <= self.at.saturating_add(types::time::millis(life))
    }
}

impl McpServers {
    /// New tokens in place of those that are over, and whether somebody has renewed them before. It goes on where nobody waits for
    /// it any more. `from` is where the server is.
    ///
    /// # Errors
    /// Those of the provider and of the shelf.
    pub(super) async fn renewed(
        &self,
        tenant: &TenantId,
        from: Option<IpAddr>,
        state: &State,
    ) -> Result<(State, bool), Unusable> {
        let of = digest(state);
        let give_up = Instant::now() + RENEWING;
        loop {
            match self.turn(tenant, &of).await? {
                Turn::Ours => break,
                Turn::Renewed(sealed) => return Ok((self.opened(tenant, &sealed)?, true)),
                Turn::Anothers if Instant::now() < give_up => sleep(PAUSE).await,
                Turn::Anothers => return Err(Refusal::from(Fault::from(Reason::Overloaded)).into()),
            }
        }
        let (servers, tenant, state) = (self.clone(), tenant.clone(), state.clone());
        let renewing = self.tasks.spawn(async move { servers.renew(&tenant, &of, from, &state).await });
        let renewed = renewing.await.map_err(|error| ports::Error::Internal(error.to_string()))?;
        Ok((renewed?, false))
    }

    async fn renew(
        &self,
        tenant: &TenantId,
        of: &str,
        from: Option<IpAddr>,
        state: &State,
    ) -> Result<State, Unusable> {
        let renewed = refresh(&self.outbound, from, state).await;
        let sealed = match &renewed {
            Ok(state) => Some(self.sealed(tenant, state)?),
            Err(_) => None,
        };
        let noted = self.keep_at_last(tenant, Instant::now() + RENEWING, |logins| {
            match &sealed {
                Some(sealed) => logins.renewals.put(of, Some(sealed.clone())),
                None => logins.renewals.forget(of),
            }
            Vec::new()
        });
        if let Err(refusal) = noted.await {
            tracing::warn!(?refusal, "what came of renewing a token is not noted");
        }
        Ok(renewed?)
    }

    async fn turn(&self, tenant: &TenantId, of: &str) -> Result<Turn, Refusal> {
        let take = |logins: &mut McpLogins| {
            Ok(match logins.renewals.take_turn(of) {
                Turn::Ours => Change::Write(Turn::Ours),
                turn => Change::Nothing(turn),
            })
        };
        self.shelves.change(tenant, take).await
    }

    fn sealed(&self, tenant: &TenantId, state: &State) -> Result<String, Refusal> {
        let text = serde_json::to_string(state).map_err(|error| ports::Error::Internal(error.to_string()))?;
        Ok(self.sealing(tenant).seal(&text))
    }

    fn opened(&self, tenant: &TenantId, sealed: &str) -> Result<State, Refusal> {
        let text = self.sealing(tenant).open(sealed)?;
        serde_json::from_str(text.expose_secret()).map_err(|_| Refusal::Damaged)
    }
}

/// Of all that a login has come to: another one's must not be found by a part of it.
fn digest(state: &State) -> String {
    let whole = serde_json::to_vec(&(&state.tokens, &state.client_info)).unwrap_or_default();
    types::hex(&Sha256::digest(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_by_one_and_all_others_get_what_he_got() {
        let mut renewals = Renewals::default();
        assert_eq!(renewals.take_turn("a"), Turn::Ours);
        assert_eq!(renewals.take_turn("a"), Turn::Anothers);
        assert_eq!(renewals.take_turn("b"), Turn::Ours);
        renewals.put("a", Some("new".to_owned()));
        assert_eq!(renewals.take_turn("a"), Turn::Renewed("new".to_owned()));
        renewals.forget("b");
        assert_eq!(renewals.take_turn("b"), Turn::Ours, "it was refused");
    }

    #[test]
    fn who_dies_while_he_renews_a_token_keeps_nobody_from_it() {
        let mut renewals = Renewals::default();
        renewals.take_turn("a");
        renewals.0[0].at -= types::time::millis(RENEWING) + 1;
        assert_eq!(renewals.take_turn("a"), Turn::Ours);
        renewals.put("a", Some("new".to_owned()));
        renewals.0[0].at -= types::time::millis(LIFE) + 1;
        assert!(renewals.drop_what_is_over() && renewals.is_empty());
    }

    #[test]
    fn what_is_remembered_of_renewed_tokens_is_bounded() {
        let mut renewals = Renewals::default();
        for number in 0..40 {
            renewals.put(&number.to_string(), Some("x".repeat(10 << 10)));
        }
        assert!(renewals.bytes() <= MOST_BYTES && renewals.0.len() <= MOST);
        assert_eq!(renewals.take_turn("39"), Turn::Renewed("x".repeat(10 << 10)));
        renewals.put("large", Some("x".repeat(MOST_BYTES + 1)));
        assert!(renewals.is_empty());
    }
}
