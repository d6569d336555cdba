//! How clients reach the server: directly, or by a proxy that says so.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;

use crate::cors;

/// Cheap to clone.
#[derive(Clone)]
pub struct Front {
    /// A path all routes are also found below, as `/prefix`; empty for none.
    pub root_path: Arc<str>,
    /// Whether `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-For` are believed.
    pub trust_forwarded_headers: bool,
    /// Where a proxy shows the server: its origin and the path.
    pub web_url: Option<Arc<str>>,
}

impl Front {
    /// Scheme, host and root path, as the client sees them.
    #[must_use]
    pub fn base_url(&self, headers: &HeaderMap) -> String {
        let scheme = self.forwarded(headers, "x-forwarded-proto").unwrap_or("http");
        let host = self.host(headers).unwrap_or("localhost");
        format!("{scheme}://{host}{}", self.root_path)
    }

    /// Under which addresses a client may know this server: the one that it has called, with the root path and without, and the
    /// one that the operator names.
    #[must_use]
    pub fn own_urls(&self, headers: &HeaderMap) -> Vec<String> {
        let called = self.base_url(headers);
        let bare = called.strip_suffix(&*self.root_path).unwrap_or(&called).to_owned();
        [called, bare].into_iter().chain(self.web_url.as_deref().map(str::to_owned)).collect()
    }

    /// Whether the browser takes the connection for a secure one: https in front of us, or loopback.
    #[must_use]
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        let host = self.host(headers).map(cors::without_port);
        self.is_encrypted(headers) || matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// Whether a proxy that is believed says that it was asked over https.
    #[must_use]
    pub fn is_encrypted(&self, headers: &HeaderMap) -> bool {
        let proto = self.forwarded(headers, "x-forwarded-proto");
        proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
    }

    /// A path without the root path, if it has it.
    #[must_use]
    pub fn below_root<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&*self.root_path).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    /// Who has asked the proxy in front, as that one has added it to what it was told; without one, the `peer`.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut lines = headers.get_all("x-forwarded-for").iter().filter(|_| self.trust_forwarded_headers);
        // What stands before the last comma is the client's own, and may be no text.
        let last = lines.next_back().and_then(|line| line.as_bytes().rsplit(|&byte| byte == b',').next());
        let last = last.and_then(|last| str::from_utf8(last).ok());
        last.and_then(|last| address(last.trim())).unwrap_or(peer)
    }

    fn host<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.forwarded(headers, "x-forwarded-host").or_else(|| text(headers, HOST.as_str()))
    }

    fn forwarded<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        text(headers, name).filter(|_| self.trust_forwarded_headers)
    }
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn of_addresses_that_are_passed_on_the_last_one_counts_and_only_where_a_proxy_is_trusted() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let client = |trusted, lines: &[&[u8]]| {
            let front = Front { root_path: "".into(), trust_forwarded_headers: trusted, web_url: None };
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
            }
            front.client(&headers, peer).to_string()
        };
        assert_eq!(client(false, &[b"1.2.3.4"]), "10.0.0.1");
        for (lines, meant) in [
            (&[b"9.9.9.9, 1.2.3.4" as &[u8]][..], "1.2.3.4"),
            (&[b"9.9.9.9", b"8.8.8.8,1.2.3.4:567"], "1.2.3.4"),
            (&[b"2001:db8::1"], "2001:db8::1"),
            (&[b"[2001:db8::1]:80"], "2001:db8::1"),
            (&[b"[2001:db8::1]"], "2001:db8::1"),
            (&[b"1.2.3.4, unknown"], "10.0.0.1"),
            (&[b"\xff, 1.2.3.4"], "1.2.3.4"),
            (&[b"1.2.3.4, \xff"], "10.0.0.1"),
            (&[b"1.2.3.4\xff"], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(true, lines), meant, "{lines:?}");
        }
    }
}
