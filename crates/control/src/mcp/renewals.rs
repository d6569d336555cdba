//! Tokens that are being renewed, as a tenant's shelf has them: what renews a token may be good once, and several may want to,
//! on several gateways.
//!
//! ```text
//!   a token is over ─▶ on the shelf? ─ no ─▶ noted as being renewed ─▶ asked ─▶ given: noted for all who come later
//!                        ├─ being renewed: waited for                    └───▶ refused: forgotten, whoever waits asks himself
//!                        └─ renewed: taken from there
//! ```
//!
//! So one whose answer was lost gets the new tokens for the old ones, too, for about an hour. Who renews has a place of
//! his tenant for it until he is done, whoever hangs up, and is done long before another one takes him for dead. How long he has been
//! about it tells the clock of who looks at it, from the first look on.

use std::net::IpAddr;
use std::time::Duration;

use ::mcp::oauth::{State, refresh};
use ports::retry::Backoff;
use ports::rpc::{Fault, Reason};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use types::TenantId;
use types::time::unix_ms;
use uuid::Uuid;

use super::McpServers;
use super::jobs::{FINISHING, McpLogins};
use super::seen::Seen;
use super::trial::Unusable;
use crate::Refusal;
use crate::shelf::Change;
use crate::slots::Slot;

/// The oldest make way, but for those that are under way: of these there are no more.
pub(super) const MOST: usize = 16;
/// Bytes of all of them. One that is larger is not remembered.
const MOST_BYTES: usize = 96 << 10;
/// How long new tokens are there, by the clocks of two machines: it is far more than they differ, and than anybody is promised.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// As long one who renews may be left on the shelf of a tenant who does not come back.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);
/// From its beginning on: what the provider takes, and a store that is away. It is far less than after which another one begins.
const RENEWING: Duration = Duration::from_secs(60);
/// How long one waits for what another one does.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at that.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));

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
    /// Who renews it, or did: a name of his own for each time.
    #[serde(default)]
    by: String,
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
    /// So many are under way.
    None,
}

impl Renewals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn drop_what_is_over(&mut self) -> bool {
        let (now, before) = (unix_ms(), self.0.len());
        self.0.retain(|renewal| !renewal.is_over(now));
        self.0.len() < before
    }

    /// The names of all who are about one.
    pub fn under_way(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter(|renewal| renewal.is_under_way()).map(|renewal| renewal.by.clone())
    }

    pub fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        self.0.iter_mut().filter_map(|renewal| renewal.state.as_mut()).for_each(change);
    }

    fn take_turn(&mut self, of: &str, by: &str, seen: &Seen) -> Turn {
        self.drop_what_is_over();
        let is_dead = |renewal: &Renewal| renewal.is_under_way() && seen.for_so_long(&renewal.by, FINISHING);
        self.0.retain(|renewal| !is_dead(renewal));
        match self.0.iter().find(|renewal| renewal.of == of) {
            Some(Renewal { state: Some(state), .. }) => Turn::Renewed(state.clone()),
            // An answer of the store was lost.
            Some(renewal) if renewal.by == by => Turn::Ours,
            Some(_) => Turn::Anothers,
            None if self.0.iter().filter(|renewal| renewal.is_under_way()).count() >= MOST => Turn::None,
            None => {
                self.add(of, by, None);
                Turn::Ours
            }
        }
    }

    fn put(&mut self, of: &str, by: &str, state: String) {
        self.0.retain(|renewal| renewal.of != of || !renewal.is_under_way());
        // Another one took this for dead, and came first.
        if state.len() <= MOST_BYTES && self.0.iter().all(|renewal| renewal.of != of) {
            self.add(of, by, Some(state));
        }
    }

    /// What is one's own.
    fn forget(&mut self, of: &str, by: &str) {
        self.0.retain(|renewal| renewal.of != of || renewal.by != by);
    }

    fn add(&mut self, of: &str, by: &str, state: Option<String>) {
        let (of, by) = (of.to_owned(), by.to_owned());
        self.0.push(Renewal { of, at: unix_ms(), by, state });
        while self.0.len() > MOST || self.bytes() > MOST_BYTES {
            let Some(oldest) = self.0.iter().position(|renewal| !renewal.is_under_way()) else { return };
            self.0.remove(oldest);
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().filter_map(|renewal| renewal.state.as_ref()).map(String::len).sum()
    }
}

impl Renewal {
    fn is_under_way(&self) -> bool {
        self.state.is_none()
    }

    fn is_over(&self, now: u64) -> bool {
        let life = if self.is_under_way() { FORGOTTEN } else { KEPT };
        now > self.at.saturating_add(types::time::millis(life))
    }
}

/// Tokens that somebody wants to be renewed.
struct Wish {
    tenant: TenantId,
    state: State,
    /// Where the server is.
    from: Option<IpAddr>,
    of: String,
    by: String,
    /// Nobody's connection holds it back: its place does.
    _slot: Slot,
}

impl McpServers {
    /// New tokens in place of those that are over, and whether somebody has renewed them before. It goes on where nobody waits for
    /// it any more. `from` is where the server is.
    ///
    /// # Errors
    /// `Overloaded`; those of the provider and of the shelf.
    pub(super) async fn renewed(
        &self,
        tenant: &TenantId,
        from: Option<IpAddr>,
        state: &State,
    ) -> Result<(State, bool), Unusable> {
        let wish = Wish {
            _slot: self.renewing.take(tenant).map_err(Refusal::from)?,
            tenant: tenant.clone(),
            of: digest(state),
            by: Uuid::new_v4().simple().to_string(),
            from,
            state: state.clone(),
        };
        let renewing = self.tasks.spawn(self.clone().renew_in_turn(wish));
        renewing.await.map_err(|error| ports::Error::Internal(error.to_string()))?
    }

    async fn renew_in_turn(self, wish: Wish) -> Result<(State, bool), Unusable> {
        let (mut pauses, give_up) = (PAUSES, Instant::now() + PATIENCE);
        loop {
            let over = Instant::now() + RENEWING;
            match self.turn(&wish).await {
                Ok(Turn::Ours) => return Ok((self.renew(&wish, over).await?, false)),
                Ok(Turn::Renewed(sealed)) => return Ok((self.opened(&wish.tenant, &sealed)?, true)),
                Ok(Turn::Anothers) if Instant::now() < give_up && !self.tasks.drain.is_cancelled() => {
                    sleep(pauses.pause()).await;
                }
                Ok(Turn::Anothers | Turn::None) => {
                    return Err(Refusal::from(Fault::from(Reason::Overloaded)).into());
                }
                Err(refusal) => {
                    // It may be noted in spite of that, and whoever waits is told now.
                    self.tasks.spawn(self.clone().give_up(wish, over));
                    return Err(refusal.into());
                }
            }
        }
    }

    async fn renew(&self, wish: &Wish, over: Instant) -> Result<State, Unusable> {
        let Wish { tenant, of, by, .. } = wish;
        let renewed = refresh(&self.outbound, wish.from, &wish.state).await;
        let sealed = match &renewed {
            // Some providers only make it last longer: it may be over once more.
            Ok(state) if digest(state) != *of => Some(self.sealed(tenant, state)?),
            Ok(_) | Err(_) => None,
        };
        let noted = self.keep_at_last(tenant, over, |logins| {
            match &sealed {
                Some(sealed) => logins.renewals.put(of, by, sealed.clone()),
                None => logins.renewals.forget(of, by),
            }
            Vec::new()
        });
        if let Err(refusal) = noted.await {
            tracing::warn!(?refusal, "what came of renewing a token is not noted");
        }
        Ok(renewed?)
    }

    async fn give_up(self, wish: Wish, over: Instant) {
        let forget = |logins: &mut McpLogins| {
            logins.renewals.forget(&wish.of, &wish.by);
            Vec::new()
        };
        if let Err(refusal) = self.keep_at_last(&wish.tenant, over, forget).await {
            tracing::warn!(?refusal, "that a token is not renewed is not noted");
        }
    }

    async fn turn(&self, wish: &Wish) -> Result<Turn, Refusal> {
        let seen = self.seen.of(&wish.tenant);
        let take = |logins: &mut McpLogins| {
            let turn = logins.renewals.take_turn(&wish.of, &wish.by, &seen);
            seen.keep_only(&logins.under_way());
            Ok(match turn {
                Turn::Ours => Change::Write(Turn::Ours),
                turn => Change::Nothing(turn),
            })
        };
        self.shelves.change(&wish.tenant, take).await
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
    use tokio::time::advance;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_token_is_renewed_by_one_and_all_others_get_what_he_got() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        assert_eq!(renewals.take_turn("a", "one", &seen), Turn::Ours);
        assert_eq!(renewals.take_turn("a", "one", &seen), Turn::Ours, "he has not heard of it");
        assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Anothers);
        assert_eq!(renewals.take_turn("b", "other", &seen), Turn::Ours);
        renewals.put("a", "one", "new".to_owned());
        assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Renewed("new".to_owned()));
        renewals.forget("b", "other");
        assert_eq!(renewals.take_turn("b", "one", &seen), Turn::Ours, "it was refused");
    }

    #[tokio::test(start_paused = true)]
    async fn who_dies_while_he_renews_a_token_keeps_nobody_from_it() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        renewals.take_turn("a", "one", &seen);
        assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Anothers);
        advance(FINISHING + MOMENT).await;
        assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Ours);
        renewals.put("a", "other", "new".to_owned());
        assert_eq!(renewals.take_turn("a", "third", &seen), Turn::Renewed("new".to_owned()));
        assert!(renewals.under_way().next().is_none(), "nobody is remembered for what is over");
        renewals.0[0].at -= types::time::millis(KEPT) + 1;
        assert_eq!(
            renewals.take_turn("a", "third", &Seen::default()),
            Turn::Ours,
            "also here, where it was never seen"
        );
        renewals.0[0].at -= types::time::millis(FORGOTTEN) + 1;
        assert!(renewals.drop_what_is_over() && renewals.is_empty());
    }

    #[test]
    fn no_token_is_renewed_twice_because_a_clock_is_wrong_by_less_than_an_hour() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        renewals.take_turn("a", "one", &seen);
        for wrong in [Duration::from_secs(60 * 60), FORGOTTEN / 2] {
            renewals.0[0].at = unix_ms() - types::time::millis(wrong);
            renewals.drop_what_is_over();
            assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Anothers);
        }
        renewals.put("a", "one", "new".to_owned());
        renewals.0[0].at -= types::time::millis(KEPT / 2);
        assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Renewed("new".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_takes_nothing_from_who_was_first() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        renewals.take_turn("a", "late", &seen);
        assert_eq!(renewals.take_turn("a", "first", &seen), Turn::Anothers);
        advance(FINISHING + MOMENT).await;
        assert_eq!(renewals.take_turn("a", "first", &seen), Turn::Ours);
        renewals.put("a", "late", "new".to_owned());
        renewals.forget("a", "first");
        assert_eq!(renewals.take_turn("a", "third", &seen), Turn::Renewed("new".to_owned()));
        renewals.put("a", "first", "newer".to_owned());
        assert_eq!(renewals.take_turn("a", "third", &seen), Turn::Renewed("new".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_renews_a_token_may_be_as_long_about_it_as_he_may_try_to_keep_it() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        renewals.take_turn("a", "one", &seen);
        renewals.take_turn("a", "other", &seen);
        advance(RENEWING + Duration::from_secs(60)).await;
        assert_eq!(renewals.take_turn("a", "other", &seen), Turn::Anothers);
    }

    #[test]
    fn what_is_remembered_of_renewed_tokens_is_bounded() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        for number in 0..40 {
            renewals.put(&number.to_string(), "one", "x".repeat(10 << 10));
        }
        assert!(renewals.bytes() <= MOST_BYTES && renewals.0.len() <= MOST);
        assert_eq!(renewals.take_turn("39", "other", &seen), Turn::Renewed("x".repeat(10 << 10)));
        renewals.put("large", "one", "x".repeat(MOST_BYTES + 1));
        assert_eq!(renewals.take_turn("39", "other", &seen), Turn::Renewed("x".repeat(10 << 10)));
        assert_eq!(renewals.take_turn("large", "other", &seen), Turn::Ours);
    }

    #[test]
    fn what_is_under_way_makes_no_way() {
        let (mut renewals, seen) = (Renewals::default(), Seen::default());
        renewals.put("before", "one", "new".to_owned());
        for number in 0..MOST {
            assert_eq!(renewals.take_turn(&number.to_string(), "one", &seen), Turn::Ours);
        }
        assert_eq!(renewals.take_turn("more", "one", &seen), Turn::None);
        assert_eq!(renewals.take_turn("0", "other", &seen), Turn::Anothers);
        renewals.put("0", "one", "new".to_owned());
        assert_eq!(renewals.take_turn("more", "one", &seen), Turn::Ours);
    }
}
