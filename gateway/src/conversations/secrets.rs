//! A conversation's named secrets.

use std::collections::BTreeMap;

use axum::extract::State;
use control::conversations::Conversations;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use types::secrets::{KEPT_HERE, SecretSource, check_sources, is_name};

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json};
use crate::front::Front;
use crate::schema::conversation::GivenSecret;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct UpdateSecrets {
    /// A text, `{value}`, or a source with its `kind`, by name.
    #[schema(value_type = BTreeMap<String, GivenSecret>)]
    secrets: BTreeMap<String, Value>,
}

/// Adds secrets, or replaces those of the same names.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/secrets", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = UpdateSecrets,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn update_secrets(
    State(conversations): State<Conversations>,
    State(front): State<Front>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    headers: HeaderMap,
    Json(body): Json<UpdateSecrets>,
) -> ApiResult<Json<Success>> {
    let mut secrets = sources(body.secrets)?;
    name_those_kept_here(&mut secrets, &front.own_urls(&headers));
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    if let Some(profile) = &entry.record().launched_agent_profile {
        secrets.retain(|name, _| profile.allows_secret(name));
    }
    conversations.add_secrets(&entry, secrets).await?;
    Ok(Json(Success::YES))
}

/// Named secrets of a creation, where a source has to be an object.
pub(super) fn typed_sources(given: BTreeMap<String, Value>) -> ApiResult<BTreeMap<String, SecretSource>> {
    match given.iter().find(|(_, value)| !value.is_object()) {
        Some((name, _)) => Err(Problem::object_needed(&["body", "secrets", name]).into()),
        None => sources(given),
    }
}

/// Named secrets as clients send them.
pub(super) fn sources(given: BTreeMap<String, Value>) -> ApiResult<BTreeMap<String, SecretSource>> {
    let mut sources = BTreeMap::new();
    for (name, value) in given {
        if !value.is_object() && !value.is_string() {
            return Err(Problem::object_needed(&["body", "secrets", &name]).into());
        }
        match SecretSource::from_client(value) {
            Ok(source) => sources.insert(name, source),
            Err(why) => {
                let msg = format!("Value error, {why}");
                return Err(Problem::new("value_error", &["body", "secrets", &name], msg).into());
            }
        };
    }
    check_together(&sources)?;
    Ok(sources)
}

/// Clients name secrets that this server keeps by an address of it, with a key. Whoever looks one up needs neither: the address
/// becomes the name alone, and the key is not kept.
pub(super) fn name_those_kept_here(sources: &mut BTreeMap<String, SecretSource>, own_urls: &[String]) {
    for source in sources.values_mut() {
        let SecretSource::LookupSecret { url, headers, .. } = source else { continue };
        if let Some(name) = name_here(url, own_urls) {
            *url = format!("{KEPT_HERE}{name}");
            headers.clear();
        }
    }
}

fn name_here<'a>(url: &'a str, own_urls: &[String]) -> Option<&'a str> {
    let name = |path: &'a str| path.strip_prefix(KEPT_HERE).filter(|name| is_name(name));
    match url.split_once("://") {
        None => name(url),
        Some(("http" | "https", rest)) => own_urls.iter().find_map(|own| name(below(rest, own)?)),
        Some(_) => None,
    }
}

/// What stands below an address of this server; what is in front of it may speak another scheme.
fn below<'a>(rest: &'a str, own: &str) -> Option<&'a str> {
    let (_, own) = own.split_once("://")?;
    let (start, path) = rest.split_at_checked(own.len())?;
    start.eq_ignore_ascii_case(own).then_some(path)
}

/// Refuses what is more than a conversation may have.
pub(super) fn check_together(sources: &BTreeMap<String, SecretSource>) -> ApiResult<()> {
    check_sources(sources).map_err(refused)
}

fn refused(why: String) -> ApiError {
    Problem::new("value_error", &["body", "secrets"], format!("Value error, {why}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_server_name_what_is_kept_here() {
        let own =
            ["http://host:8000/root", "http://host:8000", "https://proxy.example/root"].map(str::to_owned);
        for url in [
            "/api/settings/secrets/A",
            "http://host:8000/root/api/settings/secrets/A",
            "https://HOST:8000/root/api/settings/secrets/A",
            "http://host:8000/api/settings/secrets/A",
            "https://proxy.example/root/api/settings/secrets/A",
        ] {
            assert_eq!(name_here(url, &own), Some("A"), "{url}");
        }
        for url in [
            "http://host/api/settings/secrets/A",
            "http://host:8000/root.evil/api/settings/secrets/A",
            "http://host:8000/root/api/settings/secrets/A/../B",
            "http://host:8000/root/api/settings/secrets/A?x",
            "http://host:8000/root@evil/api/settings/secrets/A",
            "http://host:8000/root/api/settings",
            "https://proxy.example/api/settings/secrets/A",
            "https://proxy.example.evil/root/api/settings/secrets/A",
            "ftp://host:8000/root/api/settings/secrets/A",
            "h",
        ] {
            assert_eq!(name_here(url, &own), None, "{url}");
        }
        assert_eq!(name_here("/api/settings/secrets/A", &[]), Some("A"));
    }
}
