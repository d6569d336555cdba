//! A plugin that is looked at without being installed: its address may name secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use ports::rpc::Code;
use reqwest::header::HeaderMap;
use reqwest::{Client, Url};
use serde_json::json;
use types::TenantId;
use types::calls::{CheckCall, Checked, ExtensionAnswer, ExtensionCall, NotFetched, WhyNotFetched};
use types::secrets::SecretSource;

use super::{Extensions, strange};
use crate::Refusal;

const LOOK_UP: Duration = Duration::from_secs(30);
const LONGEST_SECRET: usize = 64 * 1024;

/// What is to be looked at.
pub struct PluginCheck {
    /// With `${NAME}` where a secret belongs.
    pub source: String,
    pub reference: Option<String>,
    pub repo_path: Option<String>,
    pub secrets: BTreeMap<String, SecretSource>,
    pub timeout_seconds: u64,
}

impl Extensions {
    /// # Errors
    /// `Coded` for all that is wrong with the source; those of the worker.
    pub async fn check_plugin(&self, tenant: &TenantId, check: &PluginCheck) -> Result<Checked, Refusal> {
        let source = self.filled(&check.source, &check.secrets).await?;
        let reference = match &check.reference {
            Some(reference) => Some(self.filled(reference, &check.secrets).await?),
            None => None,
        };
        let sandbox = self.ground.workers.placement().at(tenant, &source).await?;
        let (repo_path, timeout_seconds) = (check.repo_path.clone(), check.timeout_seconds);
        let call = ExtensionCall::Check(CheckCall { source, reference, repo_path, timeout_seconds });
        let deadline = Duration::from_secs(timeout_seconds) + Duration::from_secs(30);
        let asked = self.ground.workers.call_within(&sandbox, &call, deadline).await?;
        match asked {
            ExtensionAnswer::Checked(checked) => Ok(*checked),
            ExtensionAnswer::NotFetched(not) => Err(refused(not, check.repo_path.as_deref())),
            _ => Err(strange()),
        }
    }

    /// The text with its secrets in their places.
    async fn filled(&self, text: &str, secrets: &BTreeMap<String, SecretSource>) -> Result<String, Refusal> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, name, after)) = next_name(rest) {
            filled.push_str(before);
            filled.push_str(&self.value_of(name, secrets).await?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    async fn value_of(
        &self,
        name: &str,
        secrets: &BTreeMap<String, SecretSource>,
    ) -> Result<String, Refusal> {
        let missing = || coded(Code::Invalid, "missing_secret", format!("Missing secret: {name}"));
        match secrets.get(name) {
            Some(SecretSource::StaticSecret { value: Some(value), .. }) => Ok(value.clone()),
            Some(SecretSource::LookupSecret { url, headers, .. }) => {
                self.looked_up(url, headers).await.ok_or_else(missing)
            }
            Some(SecretSource::StaticSecret { value: None, .. }) | None => Err(missing()),
        }
    }

    async fn looked_up(&self, url: &str, headers: &BTreeMap<String, String>) -> Option<String> {
        let url = Url::parse(url).ok()?;
        let mut fields = HeaderMap::new();
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        outbound::add_headers(&mut fields, named).ok()?;
        let client: &Client = self.ground.outbound.client(&url).ok()?;
        let mut answer = client.get(url).headers(fields).timeout(LOOK_UP).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.ok()? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_SECRET {
                return None;
            }
        }
        String::from_utf8(body).ok()
    }
}

/// The first `${NAME}` or `${NAME:-…}`, with what stands before and after it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let begin = from + text.get(from..)?.find("${")?;
        let inside = text.get(begin + 2..)?;
        let end = inside.find('}')?;
        let name = inside.get(..end)?;
        let name = name.split_once(":-").map_or(name, |(name, _)| name);
        let is_name = name.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
        if is_name {
            return Some((text.get(..begin)?, name, inside.get(end + 1..)?));
        }
        from = begin + 2;
    }
}

fn refused(not: NotFetched, repo_path: Option<&str>) -> Refusal {
    let (status, code) = match not.why {
        WhyNotFetched::InvalidSource => (Code::Invalid, "invalid_source"),
        WhyNotFetched::SourceNotAllowed => (Code::Invalid, "source_not_allowed"),
        WhyNotFetched::AuthFailed => (Code::Invalid, "auth_failed"),
        WhyNotFetched::RefNotFound => (Code::Invalid, "ref_not_found"),
        WhyNotFetched::RepoPathNotFound => {
            let says = format!("repo_path not found: {}", repo_path.unwrap_or_default());
            return coded(Code::Invalid, "repo_path_not_found", says);
        }
        WhyNotFetched::NoManifest | WhyNotFetched::Invalid | WhyNotFetched::TooLarge => {
            (Code::Invalid, "invalid_plugin")
        }
        WhyNotFetched::SourceUnavailable => (Code::Upstream, "source_unavailable"),
        WhyNotFetched::Timeout => (Code::UpstreamSlow, "timeout"),
    };
    coded(status, code, not.says)
}

fn coded(status: Code, code: &str, message: String) -> Refusal {
    Refusal::Coded { code: status, detail: json!({"code": code, "message": message}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_found_in_an_address() {
        assert_eq!(next_name("https://${T}@h"), Some(("https://", "T", "@h")));
        assert_eq!(next_name("a${T_1:-x}b${U}"), Some(("a", "T_1", "b${U}")));
        assert_eq!(next_name("${1}${ok}"), Some(("${1}", "ok", "")));
        for nothing in ["", "$T", "${", "${}", "${a b}"] {
            assert_eq!(next_name(nothing), None, "{nothing}");
        }
    }
}
