//! Who gives out tokens for a server.

use std::net::IpAddr;

use outbound::Outbound;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use types::hex;

use super::call::{Found, fetch};
use crate::{Challenge, Error};

/// Bytes of an address or of a scope that a provider names: what is kept of one must not be large.
const MOST_TEXT: usize = 4 << 10;

/// Letters that tell one provider from all others.
const OWN: usize = 32;

/// Ways in which clients show who they are that there is anything to know about.
const METHODS: [&str; 4] = ["none", "client_secret_post", "client_secret_basic", "private_key_jwt"];

/// How it is proven that who brings a code is who has begun the login.
pub(super) const S256: &str = "S256";

/// Where a login is made, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// What it calls itself; a server that is its own and says nothing of that is called by its origin.
    #[serde(default)]
    pub(super) issuer: Option<String>,
    pub(super) authorization: String,
    pub(super) token: String,
    pub(super) registration: Option<String>,
    /// How clients may show who they are; nothing: it is not said.
    pub(super) methods: Vec<String>,
    /// What is asked for where nobody says otherwise.
    pub(super) scope: Option<String>,
    /// What tokens are for.
    pub(super) resource: String,
    /// Where those are who have named it and its places: the server, whoever has described that, and it itself. Of these the one
    /// whose word counts for the least.
    #[serde(default)]
    pub(super) named_from: Option<IpAddr>,
    /// Whether it says of each answer that it is its own.
    #[serde(default)]
    pub(super) signs_answers: bool,
    /// Whether an address at which a client describes itself will do for its id.
    pub(super) takes_documents: bool,
}

impl Provider {
    /// Finds it.
    ///
    /// # Errors
    /// Where the server or the provider cannot be asked, or one does not belong to the other.
    pub async fn of(outbound: &Outbound, server: &Url, challenge: &Challenge) -> Result<Self, Error> {
        let server = &bare(server);
        let described = resource(outbound, server, challenge).await?;
        let mut named_from = challenge.from;
        if let Some(Found { from, .. }) = described {
            named_from = Outbound::less_trusted(named_from, from);
        }
        let resource = described.map(|found| found.says);
        let named = resource.as_ref().and_then(|resource| first_text(resource, "authorization_servers"));
        let issuer = named.map(|named| as_safe_as(server, Url::parse(named).map_err(|_| strange())?));
        let issuer = issuer.transpose()?;
        let outbound = &outbound.named_by(named_from);
        let mut found = None;
        for url in places(issuer.as_ref(), server) {
            found = fetch(outbound, &url).await?;
            if found.is_some() {
                break;
            }
        }
        if let Some(Found { from, .. }) = found {
            named_from = Outbound::less_trusted(named_from, from);
        }
        let found = found.map(|found| found.says).unwrap_or_default();
        if !is_named(named, server, &found) {
            return Err(Error::Login("is not the one that the server names".to_owned()));
        }
        // Who says nothing of them may know them all the same: they are sent in any case.
        let proofs = texts(&found, "code_challenge_methods_supported");
        if proofs.is_some_and(|proofs| !proofs.iter().any(|proof| proof == S256)) {
            return Err(Error::Login("takes no proof of who has begun it (S256)".to_owned()));
        }
        let base = issuer.as_ref().unwrap_or(server);
        let endpoint = |name: &str, otherwise: &str| {
            let url = match text(&found, name) {
                Some(url) => as_safe_as(server, Url::parse(url).map_err(|_| strange())?)?,
                None => base.join(otherwise).map_err(|_| strange())?,
            };
            // A server that names nobody speaks for itself alone: for others they have to.
            match named.is_some() || url.origin() == server.origin() {
                true => Ok(url),
                false => Err(Error::Login("is elsewhere, and the server does not name it".to_owned())),
            }
        };
        let scopes = resource.as_ref().and_then(|resource| texts(resource, "scopes_supported"));
        let scopes = scopes.or_else(|| texts(&found, "scopes_supported")).map(|scopes| scopes.join(" "));
        let fits = |text: &String| !text.is_empty() && text.len() <= MOST_TEXT;
        let mut methods = texts(&found, "token_endpoint_auth_methods_supported").unwrap_or_default();
        methods.retain(|method| METHODS.contains(&method.as_str()));
        methods.truncate(METHODS.len());
        Ok(Self {
            issuer: match text(&found, "issuer").or(named) {
                Some(issuer) => Some(issuer.to_owned()),
                None => Some(server.origin().ascii_serialization()),
            },
            authorization: endpoint("authorization_endpoint", "/authorize")?.into(),
            token: endpoint("token_endpoint", "/token")?.into(),
            registration: match found.is_empty() || found.contains_key("registration_endpoint") {
                true => Some(endpoint("registration_endpoint", "/register")?.into()),
                false => None,
            },
            methods,
            scope: challenge.scope.clone().or(scopes).filter(fits),
            resource: resource
                .as_ref()
                .and_then(|resource| text(resource, "resource"))
                .unwrap_or(server.as_str())
                .to_owned(),
            named_from,
            signs_answers: says(&found, "authorization_response_iss_parameter_supported"),
            takes_documents: says(&found, "client_id_metadata_document_supported"),
        })
    }

    /// Where the browser comes back to from it: below `redirect`. A code that another one has given comes back elsewhere, so it is not
    /// shown to this one, unless this one has registered its own place there: only `iss` tells that.
    pub(super) fn own(&self, redirect: &Url) -> Url {
        let digest = hex(&Sha256::digest(self.issuer.as_deref().unwrap_or(&self.token)));
        let mut own = redirect.clone();
        own.set_path(&format!("{}/{}", redirect.path(), digest.get(..OWN).unwrap_or_default()));
        own
    }
}

/// How the server describes itself; `None` where it does not.
async fn resource(outbound: &Outbound, server: &Url, challenge: &Challenge) -> Result<Option<Found>, Error> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let mut places = Vec::new();
    let told = challenge.metadata.as_ref().and_then(|url| Url::parse(url).ok());
    places.extend(told.filter(|url| url.origin() == server.origin()));
    if server.path() != "/" {
        places.extend(server.join(&format!("{WELL_KNOWN}{}", server.path())).ok());
    }
    places.extend(server.join(WELL_KNOWN).ok());
    for place in places {
        let Some(found) = fetch(outbound, &place).await? else { continue };
        let said = text(&found.says, "resource").and_then(|url| Url::parse(url).ok());
        return match said.is_some_and(|said| is_part_of(server, &said)) {
            true => Ok(Some(found)),
            false => Err(Error::Login("gives out tokens for another server".to_owned())),
        };
    }
    Ok(None)
}

/// Without what may be a credential: this is told to providers and browsers.
fn bare(server: &Url) -> Url {
    let mut bare = server.clone();
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_query(None);
    bare.set_fragment(None);
    bare
}

/// Whether a provider is the one that a server has named, by what it says of itself. Where the server has named none it is
/// that itself.
fn is_named(named: Option<&str>, server: &Url, found: &Map<String, Value>) -> bool {
    let issuer = text(found, "issuer");
    match named {
        Some(named) => issuer.is_some_and(|said| said.trim_end_matches('/') == named.trim_end_matches('/')),
        None => issuer.is_none_or(|said| Url::parse(said).is_ok_and(|said| said.origin() == server.origin())),
    }
}

/// Whether tokens for `resource` are meant for `server`.
pub(super) fn is_part_of(server: &Url, resource: &Url) -> bool {
    let with_slash = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
    server.origin() == resource.origin() && with_slash(server).starts_with(&with_slash(resource))
}

/// Where a provider may describe itself.
fn places(issuer: Option<&Url>, server: &Url) -> Vec<Url> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let Some(issuer) = issuer else { return server.join(OAUTH).into_iter().collect() };
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![format!("{OAUTH}{path}"), format!("{OPENID}{path}")];
    if !path.is_empty() {
        places.push(format!("{path}{OPENID}"));
    }
    places.iter().filter_map(|place| issuer.join(place).ok()).collect()
}

/// Codes and tokens go nowhere where others can read them, unless those of the server do so anyway.
fn as_safe_as(server: &Url, url: Url) -> Result<Url, Error> {
    match (url.scheme(), server.scheme()) {
        ("https", _) | ("http", "http") => Ok(url),
        ("http", _) => Err(Error::Login("is not reached by https, as the server is".to_owned())),
        _ => Err(strange()),
    }
}

fn strange() -> Error {
    Error::Login("does not describe itself".to_owned())
}

fn says(object: &Map<String, Value>, field: &str) -> bool {
    object.get(field) == Some(&Value::Bool(true))
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str).filter(|text| text.len() <= MOST_TEXT)
}

fn first_text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object.get(field)?.as_array()?.first()?.as_str().filter(|text| text.len() <= MOST_TEXT)
}

fn texts(object: &Map<String, Value>, field: &str) -> Option<Vec<String>> {
    let list = object.get(field)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_provider_is_looked_for_where_the_standards_say() {
        let all = |issuer: Option<&str>| -> Vec<String> {
            let issuer = issuer.map(url);
            places(issuer.as_ref(), &url("https://s.example/mcp")).iter().map(Url::to_string).collect()
        };
        assert_eq!(all(None), ["https://s.example/.well-known/oauth-authorization-server"]);
        assert_eq!(
            all(Some("https://a.example")),
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            all(Some("https://a.example/t/")),
            [
                "https://a.example/.well-known/oauth-authorization-server/t",
                "https://a.example/.well-known/openid-configuration/t",
                "https://a.example/t/.well-known/openid-configuration"
            ]
        );
    }

    #[test]
    fn tokens_for_a_server_are_for_what_is_below_it_alone() {
        let server = url("https://s.example/mcp/one");
        for resource in ["https://s.example", "https://s.example/mcp", "https://s.example/mcp/one/"] {
            assert!(is_part_of(&server, &url(resource)), "{resource}");
        }
        for resource in ["https://s.example/m", "https://s.example/mcp/onetwo", "https://t.example/mcp"] {
            assert!(!is_part_of(&server, &url(resource)), "{resource}");
        }
    }

    #[test]
    fn a_provider_says_that_it_is_the_one_that_was_named() {
        let found = |issuer: Value| serde_json::json!({"issuer": issuer}).as_object().unwrap().clone();
        let (named, server) = (Some("https://a.example"), &url("https://s.example/mcp"));
        assert!(is_named(named, server, &found("https://a.example/".into())));
        for other in ["https://b.example".into(), Value::Null] {
            assert!(!is_named(named, server, &found(other.clone())), "{other}");
        }
        assert!(!is_named(named, server, &Map::new()), "it does not describe itself");
        assert!(is_named(None, server, &found("https://s.example".into())));
        assert!(is_named(None, server, &Map::new()));
        assert!(!is_named(None, server, &found("https://a.example".into())), "nobody has named it");
    }

    #[test]
    fn nobody_is_told_what_may_be_a_credential_in_an_address() {
        assert_eq!(bare(&url("https://u:p@s.example/mcp?key=k#f")).as_str(), "https://s.example/mcp");
    }

    #[test]
    fn a_browser_is_sent_to_pages_alone() {
        for server in ["http://s.example", "https://s.example"] {
            assert!(as_safe_as(&url(server), url("javascript:alert(1)")).is_err());
            assert!(as_safe_as(&url(server), url("https://a.example/authorize")).is_ok());
        }
    }

    #[test]
    fn nothing_of_a_login_goes_in_the_clear_where_the_server_does_not() {
        let plain = || url("http://a.example/token");
        assert!(as_safe_as(&url("http://s.example"), plain()).is_ok());
        assert!(matches!(as_safe_as(&url("https://s.example"), plain()), Err(Error::Login(_))));
    }
}
