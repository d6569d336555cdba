//! Who we are to a provider.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outbound::Outbound;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::call::post_json;
use super::state::{TOKEN_ENDPOINT, client_fits, client_info, is_of};
use super::{Provider, Wish};
use crate::Error;

/// The one that is liked best first: who is given no secret has none to keep.
const METHODS: [&str; 3] = ["none", "client_secret_post", "client_secret_basic"];

const NAME: &str = "Manyhands";

/// What a provider knows us as: its id, perhaps a secret, and what was said when it was made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Client {
    pub(super) info: Map<String, Value>,
}

impl Client {
    /// One that stands in settings: named by the user, or left by an earlier login with this provider.
    ///
    /// # Errors
    /// Where the user has named one that an earlier login was made with at another provider: its secret is for that.
    pub(super) fn kept(wish: &Wish<'_>, provider: &Provider, redirect: &Url) -> Result<Option<Self>, Error> {
        if let Some(id) = wish.setting("client_id") {
            let known =
                wish.known.as_ref().filter(|info| info.get("client_id").and_then(Value::as_str) == Some(id));
            if known.is_some_and(|info| info.contains_key(TOKEN_ENDPOINT) && !is_of(info, &provider.token)) {
                return Err(Error::Login("is another one than that which knows the client".to_owned()));
            }
            let mut info = described(wish, redirect, None);
            info.insert("client_id".to_owned(), id.into());
            let secret = wish.setting("client_secret");
            info.extend(secret.map(|secret| ("client_secret".to_owned(), secret.into())));
            let method = if secret.is_some() { "client_secret_post" } else { "none" };
            info.entry("token_endpoint_auth_method").or_insert_with(|| method.into());
            return Ok(Some(Self { info }));
        }
        let comes_back = |uri: &Value| uri.as_str() == Some(redirect.as_str());
        let fits = |info: &&Map<String, Value>| {
            let redirects = info.get("redirect_uris").and_then(Value::as_array);
            is_of(info, &provider.token)
                && info.get("client_id").is_some_and(Value::is_string)
                // Of one that says nothing about it the provider has to decide.
                && redirects.is_none_or(|redirects| redirects.iter().any(comes_back))
        };
        Ok(wish.known.as_ref().filter(fits).map(|info| Self { info: info.clone() }))
    }

    /// Makes one.
    ///
    /// # Errors
    /// Where the provider makes none.
    pub(super) async fn make(
        outbound: &Outbound,
        provider: &Provider,
        wish: &Wish<'_>,
        redirect: &Url,
    ) -> Result<Self, Error> {
        if let Some(url) = wish.document(provider) {
            let mut info = described(wish, redirect, Some("none"));
            info.insert("client_id".to_owned(), url.into());
            return Ok(Self { info });
        }
        let url = provider
            .registration
            .as_deref()
            .ok_or_else(|| Error::Login("registers no clients: name one by client_id".to_owned()))?;
        let url = Url::parse(url).map_err(|_| Error::Invalid)?;
        let is_offered = |method: &&str| provider.methods.iter().any(|offered| offered == method);
        let asked = described(wish, redirect, METHODS.into_iter().find(is_offered));
        let made = post_json(outbound, &url, &asked).await?;
        if !made.get("client_id").is_some_and(Value::is_string) {
            return Err(Error::Login("registers a client without an id".to_owned()));
        }
        let mut info = asked;
        info.extend(made);
        if !client_fits(&info) {
            return Err(Error::Login("describes a client at too great a length".to_owned()));
        }
        Ok(Self { info: client_info(info) })
    }

    pub(super) fn id(&self) -> &str {
        self.text("client_id").unwrap_or_default()
    }

    /// How it shows who it is when it asks for tokens: a header, or a field of the form.
    ///
    /// # Errors
    /// Where that takes a key that nobody has.
    pub(super) fn proof(&self) -> Result<Proof<'_>, Error> {
        let secret = self.text("client_secret");
        match (self.text("token_endpoint_auth_method"), secret) {
            (Some("private_key_jwt"), _) => {
                Err(Error::Login("wants a signature by a key, which is not supported".to_owned()))
            }
            (Some("none"), _) | (_, None) => Ok(Proof::None),
            (Some("client_secret_post"), Some(secret)) => Ok(Proof::Field(secret)),
            // What is meant where nothing is said.
            (_, Some(secret)) => {
                let both = format!("{}:{}", encoded(self.id()), encoded(secret));
                let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(both)))
                    .map_err(|_| Error::Invalid)?;
                value.set_sensitive(true);
                Ok(Proof::Header(value))
            }
        }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.info.get(field).and_then(Value::as_str)
    }
}

pub(super) enum Proof<'a> {
    None,
    Field(&'a str),
    Header(HeaderValue),
}

/// What a provider is told of a client.
fn described(wish: &Wish<'_>, redirect: &Url, method: Option<&str>) -> Map<String, Value> {
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| drop(told.insert(name.to_owned(), value));
    tell("client_name", wish.setting("client_name").unwrap_or(NAME).into());
    tell("redirect_uris", json!([redirect.as_str()]));
    tell("grant_types", json!(["authorization_code", "refresh_token"]));
    tell("response_types", json!(["code"]));
    if let Some(scope) = wish.scope() {
        tell("scope", scope.into());
    }
    if let Some(method) = wish.setting("client_auth_method").or(method) {
        tell("token_endpoint_auth_method", method.into());
    }
    if let Some(more) = wish.authentication.get("additional_client_metadata").and_then(Value::as_object) {
        told.extend(more.clone());
    }
    told
}

/// As the standard asks for it, before it becomes a header.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let shown = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(shown).collect()
}
