//! What a server says when it refuses who has not logged in.

use std::net::IpAddr;

use reqwest::Response;
use reqwest::header::WWW_AUTHENTICATE;

/// The parts of a refusal that tell how to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the server describes itself.
    pub metadata: Option<String>,
    pub scope: Option<String>,
    /// Where the server is that has said it, if that is known.
    pub from: Option<IpAddr>,
}

impl Challenge {
    pub(crate) fn read(response: &Response) -> Self {
        let said = response.headers().get(WWW_AUTHENTICATE).and_then(|said| said.to_str().ok());
        let said = said.unwrap_or_default();
        Self {
            metadata: parameter(said, "resource_metadata"),
            scope: parameter(said, "scope"),
            from: response.remote_addr().map(|address| address.ip()),
        }
    }
}

/// `name="value"` or `name=value`, behind a blank or a comma.
fn parameter(said: &str, name: &str) -> Option<String> {
    let mut rest = said;
    while let Some((before, after)) = rest.split_once(name) {
        rest = after;
        let begins = before.is_empty() || before.ends_with([' ', ',']);
        let Some(value) = after.strip_prefix('=').filter(|_| begins) else { continue };
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split([' ', ',']).next(),
        };
        return value.filter(|value| !value.is_empty()).map(str::to_owned);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_whole_name() {
        let said =
            r#"Bearer error="invalid_token", myscope="no", scope="a b", resource_metadata=https://x/y, z=1"#;
        assert_eq!(parameter(said, "scope").as_deref(), Some("a b"));
        assert_eq!(parameter(said, "resource_metadata").as_deref(), Some("https://x/y"));
        assert_eq!(parameter(said, "realm"), None);
        assert_eq!(parameter("scope=", "scope"), None);
    }
}
