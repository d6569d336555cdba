//! Secrets whose value another server tells.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;

const DEADLINE: Duration = Duration::from_secs(30);
const LARGEST_VALUE: usize = 64 * 1024;

/// Never names the URL or a header: both may hold a credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the url or a header of the secret's source is not valid")]
    Invalid,
    #[error("the secret's server cannot be reached")]
    Unreachable,
    #[error("the secret's server answered {0}")]
    Refused(u16),
    #[error("the value is not text of at most {LARGEST_VALUE} bytes")]
    NotAValue,
}

/// The client for lookups, made on first use.
#[derive(Default)]
pub(super) struct Lookups {
    client: OnceLock<reqwest::Client>,
}

impl Lookups {
    /// The body of a GET of `url` with these headers.
    pub(super) async fn get(&self, url: &str, headers: &BTreeMap<String, String>) -> Result<String, Error> {
        let url = reqwest::Url::parse(url).map_err(|_| Error::Invalid)?;
        let mut fields = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(|_| Error::Invalid)?;
            fields.insert(name, HeaderValue::from_str(value).map_err(|_| Error::Invalid)?);
        }
        let request = self.client()?.get(url).headers(fields).timeout(DEADLINE).send();
        let mut answer = request.await.map_err(|_| Error::Unreachable)?;
        if !answer.status().is_success() {
            return Err(Error::Refused(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|_| Error::Unreachable)? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST_VALUE {
                return Err(Error::NotAValue);
            }
        }
        String::from_utf8(body).map_err(|_| Error::NotAValue)
    }

    /// Follows no redirects: the headers are meant for this server alone.
    fn client(&self) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder().redirect(Policy::none()).pool_max_idle_per_host(0);
        let client = builder.build().map_err(|_| Error::Unreachable)?;
        Ok(self.client.get_or_init(|| client))
    }
}
