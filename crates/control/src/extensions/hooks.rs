//! Hooks as they are written, in the one form that clients are shown.

use serde_json::{Map, Value};

const EVENTS: [&str; 6] =
    ["pre_tool_use", "post_tool_use", "user_prompt_submit", "session_start", "session_end", "stop"];

/// Hooks in any of the spellings there are; `None` for what does not fit.
pub(super) fn whole(written: Value) -> Option<Value> {
    let Value::Object(mut fields) = written else { return None };
    if let Some(inner) = fields.shift_remove("hooks") {
        fields = match inner {
            Value::Object(inner) => inner,
            _ => return None,
        };
    }
    let mut spelt = Map::new();
    for (name, value) in fields {
        let event = in_small_letters(&name);
        let is_known = event == name || EVENTS.contains(&event.as_str());
        if !is_known || spelt.insert(event, value).is_some() {
            return None;
        }
    }
    let mut spelt = Value::Object(spelt);
    each_hook(&mut spelt, |hook| {
        // Only commands need one.
        hook.entry("command").or_insert_with(|| "".into());
    });
    let mut whole = forms::hook_config().fill(spelt).ok()?;
    let mut fits = true;
    each_hook(&mut whole, |hook| fits &= hook_fits(hook));
    fits.then_some(whole)
}

/// The same, where having none is as good as not having them.
pub(super) fn any(written: Value) -> Option<Value> {
    let has_some = |whole: &Value| {
        EVENTS
            .iter()
            .any(|event| whole.get(*event).and_then(Value::as_array).is_some_and(|list| !list.is_empty()))
    };
    whole(written).filter(has_some)
}

/// `PreToolUse` is `pre_tool_use`.
fn in_small_letters(name: &str) -> String {
    let mut small = String::with_capacity(name.len() + 4);
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            small.push('_');
        }
        small.extend(letter.to_lowercase());
    }
    small
}

fn each_hook(config: &mut Value, mut see: impl FnMut(&mut Map<String, Value>)) {
    let events = config.as_object_mut().into_iter().flat_map(Map::values_mut);
    for matcher in events.filter_map(Value::as_array_mut).flatten() {
        let hooks = matcher.get_mut("hooks").and_then(Value::as_array_mut).into_iter().flatten();
        hooks.filter_map(Value::as_object_mut).for_each(&mut see);
    }
}

fn hook_fits(hook: &Map<String, Value>) -> bool {
    let is_set = |name: &str| hook.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let is_aside = hook.get("async") == Some(&true.into());
    match hook.get("type").and_then(Value::as_str) {
        Some("prompt") => is_set("prompt") && !is_set("command") && !is_aside,
        Some("agent") => !is_set("command") && !is_aside,
        _ => is_set("command"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hooks_are_shown_in_one_form_whatever_way_they_are_written() {
        let hook = json!({"type": "command", "name": null, "command": "true", "prompt": null, "system_prompt": null,
            "tools": [], "timeout": 60, "max_iterations": 3, "async": false});
        let wanted = json!({"pre_tool_use": [{"matcher": "*", "hooks": [hook]}], "post_tool_use": [],
            "user_prompt_submit": [], "session_start": [], "session_end": [], "stop": []});
        let hooks = json!([{"matcher": "*", "hooks": [{"type": "command", "command": "true"}]}]);
        let short = json!([{"hooks": [{"command": "true"}]}]);
        for written in [
            json!({"hooks": {"PreToolUse": hooks}}),
            json!({"PreToolUse": hooks}),
            json!({"pre_tool_use": short}),
            json!({"hooks": {"pre_tool_use": short}, "more": 1}),
        ] {
            assert_eq!(any(written.clone()), Some(wanted.clone()), "{written}");
        }
    }

    #[test]
    fn hooks_that_do_not_fit_are_none() {
        let one = |hook: Value| json!({"stop": [{"hooks": [hook]}]});
        for written in [
            json!([]),
            json!({}),
            json!({"stop": []}),
            json!({"hooks": 5}),
            json!({"PreToolUSE": []}),
            json!({"stop": [], "Stop": []}),
            json!({"strange": []}),
            one(json!({"type": "command"})),
            one(json!({"type": "prompt"})),
            one(json!({"type": "prompt", "prompt": "p", "command": "c"})),
            one(json!({"type": "agent", "async": true})),
            one(json!({"command": "c", "timeout": "soon"})),
        ] {
            assert_eq!(any(written.clone()), None, "{written}");
        }
        assert!(any(one(json!({"type": "prompt", "prompt": "p"}))).is_some());
    }
}
