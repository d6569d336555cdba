//! The addresses that the operator has told of conversations.

use std::time::Duration;

use control::webhooks::Hook;
use serde_json::{Map, Value};

use super::objects::Object;
use super::{Invalid, Source};

/// Each of them is told everything.
const MOST: usize = 16;
/// A day: longer than this nothing is kept from a hook.
const LONGEST: f64 = 86_400.0;

/// # Errors
/// What cannot be used; never its value.
pub fn read(source: &Source) -> Result<Vec<Hook>, Invalid> {
    let all = source.objects("webhooks")?;
    if all.len() > MOST {
        return Err(Invalid::new("webhooks", format!("may have at most {MOST} items")));
    }
    all.iter().map(hook).collect()
}

fn hook(object: &Object) -> Result<Hook, Invalid> {
    let mut hook = with_headers(object, at(object)?)?;
    for (field, bounds, place) in [
        ("event_buffer_size", 1..=10_000, &mut hook.event_buffer_size),
        ("num_retries", 0..=100, &mut hook.num_retries),
        ("max_queue_size", 1..=1_000_000, &mut hook.max_queue_size),
        ("max_batch_bytes", 1..=64 << 20, &mut hook.max_batch_bytes),
        ("max_queue_bytes", 1..=1 << 30, &mut hook.max_queue_bytes),
    ] {
        *place = count(object, field, bounds)?.unwrap_or(*place);
    }
    hook.flush_delay = seconds(object, "flush_delay", false)?.unwrap_or(hook.flush_delay);
    hook.retry_delay = seconds(object, "retry_delay", true)?.unwrap_or(hook.retry_delay);
    Ok(hook)
}

fn at(object: &Object) -> Result<Hook, Invalid> {
    const FIELD: &str = "base_url";
    let text = object.text(FIELD)?.ok_or_else(|| object.invalid(FIELD, "is not set"))?;
    let what = "must be an http or https URL without a query: paths are put behind it";
    Hook::at(text).ok_or_else(|| object.invalid(FIELD, what))
}

/// As an object, or as its JSON text.
fn with_headers(object: &Object, mut hook: Hook) -> Result<Hook, Invalid> {
    const FIELD: &str = "headers";
    let wrong = || object.invalid(FIELD, "must be a JSON object of texts that can be sent as headers");
    let fields: Map<String, Value> = match object.value(FIELD) {
        None => return Ok(hook),
        Some(Value::Object(fields)) => fields.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong())?,
        Some(_) => return Err(wrong()),
    };
    for (name, value) in fields {
        let value = value.as_str().ok_or_else(wrong)?;
        hook = hook.with_header(&name, value).ok_or_else(wrong)?;
    }
    Ok(hook)
}

fn count(
    object: &Object,
    field: &str,
    bounds: std::ops::RangeInclusive<usize>,
) -> Result<Option<usize>, Invalid> {
    let Some(value) = object.value(field) else { return Ok(None) };
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    let what = || format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
    number.filter(|number| bounds.contains(number)).map(Some).ok_or_else(|| object.invalid(field, what()))
}

fn seconds(object: &Object, field: &str, may_be_none: bool) -> Result<Option<Duration>, Invalid> {
    let Some(value) = object.value(field) else { return Ok(None) };
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    let is_fit = |number: &f64| (0.0..=LONGEST).contains(number) && (may_be_none || *number > 0.0);
    let what = || {
        let least = if may_be_none { "0" } else { "above 0" };
        format!("must be seconds, {least} to {LONGEST}")
    };
    let number = number.filter(is_fit).ok_or_else(|| object.invalid(field, what()))?;
    Ok(Some(Duration::from_secs_f64(number)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hooks(variables: &[(&str, &str)], file: Value) -> Result<Vec<Hook>, Invalid> {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read(&Source::new(environment, file))
    }

    #[test]
    fn webhooks_come_numbered_as_json_or_from_the_file_and_have_the_peers_defaults() {
        let numbered = [
            ("OH_WEBHOOKS_0_BASE_URL", "http://h/a"),
            ("OH_WEBHOOKS_0_HEADERS", r#"{"Authorization": "Bearer x"}"#),
            ("OH_WEBHOOKS_0_EVENT_BUFFER_SIZE", "1"),
            ("OH_WEBHOOKS_0_FLUSH_DELAY", "0.5"),
            ("OH_WEBHOOKS_1_BASE_URL", "https://h/b/"),
        ];
        let list = json!([{"base_url": "http://h/a", "headers": {"Authorization": "Bearer x"}, "event_buffer_size": 1,
            "flush_delay": 0.5}, {"base_url": "https://h/b/"}]);
        let text = list.to_string();
        for (variables, file) in [
            (&numbered[..], json!({})),
            (&[("OH_WEBHOOKS", text.as_str())][..], json!({})),
            (&[][..], json!({ "webhooks": list })),
        ] {
            let hooks = hooks(variables, file).unwrap();
            let [first, second] = &hooks[..] else { panic!("{} hooks", hooks.len()) };
            assert_eq!((first.event_buffer_size, first.flush_delay.as_millis()), (1, 500));
            assert_eq!(
                (second.event_buffer_size, second.flush_delay.as_secs(), second.num_retries),
                (5, 30, 3)
            );
            assert_eq!((second.retry_delay.as_secs(), second.max_queue_size), (5, 1_000));
            assert_eq!((second.max_batch_bytes, second.max_queue_bytes), (5 << 20, 50 << 20));
        }
        assert!(hooks(&[], json!({})).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_meant_of_a_webhook_is_refused_by_its_name_and_never_shown() {
        for (field, value) in [
            ("BASE_URL", "ftp://value-of-it"),
            ("BASE_URL", "value-of-it"),
            ("BASE_URL", "http://h/?key=value-of-it"),
            ("HEADERS", "value-of-it"),
            ("HEADERS", r#"{"a b": "value-of-it"}"#),
            ("HEADERS", r#"{"a": 1}"#),
            ("EVENT_BUFFER_SIZE", "0"),
            ("EVENT_BUFFER_SIZE", "1.5"),
            ("FLUSH_DELAY", "0"),
            ("FLUSH_DELAY", "NaN"),
            ("NUM_RETRIES", "-1"),
            ("RETRY_DELAY", "inf"),
        ] {
            let variable = format!("OH_WEBHOOKS_0_{field}");
            let mut variables = vec![("OH_WEBHOOKS_0_BASE_URL", "http://h")];
            variables.retain(|(name, _)| **name != *variable);
            variables.push((&variable, value));
            let text = hooks(&variables, json!({})).err().expect(value).to_string();
            assert!(text.starts_with(&variable) && !text.contains("value-of-it"), "{text}");
        }
        assert!(hooks(&[("OH_WEBHOOKS_0_FLUSH_DELAY", "1")], json!({})).is_err(), "it has no address");
        assert!(hooks(&[], json!({ "webhooks": vec![json!({"base_url": "http://h"}); MOST + 1] })).is_err());
    }
}
