//! Logins with OpenAI, for those who have subscribed to its models. A user gets a code from us, enters it at OpenAI's page, and
//! we fetch what they have allowed.
//!
//! ```text
//!   begin ─▶ pending ── finish: not yet ──▶ pending
//!               │  ├─── finish: allowed ──▶ connected ── token is about to end ─▶ refreshed ─▶ connected
//!               │  ├─── 15 minutes ───────▶ gone                                    └─ refused ─▶ as good as none
//!               └──┴─── forget ───────────▶ gone (as is the login)
//! ```
//!
//! All of it is on the tenant's shelf, also what is pending, so that a login that one gateway has begun another can finish. What
//! would let somebody finish it, and the tokens, are sealed there.
//!
//! Calls to OpenAI are made between two looks at the shelf, never while it is changed. So each change looks again whether what
//! it belongs to is still there. Who has logged out while a login was fetched stays logged out: what was pending is gone, and
//! with it the right to put a login there. Who has logged out, or in anew, while a token was refreshed keeps what they have: the
//! new token goes only where the old one was.
//!
//! **Two gateways that refresh at once**: the provider may take a refresh token but once. The second is refused, and looks whether
//! the first has meanwhile stored a token that is good.
//!
//! The client never learns a token, and what it polls with is a name of ours that only its own tenant can use. The account is read
//! from the token without a look at its signature: it came from the issuer itself, over TLS, and only tells the issuer's own
//! servers which account is meant.

mod document;
mod models;
mod provider;

use secrecy::SecretString;
use types::TenantId;
use types::time::unix_ms;

use super::Logins;
use crate::Refusal;
use crate::shelf::{Change, Sealing};
pub use document::OpenAiLogins;
use document::{Device, Login};
pub use models::MODELS;
pub(super) use provider::Provider;

/// What a user is shown to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What this login is asked for by, until it has ended.
    pub id: String,
    /// To be entered at `url`.
    pub user_code: String,
    pub url: String,
    /// In milliseconds since 1970.
    pub expires_at: u64,
    pub interval_seconds: u64,
}

/// What calls of models are made with.
pub struct Token {
    pub access: SecretString,
    pub account: Option<String>,
}

impl Logins {
    /// # Errors
    /// `Coded` where OpenAI cannot be asked; those of the shelf.
    pub async fn begin_openai(&self, tenant: &TenantId) -> Result<Challenge, Refusal> {
        let begun = self.openai.begin().await?;
        let device = Device::new(&self.sealing(tenant), &begun, unix_ms());
        let challenge = Challenge {
            id: device.id.clone(),
            user_code: begun.user_code,
            url: begun.url,
            expires_at: device.expires_at,
            interval_seconds: begun.interval_seconds,
        };
        let begin = |kept: &mut OpenAiLogins| {
            kept.begin(device.clone(), unix_ms());
            Ok(Change::Write(()))
        };
        self.shelves.change(tenant, begin).await?;
        Ok(challenge)
    }

    /// When the login ends that the user has allowed, in milliseconds since 1970; `None` as long as they have not.
    ///
    /// # Errors
    /// `Missing` where none is pending under this id; `Coded` where OpenAI cannot be asked; `WrongKey`; those of the shelf.
    pub async fn finish_openai(&self, tenant: &TenantId, id: &str) -> Result<Option<u64>, Refusal> {
        let kept = self.shelves.read::<OpenAiLogins>(tenant).await?;
        let device = kept.pending(id, unix_ms()).ok_or_else(missing)?;
        let sealing = self.sealing(tenant);
        let (auth_id, user_code) = (sealing.open(&device.auth_id)?, sealing.open(&device.user_code)?);
        let Some(tokens) = self.openai.poll(&auth_id, &user_code).await? else { return Ok(None) };
        let login = Login::new(&sealing, &tokens, unix_ms());
        let finish = |kept: &mut OpenAiLogins| {
            if !kept.end(id) {
                return Ok(Change::Nothing(None));
            }
            kept.login = Some(login.clone());
            Ok(Change::Write(Some(login.expires_at)))
        };
        self.shelves.change(tenant, finish).await
    }

    /// Forgets the login and what is pending.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn forget_openai(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let forget =
            |kept: &mut OpenAiLogins| Ok(if kept.forget() { Change::Write(()) } else { Change::Nothing(()) });
        self.shelves.change(tenant, forget).await
    }

    /// When the token of the login ends, in milliseconds since 1970; `None` without a login that works.
    ///
    /// # Errors
    /// `WrongKey`, those of the shelf.
    pub async fn openai_until(&self, tenant: &TenantId) -> Result<Option<u64>, Refusal> {
        match self.fresh(tenant).await {
            Ok(login) => Ok(login.map(|login| login.expires_at)),
            Err(Refusal::Coded { .. }) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// `None` without a login.
    ///
    /// # Errors
    /// `Coded` where a token that has ended could not be refreshed; `WrongKey`; those of the shelf.
    pub async fn openai_token(&self, tenant: &TenantId) -> Result<Option<Token>, Refusal> {
        let Some(login) = self.fresh(tenant).await? else { return Ok(None) };
        let access = self.sealing(tenant).open(&login.access_token)?;
        Ok(Some(Token { account: provider::account_of(&access), access }))
    }

    /// The login with a token that is good for a while.
    async fn fresh(&self, tenant: &TenantId) -> Result<Option<Login>, Refusal> {
        let Some(old) = self.login(tenant).await? else { return Ok(None) };
        if old.is_good(unix_ms()) {
            return Ok(Some(old));
        }
        let sealing = self.sealing(tenant);
        let tokens = match self.openai.refresh(&sealing.open(&old.refresh_token)?).await {
            Ok(tokens) => tokens,
            Err(refusal) => {
                let other = self.login(tenant).await?.filter(|login| login.is_good(unix_ms()));
                return other.map(Some).ok_or(refusal);
            }
        };
        let new = old.refreshed(&sealing, &tokens, unix_ms());
        let keep = |kept: &mut OpenAiLogins| {
            if kept.login.as_ref() != Some(&old) {
                return Ok(Change::Nothing(kept.login.clone()));
            }
            kept.login = Some(new.clone());
            Ok(Change::Write(Some(new.clone())))
        };
        self.shelves.change(tenant, keep).await
    }

    async fn login(&self, tenant: &TenantId) -> Result<Option<Login>, Refusal> {
        Ok(self.shelves.read::<OpenAiLogins>(tenant).await?.login)
    }

    fn sealing(&self, tenant: &TenantId) -> Sealing<'_> {
        self.shelves.sealing::<OpenAiLogins>(tenant)
    }
}

fn missing() -> Refusal {
    Refusal::Missing("Subscription device login not found or expired".to_owned())
}
