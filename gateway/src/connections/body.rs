//! Connections as clients send them.

use control::setup::{ConnectionChange, NewConnection};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use types::secrets::MASK;

use crate::error::{ApiResult, Problem};

const MOST_NAME: usize = 128;
const MOST_URL: usize = 2_048;

const NO_KEY: &str = "api_key must be a real key, not blank or redacted";

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConnectionCreateRequest {
    #[schema(min_length = 1, max_length = 128)]
    display_name: String,
    #[serde(default = "custom")]
    #[schema(required = false, min_length = 1, max_length = 128)]
    provider: String,
    #[schema(min_length = 1)]
    api_key: String,
    #[schema(max_length = 2048)]
    base_url: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConnectionUpdateRequest {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    display_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    provider: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1)]
    api_key: Option<Option<String>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    base_url: Option<Option<String>>,
}

impl ProviderConnectionCreateRequest {
    pub fn checked(self) -> ApiResult<NewConnection> {
        check_name("display_name", &self.display_name)?;
        check_name("provider", &self.provider)?;
        if self.api_key.is_empty() {
            let ctx = json!({"field_type": "Value", "min_length": 1, "actual_length": 0});
            let msg = "Value should have at least 1 item after validation, not 0";
            return Err(
                Problem { ctx: Some(ctx), ..Problem::new("too_short", &["body", "api_key"], msg) }.into()
            );
        }
        check_key(&self.api_key)?;
        check_url(self.base_url.as_deref())?;
        Ok(NewConnection {
            display_name: self.display_name,
            provider: self.provider,
            api_key: self.api_key,
            base_url: self.base_url,
        })
    }
}

impl ProviderConnectionUpdateRequest {
    pub fn checked(self) -> ApiResult<ConnectionChange> {
        for (field, name) in [("display_name", &self.display_name), ("provider", &self.provider)] {
            match name {
                Some(Some(name)) => check_name(field, name)?,
                Some(None) => {
                    return Err(value_error(&["body"], &format!("{field} cannot be set to null")).into());
                }
                None => {}
            }
        }
        if let Some(Some(key)) = &self.api_key {
            check_key(key)?;
        }
        check_url(self.base_url.as_ref().and_then(Option::as_deref))?;
        Ok(ConnectionChange {
            display_name: self.display_name.flatten(),
            provider: self.provider.flatten(),
            api_key: self.api_key,
            base_url: self.base_url,
        })
    }
}

fn check_name(field: &str, name: &str) -> ApiResult<()> {
    if name.is_empty() {
        let ctx = Some(json!({"min_length": 1}));
        return Err(Problem { ctx, ..Problem::empty(&["body", field]) }.into());
    }
    check_length(field, name, MOST_NAME)
}

fn check_url(url: Option<&str>) -> ApiResult<()> {
    check_length("base_url", url.unwrap_or_default(), MOST_URL)
}

fn check_length(field: &str, text: &str, most: usize) -> ApiResult<()> {
    if text.chars().count() <= most {
        return Ok(());
    }
    Err(Problem::too_long(&["body", field], most).into())
}

/// A mask would keep a key where there is none, or only seem to change one.
fn check_key(key: &str) -> ApiResult<()> {
    if key.trim().is_empty() || key == MASK {
        return Err(value_error(&["body", "api_key"], NO_KEY).into());
    }
    Ok(())
}

fn value_error(loc: &[&str], why: &str) -> Problem {
    let problem = Problem::new("value_error", loc, format!("Value error, {why}"));
    Problem { ctx: Some(json!({ "error": why })), ..problem }
}

fn custom() -> String {
    "custom".to_owned()
}

/// What is null was given, too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
