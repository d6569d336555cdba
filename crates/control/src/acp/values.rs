//! The values of an agent's secrets. Clients name most of them by where they are: stored here, for their own tenant, or with
//! another server. One that cannot be had is left out, as in the peer: the agent may do without.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outbound::{Outbound, add_headers};
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use types::TenantId;
use types::secrets::SecretSource;

use crate::Refusal;
use crate::ground::Ground;
use crate::slots::Slots;
use crate::tenant_secrets::TenantSecrets;

/// For all that are with other servers.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 64 * 1024;
/// Bytes of all of them together.
const MOST: usize = 256 << 10;
/// Requests of a tenant that wait for other servers at one time; more are refused.
const MOST_AT_ONCE: usize = 8;
/// Where this server gives out secrets.
const OWN_PATH: &str = "/api/settings/secrets/";
/// A login with ChatGPT, which stays with this server.
const RENEWED_BEFORE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
const KEPT_LOGIN: &str = "CODEX_AUTH_JSON";

const TOO_LARGE: Refusal = Refusal::TooLarge("The secrets of an agent may have at most 256 KiB together.");

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Values {
    outbound: Outbound,
    stored: TenantSecrets,
    slots: Slots,
}

impl Values {
    pub fn new(ground: &Ground) -> Self {
        Self {
            outbound: ground.outbound.clone(),
            stored: TenantSecrets::new(ground),
            slots: Slots::new(MOST_AT_ONCE),
        }
    }

    /// # Errors
    /// Those of the shelf; `TooLarge`; `Overloaded` where too many wait for other servers.
    pub async fn of(
        &self,
        tenant: &TenantId,
        sources: &BTreeMap<String, SecretSource>,
        own: &str,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let is_elsewhere = |source: &SecretSource| match source {
            SecretSource::StaticSecret { .. } => false,
            SecretSource::LookupSecret { url, .. } => stored_name(url, own).is_none(),
        };
        let _slot = match sources.values().any(is_elsewhere) {
            true => Some(self.slots.take(tenant)?),
            false => None,
        };
        let (mut values, mut left) = (BTreeMap::new(), MOST);
        let give_up = Instant::now() + PATIENCE;
        for (name, source) in sources {
            let value = match source {
                SecretSource::StaticSecret { value, .. } => value.clone(),
                SecretSource::LookupSecret { url, headers, .. } => match stored_name(url, own) {
                    Some(stored) => self.stored(tenant, &stored).await?,
                    None => timeout_at(give_up, self.look_up(url, headers)).await.unwrap_or_default(),
                },
            };
            if value.is_none() {
                tracing::warn!(secret = %name, "a secret of an agent cannot be had");
            }
            left =
                value.as_ref().map_or(Some(left), |value| left.checked_sub(value.len())).ok_or(TOO_LARGE)?;
            values.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(values)
    }

    /// A login that the tenant keeps is meant where Codex is asked.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn add_kept_login(
        &self,
        tenant: &TenantId,
        settings: &Value,
        values: &mut BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if settings.get("acp_server").and_then(Value::as_str) == Some("codex") {
            let kept = self.stored(tenant, KEPT_LOGIN).await?;
            values.extend(kept.map(|login| (KEPT_LOGIN.to_owned(), login)));
        }
        Ok(())
    }

    async fn stored(&self, tenant: &TenantId, name: &str) -> Result<Option<String>, Refusal> {
        match self.stored.value(tenant, name).await {
            Ok(value) => {
                let value = value.expose_secret().to_owned();
                // What the agent renewed would be lost, and with it the login.
                let would_be_renewed = name == KEPT_LOGIN && !lasts(&value, SystemTime::now());
                Ok(Some(value).filter(|_| !would_be_renewed))
            }
            Err(Refusal::Missing(_) | Refusal::WrongKey) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    async fn look_up(&self, url: &str, headers: &BTreeMap<String, String>) -> Option<String> {
        let url = Url::parse(url).ok()?;
        let mut fields = HeaderMap::new();
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        add_headers(&mut fields, named).ok()?;
        let request = self.outbound.client(&url).ok()?.get(url).headers(fields);
        let mut answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.ok()? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST {
                return None;
            }
        }
        String::from_utf8(body).ok()
    }
}

/// Whether nothing of a login with ChatGPT needs to be renewed soon. Codex does it some days before its token ends.
fn lasts(login: &str, now: SystemTime) -> bool {
    let end = || {
        let login: Value = serde_json::from_str(login).ok()?;
        let claims = login.pointer("/tokens/access_token")?.as_str()?.split('.').nth(1)?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        claims.get("exp")?.as_u64()
    };
    let needed = now.duration_since(UNIX_EPOCH).unwrap_or_default() + RENEWED_BEFORE;
    end().is_some_and(|end| end > needed.as_secs())
}

/// The name of a secret that this server keeps, where the URL leads to it. By how the client calls it: behind a mapped port
/// or a proxy the server knows no address of its own.
fn stored_name(url: &str, own: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let own = Url::parse(&format!("{}://{own}", url.scheme())).ok()?;
    let is_own = matches!(url.scheme(), "http" | "https")
        && url.host() == own.host()
        && url.port_or_known_default() == own.port_or_known_default();
    let name =
        url.path().strip_prefix(OWN_PATH).filter(|name| is_own && !name.is_empty() && !name.contains('/'));
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_an_agent_would_renew_is_not_given_to_it() {
        let login = |end: u64| {
            let claims = URL_SAFE_NO_PAD.encode(serde_json::json!({"exp": end}).to_string());
            serde_json::json!({"tokens": {"access_token": format!("h.{claims}.s")}}).to_string()
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(lasts(&login(1_000_000 + 5 * 86_400), now));
        for login in [login(1_000_000 + 86_400), login(1), "{}".to_owned(), "no login".to_owned()] {
            assert!(!lasts(&login, now), "{login}");
        }
    }

    #[test]
    fn a_url_of_this_server_is_known_by_how_the_client_calls_it() {
        let name = |url: &str| stored_name(url, "127.0.0.1:8000");
        assert_eq!(name("http://127.0.0.1:8000/api/settings/secrets/A").as_deref(), Some("A"));
        for other in [
            "http://127.0.0.1:8001/api/settings/secrets/A",
            "http://127.0.0.1/api/settings/secrets/A",
            "http://x.example:8000/api/settings/secrets/A",
            "http://127.0.0.1:8000/api/settings/secrets/",
            "http://127.0.0.1:8000/api/settings/secrets/A/B",
            "http://127.0.0.1:8000/other",
            "no url",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
        assert_eq!(
            stored_name("https://x.example/api/settings/secrets/A", "x.example").as_deref(),
            Some("A")
        );
    }
}
