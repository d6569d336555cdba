//! Settings of any value: the start goes on or ends with a sentence that does not repeat the value.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::table;
use super::{Settings, Source};

/// In every value that is not well-formed, so that a sentence that repeats it is found.
const MARK: &str = "zq9mark";

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("true".to_owned()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i32>().prop_map(|number| format!("{number}.5")),
        "[\\[{\"',:/. a-z0-9=\\-]{0,24}".prop_map(|text| format!("{text}{MARK}")),
        any::<String>().prop_map(|text| format!("{MARK}{}", text.replace('\0', ""))),
        vec("[a-z]{0,5}", 0..4).prop_map(|list| json!(list).to_string()),
    ]
}

fn any_name() -> impl Strategy<Value = String> {
    let fields: Vec<&str> = table::all().map(|setting| setting.field).collect();
    let suffix = prop::sample::select(&["", "_0", "_1", "_7", "_IS_NONE", "S"][..]);
    (prop::sample::select(fields), suffix)
        .prop_map(|(field, suffix)| format!("OH_{}{suffix}", field.to_uppercase()))
}

fn any_file() -> impl Strategy<Value = Value> {
    let fields: Vec<&str> = table::all().map(|setting| setting.field).collect();
    let value = prop_oneof![
        any_value().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        vec(any_value(), 0..3).prop_map(Value::from),
        Just(json!({"a": null})),
        Just(Value::Null),
    ];
    prop::collection::hash_map(prop::sample::select(fields), value, 0..3)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

proptest! {
    #[test]
    fn no_value_of_a_setting_is_repeated_and_none_panics(
        variables in prop::collection::btree_map(any_name(), any_value(), 0..4),
        file in any_file(),
    ) {
        let variables: BTreeMap<String, String> = variables;
        if let Err(refused) = Settings::from_source(&Source::new(variables, file)) {
            let sentence = refused.to_string();
            prop_assert!(!sentence.contains(MARK), "{}", sentence);
        }
    }
}
