//! The clients that keep to the rule.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};

use crate::resolver::Resolver;
use crate::rule::{Private, Refused};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_CONNECTION: Duration = Duration::from_secs(60);
const IDLE_CONNECTIONS_PER_HOST: usize = 8;

/// Gives out clients that call what the rule allows. Cheap to clone; a value costs nothing until its first call. TLS roots
/// are loaded by the first https call only, so plain http works on machines without CA files.
#[derive(Clone, Default)]
pub struct Outbound(Arc<Inner>);

#[derive(Default)]
struct Inner {
    private: Private,
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No client can be made, say because there are no TLS roots.
    #[error("no connection can be made")]
    Setup(#[source] reqwest::Error),
}

impl Outbound {
    #[must_use]
    pub fn new(private: Private) -> Self {
        Self(Arc::new(Inner { private, ..Inner::default() }))
    }

    /// What `url` may be called with: it follows no redirects, sends no referer, and has no time limit of its own but for
    /// connecting.
    ///
    /// # Errors
    /// Where the URL may not be called, or no client can be made.
    pub fn client(&self, url: &Url) -> Result<&Client, Error> {
        self.0.private.check(url)?;
        match url.scheme() {
            "https" => self.cached(&self.0.tls, |builder| builder),
            _ => self.cached(&self.0.plain, |builder| builder.tls_certs_only([])),
        }
    }

    fn cached<'a>(
        &'a self,
        cell: &'a OnceLock<Client>,
        finish: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<&'a Client, Error> {
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
            .dns_resolver(Arc::new(Resolver(self.0.private)));
        let client = finish(builder).build().map_err(Error::Setup)?;
        Ok(cell.get_or_init(|| client))
    }
}

/// Whether a call failed because a name leads where nothing is called.
#[must_use]
pub fn cause_of_refusal(error: &reqwest::Error) -> Option<Refused> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<Refused>()).copied().next()
}
