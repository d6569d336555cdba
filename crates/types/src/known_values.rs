//! The values that secrets of a conversation have had.
//!
//! A value stays known after it was replaced: it may stand in a file, or in an answer to come. But a lookup may give
//! another one each time, and what is searched for in every output must stay small: the oldest are forgotten first, and
//! before all others those that were replaced.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// Values known of one name.
const MOST_OF_A_NAME: usize = 32;
/// Bytes of all values.
const MOST_BYTES: usize = 512 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownValues {
    /// Names and values, the newest last.
    known: Vec<(String, String)>,
}

impl KnownValues {
    pub fn add(&mut self, name: String, value: String) {
        self.known.retain(|(known, other)| (known, other) != (&name, &value));
        let of_name = self.known.iter().filter(|(known, _)| *known == name).count();
        if of_name >= MOST_OF_A_NAME
            && let Some(oldest) = self.known.iter().position(|(known, _)| *known == name)
        {
            self.known.remove(oldest);
        }
        self.known.push((name, value));
        while self.bytes() > MOST_BYTES && self.known.len() > 1 {
            let oldest = self.oldest_replaced();
            self.known.remove(oldest);
        }
    }

    #[must_use]
    pub fn contains(&self, name: &str, value: &str) -> bool {
        self.iter().any(|known| known == (name, value))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Names and values, the newest last.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Forgets those of which `is_wanted`, given name and value, says false.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&str, &str) -> bool) {
        self.known.retain(|(name, value)| is_wanted(name, value));
    }

    #[must_use]
    pub fn values(&self) -> BTreeSet<String> {
        self.known.iter().map(|(_, value)| value.clone()).collect()
    }

    fn bytes(&self) -> usize {
        self.known.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Where the oldest value is that was replaced; the oldest of all where none was.
    fn oldest_replaced(&self) -> usize {
        let places = self.known.iter().enumerate();
        let newest: HashMap<&str, usize> = places.map(|(at, (name, _))| (name.as_str(), at)).collect();
        let is_replaced =
            |(at, (name, _)): (usize, &(String, String))| newest.get(name.as_str()) != Some(&at);
        self.known.iter().enumerate().position(is_replaced).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_with_a_new_value_each_time_the_newest_stay_known() {
        let mut values = KnownValues::default();
        values.add("OTHER".to_owned(), "of another name".to_owned());
        for number in 0..1000 {
            values.add("CHANGING".to_owned(), format!("value {number:04}"));
        }
        let all = values.values();
        assert_eq!(all.len(), MOST_OF_A_NAME + 1);
        assert!(all.contains("of another name") && all.contains("value 0999") && !all.contains("value 0000"));
    }

    #[test]
    fn large_values_that_were_replaced_are_forgotten_before_those_that_count() {
        let mut values = KnownValues::default();
        values.add("OTHER".to_owned(), "of another name".to_owned());
        for number in 0..30 {
            values.add("LARGE".to_owned(), format!("{number}{}", "x".repeat(64 * 1024)));
        }
        let all = values.values();
        assert!(all.contains("of another name"));
        assert!(all.iter().any(|value| value.starts_with("29x")));
        assert!(all.iter().map(String::len).sum::<usize>() <= MOST_BYTES);
    }
}
