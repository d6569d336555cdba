//! A login, in two halves, and its renewal.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outbound::Outbound;
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::call::{look, post_form};
use super::client::Proof;
use super::provider::S256;
use super::state::{RESOURCE, TOKEN_ENDPOINT, client_info, tokens_fit};
use super::{Client, Provider, State};
use crate::{Challenge, Error};

/// What is to be logged in to, and how.
pub struct Wish<'a> {
    pub server: &'a Url,
    /// What the user has set about it, `auth.authentication` of the server: perhaps null.
    pub authentication: &'a Value,
    /// Who an earlier login was.
    pub known: Option<Map<String, Value>>,
    pub challenge: Challenge,
    /// Where the browser comes back to, or below it: [`Pending::redirect`] says.
    pub redirect: &'a Url,
}

/// A login whose user is with the provider. It holds secrets, and is kept sealed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    provider: Provider,
    client: Client,
    verifier: String,
    /// What comes back with the code, so that nobody else's code is taken.
    pub state: String,
    pub redirect: String,
    /// For the user's browser.
    pub url: String,
}

impl Pending {
    /// What is left of it once it is over: by what an answer is known.
    #[must_use]
    pub fn over(self) -> Self {
        Self { client: Client { info: Map::new() }, verifier: String::new(), ..self }
    }

    /// Whether an answer is from the provider that was asked, by whom it says that it comes from.
    #[must_use]
    pub fn is_answer_of(&self, issuer: Option<&str>) -> bool {
        match issuer {
            None => !self.provider.signs_answers,
            Some(said) => {
                let expected = self.provider.issuer.as_deref();
                expected.is_some_and(|expected| expected.trim_end_matches('/') == said.trim_end_matches('/'))
            }
        }
    }
}

impl Wish<'_> {
    pub(super) fn setting(&self, field: &str) -> Option<&str> {
        self.authentication.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Where the client describes itself, if that will do.
    pub(super) fn document(&self, provider: &Provider) -> Option<&str> {
        self.setting("client_metadata_url").filter(|url| provider.takes_documents && is_document(url))
    }

    /// Whether the user says where a client comes back to: one that he has made elsewhere knows but one place.
    fn says_where(&self, provider: &Provider) -> bool {
        let more = self.authentication.get("additional_client_metadata");
        more.is_some_and(|more| more.get("redirect_uris").is_some())
            || self.setting("client_id").is_some()
            || self.document(provider).is_some()
    }

    /// What the user wants to be allowed.
    pub(super) fn scope(&self) -> Option<String> {
        match self.authentication.get("scopes")? {
            Value::String(scopes) if !scopes.is_empty() => Some(scopes.clone()),
            Value::Array(scopes) if !scopes.is_empty() => {
                Some(scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
            }
            _ => None,
        }
    }
}

/// Finds the provider and makes ourselves known to it.
///
/// # Errors
/// Where that does not succeed.
pub async fn begin(outbound: &Outbound, wish: Wish<'_>) -> Result<Pending, Error> {
    let provider = Provider::of(outbound, wish.server, &wish.challenge).await?;
    let own = provider.own(wish.redirect);
    let redirect = if wish.says_where(&provider) { wish.redirect } else { &own };
    let outbound = &outbound.named_by(provider.named_from);
    // One that an earlier login has left may know but one place: a provider that registers no others knows it still.
    let kept = match Client::kept(&wish, &provider, redirect)? {
        Some(client) => Some((client, redirect)),
        None => Client::kept(&wish, &provider, wish.redirect)?.map(|client| (client, wish.redirect)),
    };
    if let Some((client, redirect)) = kept {
        let pending = Pending::new(&provider, client, &wish, redirect)?;
        let is_known = check(outbound, &pending).await?;
        if is_known {
            return Ok(pending);
        }
        // One that the user has named is not replaced.
        if wish.setting("client_id").is_some() {
            return Err(Error::Login("does not know the client".to_owned()));
        }
    }
    let client = Client::make(outbound, &provider, &wish, redirect).await?;
    let pending = Pending::new(&provider, client, &wish, redirect)?;
    match check(outbound, &pending).await? {
        true => Ok(pending),
        false => Err(Error::Login("does not know the client that it has just made".to_owned())),
    }
}

/// The tokens for the code that the browser has come back with.
///
/// # Errors
/// Where the provider gives none.
pub async fn finish(outbound: &Outbound, pending: &Pending, code: &str) -> Result<State, Error> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", pending.redirect.as_str()),
        ("code_verifier", pending.verifier.as_str()),
    ];
    let Provider { token, resource, named_from, .. } = &pending.provider;
    let outbound = outbound.named_by(*named_from);
    let tokens = tokens(&outbound, token, Some(resource.as_str()), &pending.client, &fields).await?;
    let mut info = client_info(pending.client.info.clone());
    info.insert(TOKEN_ENDPOINT.to_owned(), token.as_str().into());
    info.insert(RESOURCE.to_owned(), resource.as_str().into());
    let mut state = State { client_info: Some(info), ..State::default() };
    state.renew(tokens);
    Ok(state)
}

/// New tokens in place of those that are over, from where those came from: whom the server names today is of no interest.
/// `from` is where the server is.
///
/// # Errors
/// `Unauthorized` where nothing can renew them, or the provider refuses it; those of the provider.
pub async fn refresh(outbound: &Outbound, from: Option<IpAddr>, state: &State) -> Result<State, Error> {
    let known = |field: &str| state.client_info.as_ref()?.get(field)?.as_str();
    let (Some(token), Some(info), Some(url)) =
        (state.refresh_token(), &state.client_info, known(TOKEN_ENDPOINT))
    else {
        return Err(Error::Unauthorized(Challenge::default()));
    };
    let client = Client { info: info.clone() };
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let asked = tokens(&outbound.named_by(from), url, known(RESOURCE), &client, &fields).await;
    let tokens = asked.map_err(|error| match error {
        Error::Denied(_) => Error::Unauthorized(Challenge::default()),
        other => other,
    })?;
    let mut renewed = state.clone();
    renewed.renew(tokens);
    Ok(renewed)
}

impl Pending {
    fn new(provider: &Provider, client: Client, wish: &Wish<'_>, redirect: &Url) -> Result<Self, Error> {
        let (verifier, state) = (random(), random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = Url::parse(&provider.authorization).map_err(|_| Error::Invalid)?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client.id())
                .append_pair("redirect_uri", redirect.as_str())
                .append_pair("state", &state)
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", S256)
                .append_pair("resource", &provider.resource);
            if let Some(scope) = wish.scope().or_else(|| provider.scope.clone()) {
                query.append_pair("scope", &scope);
            }
        }
        let (redirect, url) = (redirect.to_string(), url.into());
        Ok(Self { provider: provider.clone(), client, verifier, state, redirect, url })
    }
}

/// Whether the provider knows the client. Where its page cannot be seen from here the user's browser may still see it.
async fn check(outbound: &Outbound, pending: &Pending) -> Result<bool, Error> {
    let url = Url::parse(&pending.url).map_err(|_| Error::Invalid)?;
    match look(outbound, &url).await {
        Some(StatusCode::BAD_REQUEST) => Ok(false),
        Some(status) if status.is_client_error() || status.is_server_error() => {
            Err(Error::Login(format!("answered HTTP {}", status.as_u16())))
        }
        _ => Ok(true),
    }
}

async fn tokens(
    outbound: &Outbound,
    url: &str,
    resource: Option<&str>,
    client: &Client,
    fields: &[(&str, &str)],
) -> Result<Map<String, Value>, Error> {
    let url = Url::parse(url).map_err(|_| Error::Invalid)?;
    let mut fields = fields.to_vec();
    fields.extend(resource.map(|resource| ("resource", resource)));
    let header = match client.proof()? {
        // A header says who we are; a form beside it that says so, too, is refused by some.
        Proof::Header(header) => Some(header),
        Proof::Field(secret) => {
            fields.extend([("client_id", client.id()), ("client_secret", secret)]);
            None
        }
        Proof::None => {
            fields.push(("client_id", client.id()));
            None
        }
    };
    let tokens = post_form(outbound, &url, &fields, header).await?;
    if !tokens.get("access_token").is_some_and(Value::is_string) {
        return Err(Error::Login("gives no token".to_owned()));
    }
    match tokens_fit(&tokens) {
        true => Ok(tokens),
        false => Err(Error::Login("gives a token that is too long".to_owned())),
    }
}

fn is_document(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.path() != "/")
}

fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
