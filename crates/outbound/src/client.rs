//! The clients that keep to the rule.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};

use crate::hosts::Host;
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
    /// Those that may be private all the same.
    hosts: Vec<Host>,
    /// Connections that are kept to one host.
    idle: usize,
    plain: OnceLock<Client>,
    tls: OnceLock<Client>,
    /// The one that calls public addresses alone.
    public: OnceLock<Outbound>,
    /// The one that calls `hosts`.
    named: OnceLock<Outbound>,
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
        Self::with(private, Vec::new(), IDLE_CONNECTIONS_PER_HOST)
    }

    /// The same, but that these may be on a private address in any case.
    #[must_use]
    pub fn with_private(&self, hosts: Vec<Host>) -> Self {
        Self::with(self.0.private, hosts, self.0.idle)
    }

    fn with(private: Private, hosts: Vec<Host>, idle: usize) -> Self {
        let (plain, tls, public, named) =
            (OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { private, hosts, idle, plain, tls, public, named }))
    }

    /// The same, but no connection stays open for a next call: for who calls, as often as strangers like, what they name.
    #[must_use]
    pub fn without_idle(&self) -> Self {
        Self::with(self.0.private, self.0.hosts.clone(), 0)
    }

    /// For addresses that the server at `from` has named, and not its user: they are private only where its own is. A server
    /// of which it is not known where it is counts as a public one.
    #[must_use]
    pub fn named_by(&self, from: Option<IpAddr>) -> Self {
        match is_near(from) {
            true => self.clone(),
            false => {
                self.0.public.get_or_init(|| Self::with(Private::Refused, Vec::new(), self.0.idle)).clone()
            }
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
        if self.0.hosts.iter().any(|host| host.is_of(url)) {
            let named = || Self::with(Private::Allowed, Vec::new(), self.0.idle);
            return self.0.named.get_or_init(named).client(url);
        }
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

    #[tokio::test]
    async fn a_host_that_the_operator_has_named_may_be_private_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        });
        let url = |host: &str| Url::parse(&format!("http://{host}:{port}/")).unwrap();
        let named = vec![Host::parse(&format!("localhost:{port}")).unwrap()];
        let outbound = Outbound::new(Private::Refused).with_private(named).without_idle();
        let called = outbound.client(&url("localhost")).unwrap().get(url("localhost")).send().await.unwrap();
        assert_eq!(called.text().await.unwrap(), "ok");
        assert!(matches!(outbound.client(&url("127.0.0.1")), Err(Error::Refused(Refused::Private))));
        let elsewhere = Url::parse("http://localhost:9/").unwrap();
        let refused = outbound.client(&elsewhere).unwrap().get(elsewhere.clone()).send().await.unwrap_err();
        assert_eq!(cause_of_refusal(&refused), Some(Refused::Private), "another port");
        let metadata = vec![Host::parse("169.254.169.254").unwrap()];
        let never = Outbound::new(Private::Refused).with_private(metadata);
        let metadata = Url::parse("http://169.254.169.254/").unwrap();
        assert!(matches!(never.client(&metadata), Err(Error::Refused(Refused::Metadata))));
        let by_a_stranger = outbound.named_by(Some("1.1.1.1".parse().unwrap()));
        let refused = by_a_stranger.client(&url("localhost")).unwrap().get(url("localhost")).send().await;
        assert_eq!(cause_of_refusal(&refused.unwrap_err()), Some(Refused::Private));
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
