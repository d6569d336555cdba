//! Names that are nearly those of settings. Somebody meant something by them, and to pass them over could leave a
//! server open.

use super::source::variable_of;
use super::table::{self, Kind};
use super::{Invalid, Source};

/// Letters by which a name may differ from one that it is mistaken for, and no more than a third of it.
const SLIPS: usize = 2;

impl Source {
    /// Settings of the server that this one replaces are passed over, and whatever else is far from any name here.
    ///
    /// # Errors
    /// A name that is close to that of a setting, or has a number that does not count.
    pub fn refuse_misspelt(&self) -> Result<(), Invalid> {
        for (name, value) in self.environment() {
            let Some(rest) = name.strip_prefix("OH_").filter(|_| !value.is_empty()) else { continue };
            refuse(&rest.to_lowercase(), &variable_of)?;
        }
        for name in self.file().as_object().into_iter().flatten().map(|(name, _)| name) {
            refuse(&name.to_lowercase(), &|field| field.to_owned())?;
        }
        Ok(())
    }
}

fn refuse(given: &str, shown: &dyn Fn(&str) -> String) -> Result<(), Invalid> {
    if is_known(given) {
        return Ok(());
    }
    if let Some((fields, _)) = of_objects(given) {
        let what = format!("is no setting: what it could end with is {}", fields.join(", "));
        return Err(Invalid::named(shown(given), what));
    }
    let bare = bare(given);
    let nearest = table::all().map(|setting| setting.field).min_by_key(|field| distance(bare, field));
    match nearest.filter(|field| distance(bare, field) <= SLIPS.min(field.len() / 3)) {
        Some(near) if near == bare && is_list(near) => {
            Err(Invalid::named(shown(given), "has no number that counts: they are 0, 1, 2 and so on"))
        }
        Some(near) if near == bare => {
            Err(Invalid::named(shown(given), format!("is no list: {} is one value", shown(near))))
        }
        Some(near) => Err(Invalid::named(shown(given), format!("is no setting; {} is one", shown(near)))),
        None => Ok(()),
    }
}

/// What stands before a number.
fn bare(given: &str) -> &str {
    let mut end = 0;
    for part in given.split('_') {
        if end > 0 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            return given.get(..end - 1).unwrap_or(given);
        }
        end += part.len() + 1;
    }
    given.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_')
}

fn is_known(given: &str) -> bool {
    if table::find(given.strip_suffix("_is_none").unwrap_or(given)).is_some() {
        return true;
    }
    given.rsplit_once('_').is_some_and(|(field, number)| is_number(number) && is_list(field))
        || of_objects(given).is_some_and(|(fields, field)| fields.contains(&field))
}

/// Of `<list>_<number>_<field>`: which fields there are, and the one that is named.
fn of_objects(given: &str) -> Option<(&'static [&'static str], &str)> {
    table::all().find_map(|setting| {
        let Kind::Objects(fields) = setting.kind else { return None };
        let (number, field) = given.strip_prefix(setting.field)?.strip_prefix('_')?.split_once('_')?;
        is_number(number).then_some((fields, field))
    })
}

fn is_number(text: &str) -> bool {
    text.parse::<usize>().is_ok_and(|parsed| parsed.to_string() == text)
}

fn is_list(field: &str) -> bool {
    table::find(field).is_some_and(|setting| matches!(setting.kind, Kind::List | Kind::Objects(_)))
}

/// How many letters must be put in, left out, or changed to get from one name to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (pair, (&there, after)) in row.windows(2).zip(other.iter().zip(0..)) {
            let &[diagonal, above] = pair else { continue };
            let left: usize = next.get(after).copied().unwrap_or(usize::MAX);
            let changed = diagonal + usize::from(there != letter);
            next.push(changed.min(above + 1).min(left.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn refusal(variables: &[(&str, &str)], file: Value) -> Option<String> {
        let environment: BTreeMap<_, _> =
            variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Source::new(environment, file).refuse_misspelt().err().map(|invalid| invalid.to_string())
    }

    #[test]
    fn a_name_that_is_nearly_a_settings_is_refused_with_the_right_one() {
        for (given, meant) in [
            ("OH_SESSION_API_KEY", "OH_SESSION_API_KEYS"),
            ("OH_SESSION_API_KEY_0", "OH_SESSION_API_KEYS"),
            ("OH_SECRETKEY", "OH_SECRET_KEY"),
            ("OH_SANDBOX_CPU", "OH_SANDBOX_CPUS"),
            ("OH_JWT_AUDIENZE", "OH_JWT_AUDIENCE"),
        ] {
            let text = refusal(&[(given, "value-of-it")], json!({})).expect(given);
            assert!(text.contains(given) && text.contains(meant) && !text.contains("value-of-it"), "{text}");
        }
        for given in [
            "OH_REGISTERED_MARKETPLACES_0_NAMES",
            "OH_REGISTERED_MARKETPLACE_0_NAME",
            "OH_REGISTERED_MARKETPLACES_00",
        ] {
            assert!(refusal(&[(given, "x")], json!({})).expect(given).contains(given));
        }
        for given in ["OH_SESSION_API_KEYS_00", "OH_SESSION_API_KEYS_01", "OH_SECRET_KEY_0"] {
            assert!(refusal(&[(given, "x")], json!({})).expect(given).contains(given));
        }
        assert!(refusal(&[], json!({"session_api_key": "x"})).unwrap().contains("session_api_keys"));
    }

    #[test]
    fn settings_of_other_servers_and_empty_ones_are_passed_over() {
        let others = [
            "OH_TELEMETRY_ENABLED",
            "OH_ENABLE_VSCODE",
            "OH_VSCODE_PORT",
            "OH_PRELOAD_TOOLS",
            "OH_PORT",
            "OTHER",
        ];
        for given in others {
            assert_eq!(refusal(&[(given, "x")], json!({})), None, "{given}");
        }
        assert_eq!(refusal(&[("OH_SESSION_API_KEY", "")], json!({"enable_vscode": true})), None);
        let known = [
            ("OH_SESSION_API_KEYS_0", "x"),
            ("OH_SESSION_API_KEYS", "[]"),
            ("OH_WEB_URL_IS_NONE", "1"),
            ("OH_REGISTERED_MARKETPLACES_0_NAME", "x"),
            ("OH_REGISTERED_MARKETPLACES_12_AUTO_LOAD", "1"),
            ("OH_REGISTERED_MARKETPLACES", "[]"),
            ("OH_WEBHOOKS_0_BASE_URL", "x"),
        ];
        assert_eq!(refusal(&known, json!({"fsync": "always"})), None);
    }

    #[test]
    fn no_two_settings_are_mistaken_for_each_other() {
        assert_eq!((distance("abc", "abc"), distance("", "abc"), distance("kitten", "sitting")), (0, 3, 3));
        for setting in table::all() {
            assert!(is_known(setting.field));
        }
    }
}
