//! A model as clients send it, on its way into the shelf.

use forms::Trouble;
use serde_json::{Map, Value, json};

use super::agent::Unfit;
use super::llm_has_model;
use super::settings::refused;
use crate::Refusal;
use crate::shelf::Sealing;

const MOST_BYTES: usize = 256 << 10;

/// Where models stand in requests.
const ROOT: &[&str] = &["body", "llm"];

/// What Azure's API is called where nobody says otherwise.
const AZURE_VERSION: &str = "2024-12-01-preview";
/// OpenAI's own server without the path of its API, which is as good as no address.
const OPENAI: [&str; 2] = ["https://api.openai.com", "https://api.openai.com/"];

/// A whole model as it was sent.
///
/// # Errors
/// `TooLarge`, `Troubles`.
pub(super) fn whole(given: Value) -> Result<Value, Refusal> {
    if given.to_string().len() > MOST_BYTES {
        return Err(Refusal::TooLarge("A profile may have at most 256 KiB."));
    }
    if given.is_object() {
        llm_has_model(&given).map_err(|why| troubles(vec![value_error(why)]))?;
    }
    forms::llm().fill(respelled(given)).map_err(troubles)
}

/// What is stored, also by a release that knew less of models.
pub(super) fn complete(stored: Value) -> Value {
    forms::llm().fill(stored.clone()).unwrap_or(stored)
}

/// What is stored of a whole model: its secrets sealed, and where it has masks, those of `stored`.
///
/// # Errors
/// `Unfit` where a token in it is not this tenant's.
pub(super) fn sealed(sealing: &Sealing<'_>, mut llm: Value, stored: &Value) -> Result<Value, Refusal> {
    sealing.take(forms::llm(), &mut llm).map_err(|_| refused(Unfit::Unopenable))?;
    sealing.keep_masked(forms::llm(), &mut llm, stored);
    leave_out_empty_headers(&mut llm);
    Ok(llm)
}

/// The same model without any secret.
pub(super) fn without_secrets(mut llm: Value) -> Value {
    forms::llm().map_secrets(&mut llm, &mut |_, _| Value::Null);
    leave_out_empty_headers(&mut llm);
    llm
}

/// What goes wrong with all of a value, and not with one of its fields.
pub(super) fn value_error(why: &'static str) -> Trouble {
    let says = format!("Value error, {why}");
    Trouble { kind: "value_error", at: Vec::new(), says, bounds: Some(json!({ "error": why })) }
}

fn troubles(list: Vec<Trouble>) -> Refusal {
    Refusal::Troubles { root: ROOT, list }
}

/// What the peer reads into what was sent.
fn respelled(mut given: Value) -> Value {
    let Some(fields) = given.as_object_mut() else { return given };
    let text = |fields: &Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let model = text(fields, "model");
    if let Some(timeout) = fields.get("timeout").cloned() {
        fields.entry("stream_idle_timeout").or_insert(timeout);
    }
    if model.starts_with("azure") && text(fields, "api_version").is_empty() {
        fields.insert("api_version".to_owned(), AZURE_VERSION.into());
    }
    if model.starts_with("openai/") && OPENAI.contains(&text(fields, "base_url").as_str()) {
        fields.insert("base_url".to_owned(), Value::Null);
    }
    if fields.get("provider_connection_id").and_then(Value::as_str) == Some("") {
        fields.insert("provider_connection_id".to_owned(), Value::Null);
    }
    given
}

/// A header has a value, or it is none.
fn leave_out_empty_headers(llm: &mut Value) {
    if let Some(headers) = llm.get_mut("extra_headers").and_then(Value::as_object_mut) {
        headers.retain(|_, value| !value.is_null());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(given: Value) -> (&'static str, Vec<forms::Step>) {
        let Err(Refusal::Troubles { root: ROOT, list }) = whole(given) else { panic!("it was taken") };
        (list[0].kind, list[0].at.clone())
    }

    #[test]
    fn a_model_is_completed_as_the_peer_does() {
        let model = |given: Value| whole(given).unwrap();
        let azure = model(json!({"model": "azure/m", "timeout": "7"}));
        assert_eq!(
            (&azure["api_version"], azure["stream_idle_timeout"].as_f64(), &azure["num_retries"]),
            (&json!(AZURE_VERSION), Some(7.0), &json!(5))
        );
        let openai = model(json!({"model": "openai/m", "base_url": "https://api.openai.com/", "bogus": 1}));
        assert_eq!((&openai["base_url"], openai.get("bogus")), (&Value::Null, None));
        let other = model(json!({"model": "x/m", "base_url": "https://api.openai.com"}));
        assert_eq!(other["base_url"], "https://api.openai.com");
        assert_eq!(
            model(json!({"model": "m", "provider_connection_id": ""}))["provider_connection_id"],
            Value::Null
        );
    }

    #[test]
    fn what_is_no_model_is_told_by_kind_and_place() {
        let here = Vec::new;
        assert_eq!(told(json!("x")), ("model_attributes_type", here()));
        assert_eq!(told(json!({})), ("value_error", here()));
        assert_eq!(
            told(json!({"model": "m", "temperature": "hot"})),
            ("float_parsing", vec![forms::Step::Field("temperature".to_owned())])
        );
        assert!(matches!(
            whole(json!({"model": "m", "extra_headers": {"a": "x".repeat(MOST_BYTES)}})),
            Err(Refusal::TooLarge(_))
        ));
    }

    #[test]
    fn a_model_without_secrets_has_none_left() {
        let llm = json!({"api_key": "k", "aws_session_token": "t", "extra_headers": {"A": "h"}, "base_url": "http://x"});
        let left =
            json!({"api_key": null, "aws_session_token": null, "extra_headers": {}, "base_url": "http://x"});
        assert_eq!(without_secrets(llm), left);
    }
}
