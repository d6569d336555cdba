//! The clients that keep to the rule.

use std::error::Error as _;
use std::net::IpAddr;
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
#[derive(Clone)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    private: Private,
    /// Connections that are kept to one host.
    idle: usize,
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
    /// The one that calls public addresses alone.
    public: OnceLock<Outbound>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new(Private::default())
    }
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
        Self::with(private, IDLE_CONNECTIONS_PER_HOST)
    }

    fn with(private: Private, idle: usize) -> Self {
        let (plain, tls, public) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { private, idle, plain, tls, public }))
    }

    /// The same, but no connection stays open for a next call: for who calls, as often as strangers like, what they name.
    #[must_use]
    pub fn without_idle(&self) -> Self {
        Self::with(self.0.private, 0)
    }

    /// For addresses that the server at `from` has named, and not its user: they are private only where its own is. A server
    /// of which it is not known where it is counts as a public one.
    #[must_use]
    pub fn named_by(&self, from: Option<IpAddr>) -> Self {
        match is_near(from) {
            true => self.clone(),
            false => self.0.public.get_or_init(|| Self::with(Private::Refused, self.0.idle)).clone(),
        }
    }

    /// Of two who name addresses together the one whose word counts for less: one that is not on the own network.
    #[must_use]
    pub fn less_trusted(one: Option<IpAddr>, other: Option<IpAddr>) -> Option<IpAddr> {
        if is_near(one) { other } else { one }
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
            .pool_max_idle_per_host(self.0.idle)
            .dns_resolver(Arc::new(Resolver(self.0.private)));
        let client = finish(builder).build().map_err(Error::Setup)?;
        Ok(cell.get_or_init(|| client))
    }
}

fn is_near(address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| Private::Refused.check_address(address).is_err())
}

/// Whether a call failed because a name leads where nothing is called.
#[must_use]
pub fn cause_of_refusal(error: &reqwest::Error) -> Option<Refused> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<Refused>()).copied().next()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn what_a_server_has_named_is_private_only_where_the_server_is() {
        let outbound = Outbound::default();
        let here = Url::parse("http://127.0.0.1:9/").unwrap();
        let elsewhere = Url::parse("http://1.1.1.1/").unwrap();
        for from in [Some("1.1.1.1"), Some("2606:4700::1111"), None] {
            let named = outbound.named_by(from.map(|from| from.parse().unwrap()));
            assert!(matches!(named.client(&here), Err(Error::Refused(Refused::Private))), "{from:?}");
            assert!(named.client(&elsewhere).is_ok());
        }
        for from in ["127.0.0.1", "192.168.1.5", "::1"] {
            assert!(outbound.named_by(Some(from.parse().unwrap())).client(&here).is_ok(), "{from}");
        }
        let strict = Outbound::new(Private::Refused);
        assert!(strict.named_by(Some("127.0.0.1".parse().unwrap())).client(&here).is_err());
    }

    #[test]
    fn of_those_who_name_an_address_together_each_has_to_be_on_the_own_network() {
        let [near, far] = ["10.0.0.1", "1.1.1.1"].map(|address| Some(address.parse().unwrap()));
        for (one, other, counts) in
            [(near, near, near), (near, far, far), (far, near, far), (near, None, None), (None, near, None)]
        {
            assert_eq!(Outbound::less_trusted(one, other), counts);
        }
    }

    #[tokio::test]
    async fn who_keeps_no_connections_hangs_up_after_the_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let answered = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1_024];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            stream.read(&mut asked).await.unwrap()
        });
        let outbound = Outbound::default().without_idle();
        let answer = outbound.client(&url).unwrap().get(url.clone()).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
        let rest = tokio::time::timeout(IDLE_CONNECTION / 4, answered).await.unwrap().unwrap();
        assert_eq!(rest, 0, "the connection is closed");
    }
}
