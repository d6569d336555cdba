//! What is given is completed, or told what is wrong with it.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{form, told};
use crate::known::ALL;
use crate::rule::Rule;
use crate::{Form, acp_settings, conversation_settings, hook_config, llm, mcp_server, openhands_settings};

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_form_reads_and_its_default_fills_itself() {
    for (name, text, known) in ALL {
        Form::read(text).unwrap_or_else(|broken| panic!("{name}: {broken}"));
        let Ok(default) = known().default_value() else { continue };
        assert_eq!(known().fill(default.clone()).as_ref(), Ok(&default), "{name}");
    }
}

#[test]
fn what_is_set_when_nothing_was_is_what_the_peer_sets() {
    for (form, theirs) in [
        (openhands_settings(), include_str!("agent.json")),
        (acp_settings(), include_str!("acp.json")),
        (conversation_settings(), include_str!("conversation.json")),
    ] {
        let ours = form.default_value().unwrap();
        assert_eq!(ours, read(theirs));
        // Also in the order, and with the same numbers: `8.0` is not `8`.
        assert_eq!(ours.to_string(), read(theirs).to_string());
    }
}

#[test]
fn a_word_of_a_schema_that_is_not_known_is_refused() {
    for schema in [
        json!({"type": "object", "properties": {"a": {"type": "string", "contentEncoding": "base64"}}}),
        json!({"type": "decimal"}),
        json!({"$ref": "#/$defs/Nowhere"}),
        json!({"type": "string", "pattern": "("}),
        json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
    ] {
        assert!(Form::read(&schema.to_string()).is_err(), "{schema}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_located() {
    let given =
        json!({"llm": {"temperature": "hot", "num_retries": -1}, "tool_concurrency_limit": 0, "tools": [{}]});
    assert_eq!(
        told(openhands_settings().fill(given)),
        [
            ("greater_than_equal", "llm.num_retries".to_owned()),
            ("float_parsing", "llm.temperature".to_owned()),
            ("missing", "tools.0.name".to_owned()),
            ("greater_than_equal", "tool_concurrency_limit".to_owned()),
        ]
    );
    assert_eq!(told(llm().fill(json!("x"))), [("model_attributes_type", String::new())]);
    assert_eq!(
        told(openhands_settings().fill(json!({"mcp_config": []}))),
        [("dict_type", "mcp_config".into())]
    );
}

#[test]
fn a_field_that_is_not_known_is_dropped_refused_or_kept_as_the_form_says() {
    assert_eq!(llm().fill(json!({"bogus": 1})).unwrap().get("bogus"), None);
    assert_eq!(
        told(mcp_server().fill(json!({"url": "http://x", "bogus": 1}))),
        [("extra_forbidden", "bogus".into())]
    );
    let tokens =
        json!({"strategy": "oauth2", "state": {"tokens": {"access_token": "t", "token_type": "bearer"}}});
    let filled = mcp_server().fill(json!({"url": "http://x", "auth": tokens})).unwrap();
    assert_eq!(filled["auth"]["state"]["tokens"]["token_type"], "bearer");
}

#[test]
fn a_field_that_is_read_and_not_kept_is_still_checked() {
    let given = |value: Value| json!({"agent_context": {"memory_context": value}});
    let filled = openhands_settings().fill(given(json!("m"))).unwrap();
    assert_eq!(filled["agent_context"].get("memory_context"), None);
    assert_eq!(
        told(openhands_settings().fill(given(json!(7)))),
        [("string_type", "agent_context.memory_context".into())]
    );
}

#[test]
fn what_is_always_so_is_not_for_clients_to_say() {
    assert_eq!(llm().fill(json!({"is_subscription": true})).unwrap()["is_subscription"], false);
}

#[test]
fn an_object_of_several_kinds_is_told_by_its_tag() {
    let auth = |auth: Value| mcp_server().fill(json!({"url": "http://x", "auth": auth}));
    assert_eq!(auth(json!({"strategy": "bearer", "value": "v"})).unwrap()["auth"]["value"], "v");
    assert_eq!(told(auth(json!({"value": "v"}))), [("union_tag_not_found", "auth".into())]);
    assert_eq!(told(auth(json!({"strategy": "zz"}))), [("union_tag_invalid", "auth".into())]);
    // Where a kind is the usual one it need not be named.
    let condenser =
        openhands_settings().fill(json!({"condenser": {"max_size": 100}})).unwrap()["condenser"].clone();
    assert_eq!(
        (&condenser["condenser_kind"], &condenser["max_size"]),
        (&json!("llm_summarizing"), &json!(100))
    );
}

#[test]
fn a_value_keeps_its_type_where_several_are_taken() {
    let either = form(&json!({"anyOf": [{"type": "boolean"}, {"type": "string"}]}));
    assert_eq!(either.fill(json!("true")), Ok(json!("true")));
    assert_eq!(either.fill(json!(true)), Ok(json!(true)));
    assert_eq!(told(either.fill(json!([]))), [("bool_type", String::new())]);
}

#[test]
fn a_change_may_say_null_where_the_whole_may() {
    let filled = llm().fill(json!({"api_key": null, "temperature": null})).unwrap();
    assert_eq!((&filled["api_key"], &filled["temperature"]), (&Value::Null, &Value::Null));
    assert_eq!(
        told(conversation_settings().fill(json!({"confirmation_mode": null}))),
        [("bool_type", "confirmation_mode".into())]
    );
}

#[test]
fn hooks_and_sizes_are_checked() {
    assert_eq!(told(hook_config().fill(json!({"Stop": []}))), [("extra_forbidden", "Stop".into())]);
    let sized = form(&json!({"type": "array", "minItems": 1, "items": {"type": "string"}}));
    let troubles = sized.fill(json!([])).unwrap_err();
    assert_eq!(troubles[0].says, "List should have at least 1 item after validation, not 0");
}

/// A text that no schema and no words of ours have.
const MARK: &str = "zq-marked-zq";

/// Values below names that forms know.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(MARK)),
        Just(json!("true")),
        Just(json!("7")),
        Just(json!("stdio")),
    ];
    let names = prop_oneof![
        "llm|mcp_config|agent_context|secrets|condenser|condenser_kind|tools|verification|api_key|env|headers",
        "auth|strategy|value|url|command|model|temperature|num_retries|skills|name|content|trigger|type|kind|schema_version",
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_filled_once_is_not_changed_by_filling_it_again(given in values()) {
        for (_, _, form) in ALL {
            if let Ok(filled) = form().fill(given.clone()) {
                prop_assert_eq!(form().fill(filled.clone()), Ok(filled));
            }
        }
    }
}

/// What a client sends may be a secret, also where none belongs: so it is put wherever something belongs.
#[test]
fn no_word_of_the_input_is_in_a_trouble() {
    let mut refused = 0;
    for (name, _, form) in ALL {
        for given in marked(form(), form().root, 5) {
            let Err(troubles) = form().fill(given.clone()) else { continue };
            assert!(!format!("{troubles:?}").contains(MARK), "{name}: {given}: {troubles:?}");
            refused += 1;
        }
    }
    assert!(refused > 1_000, "{refused} values were refused");
}

/// Values with a mark at one of the places that the rule has, as a text, in a list and in an object.
fn marked(form: &Form, rule: usize, depth: usize) -> Vec<Value> {
    let mut all = vec![json!(MARK), json!([MARK]), json!({"strange": MARK})];
    if depth == 0 {
        return all;
    }
    let below = |rule: usize| marked(form, rule, depth - 1).into_iter();
    match form.rule(rule) {
        Rule::List { items, .. } => all.extend(below(*items).map(|value| json!([value]))),
        Rule::Map { values, .. } => all.extend(below(*values).map(|value| json!({"k": value}))),
        Rule::Record(record) => {
            let fields = record.fields.iter();
            all.extend(
                fields.flat_map(|field| below(field.rule).map(|value| json!({ field.name.as_str(): value }))),
            );
        }
        Rule::Kinds(kinds) => {
            let tagged = |(tag, rule): &(String, usize)| {
                let objects = below(*rule).filter(|value| value.is_object()).collect::<Vec<_>>();
                objects
                    .into_iter()
                    .map(|mut value| {
                        let fields = value.as_object_mut().unwrap();
                        fields.entry(kinds.tag.clone()).or_insert(tag.as_str().into());
                        value
                    })
                    .collect::<Vec<_>>()
            };
            all.extend(kinds.kinds.iter().flat_map(tagged));
        }
        Rule::Either(rules) => all.extend(rules.iter().flat_map(|rule| below(*rule))),
        Rule::Same(rule) => all.extend(marked(form, *rule, depth)),
        Rule::Any
        | Rule::Null
        | Rule::Flag
        | Rule::Whole(_)
        | Rule::Number(_)
        | Rule::Text(_)
        | Rule::Choice(_) => {}
    }
    all
}
