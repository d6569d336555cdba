//! Hosts that may be on a private address although others may not.

use reqwest::Url;

/// A host, at one port or at any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Of `name`, `name:port`, `address` or `[address]:port`; `None` for what is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(&format!("http://{text}/")).ok()?;
        let name = url.host_str()?.to_owned();
        // The parser leaves out the port that http has anyway.
        let port = text.rsplit_once(':').filter(|(rest, _)| !rest.contains(':') || rest.ends_with(']'));
        let port = port.map(|(_, port)| port.parse().ok()).unwrap_or_default();
        let written = port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        (text.eq_ignore_ascii_case(&written)).then_some(Self { name, port })
    }

    pub(crate) fn is_of(&self, url: &Url) -> bool {
        let is_port = self.port.is_none_or(|port| url.port_or_known_default() == Some(port));
        is_port && url.host_str() == Some(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_alone_or_with_a_port_and_nothing_else() {
        let url = |text: &str| Url::parse(text).unwrap();
        let any = Host::parse("Models.example").unwrap();
        assert!(
            any.is_of(&url("http://models.example/v1")) && any.is_of(&url("https://MODELS.example:8000/"))
        );
        let one = Host::parse("models.example:80").unwrap();
        assert!(one.is_of(&url("http://models.example/v1")) && !one.is_of(&url("https://models.example/v1")));
        assert!(Host::parse("[fd00::1]:8000").unwrap().is_of(&url("http://[fd00::1]:8000/")));
        for host in ["models.example.evil", "evil.models.example", "models.example@evil"] {
            assert!(!any.is_of(&url(&format!("http://{host}/"))), "{host}");
        }
        for text in ["", "http://a", "a/b", "u@a", "a:b", "a:99999", "*.a?", "a b", "a#", "fd00::1"] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }
}
