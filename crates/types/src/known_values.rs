//! The values that secrets of a conversation have had.
//!
//! A value stays known after it was replaced: it may stand in a file, or in an answer to come. But a lookup may give
//! another one each time, and what is searched for in every output must stay small: the oldest are forgotten first, and
//! before all others those that were replaced. What is read has the same bounds: workers send such lists, too.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Deserializer, Serialize};

/// Values known of one name.
const MOST_OF_A_NAME: usize = 32;
/// Values of all names, and their bytes.
const MOST: usize = 4_096;
const MOST_BYTES: usize = 512 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
        let mut bytes: usize = self.known.iter().map(bytes_of).sum();
        while self.known.len() > MOST || bytes > MOST_BYTES && self.known.len() > 1 {
            bytes -= bytes_of(&self.known.remove(self.oldest_replaced()));
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
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

    /// Where the oldest value is that was replaced; the oldest of all where none was.
    fn oldest_replaced(&self) -> usize {
        let places = self.known.iter().enumerate();
        let newest: HashMap<&str, usize> = places.map(|(at, (name, _))| (name.as_str(), at)).collect();
        let is_replaced =
            |(at, (name, _)): (usize, &(String, String))| newest.get(name.as_str()) != Some(&at);
        self.known.iter().enumerate().position(is_replaced).unwrap_or_default()
    }

    /// The newest of a list that nobody has bounded, which may be long.
    fn newest_of(list: Vec<(String, String)>) -> Self {
        let (mut of_names, mut bytes) = (HashMap::<String, usize>::new(), 0);
        let mut known = Vec::new();
        for entry in list.into_iter().rev() {
            let of_name = of_names.entry(entry.0.clone()).or_default();
            *of_name += 1;
            if *of_name > MOST_OF_A_NAME {
                continue;
            }
            bytes += bytes_of(&entry);
            if known.len() == MOST || bytes > MOST_BYTES && !known.is_empty() {
                break;
            }
            known.push(entry);
        }
        known.reverse();
        Self { known }
    }
}

impl<'de> Deserialize<'de> for KnownValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::newest_of)
    }
}

fn bytes_of((name, value): &(String, String)) -> usize {
    name.len() + value.len()
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

    #[test]
    fn what_is_read_has_the_bounds_of_what_is_added() {
        let read = |list: &[(String, String)]| -> KnownValues {
            serde_json::from_str(&serde_json::to_string(list).unwrap()).unwrap()
        };
        let of = |names: usize, values: usize| -> Vec<_> {
            (0..values)
                .flat_map(|value| (0..names).map(move |name| (format!("N{name}"), value.to_string())))
                .collect()
        };
        let changing = read(&of(1, 100_000));
        assert_eq!(changing.len(), MOST_OF_A_NAME);
        assert!(changing.contains("N0", "99999") && !changing.contains("N0", "0"));
        assert_eq!(read(&of(1_000, 32)).len(), MOST);
        let large: Vec<_> = (0..30).map(|n| (format!("N{n}"), "x".repeat(64 * 1024))).collect();
        assert!(read(&large).iter().map(|(_, value)| value.len()).sum::<usize>() <= MOST_BYTES);
        let mut added = KnownValues::default();
        of(40, 40).into_iter().for_each(|(name, value)| added.add(name, value));
        assert_eq!(
            serde_json::from_str::<KnownValues>(&serde_json::to_string(&added).unwrap()).unwrap(),
            added
        );
    }

    #[test]
    fn no_more_values_are_known_than_are_searched_for_in_every_output() {
        let mut values = KnownValues::default();
        (0..2 * MOST).for_each(|number| values.add(number.to_string(), "v".to_owned()));
        assert_eq!(values.len(), MOST);
        assert!(values.contains(&(2 * MOST - 1).to_string(), "v"));
    }
}
