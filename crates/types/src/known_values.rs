//! The values that secrets of a conversation have had.
//!
//! A value stays known after it was replaced: it may stand in a file, or in an answer to come. But a lookup may give
//! another one each time, and what is searched for in every output must stay small: the oldest are forgotten first, and
//! before all others those that were replaced. What is read has the same bounds: workers send such lists, too.

use std::collections::{BTreeSet, HashMap, HashSet};

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
        self.extend([(name, value)]);
    }

    /// Adds values, the newest last. What it takes grows with their number, and no faster.
    pub fn extend(&mut self, values: impl IntoIterator<Item = (String, String)>) {
        self.known.extend(values);
        let is_kept = self.kept();
        let mut is_kept = is_kept.iter();
        self.known.retain(|_| is_kept.next().copied().unwrap_or_default());
    }

    /// Of each value whether it is kept: once, the newest of its name, and among those that there is room for.
    fn kept(&self) -> Vec<bool> {
        let (mut seen, mut of_names) = (HashSet::new(), HashMap::new());
        let (mut places, mut count, mut bytes) = (Vec::with_capacity(self.known.len()), 0, 0);
        for (name, value) in self.known.iter().rev() {
            let is_first = seen.insert((name, value));
            let of_name = of_names.entry(name).or_insert(0);
            *of_name += usize::from(is_first);
            let place = match is_first && *of_name <= MOST_OF_A_NAME {
                true if *of_name == 1 => Place::Counts,
                true => Place::Replaced,
                false => Place::Out,
            };
            if place != Place::Out {
                (count, bytes) = (count + 1, bytes + name.len() + value.len());
            }
            places.push(place);
        }
        places.reverse();
        for goes in [Place::Replaced, Place::Counts] {
            for (place, (name, value)) in places.iter_mut().zip(&self.known) {
                let is_too_much = bytes > MOST_BYTES || count > MOST;
                if *place == goes && is_too_much && count > 1 {
                    *place = Place::Out;
                    (count, bytes) = (count - 1, bytes - name.len() - value.len());
                }
            }
        }
        places.into_iter().map(|place| place != Place::Out).collect()
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
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The newest of its name.
    Counts,
    Replaced,
    Out,
}

impl<'de> Deserialize<'de> for KnownValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut known = Self::default();
        known.extend(Vec::<(String, String)>::deserialize(deserializer)?);
        Ok(known)
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
    fn a_value_that_is_added_again_is_the_newest_and_known_once() {
        let mut values = KnownValues::default();
        for value in ["one", "two", "one"] {
            values.add("A".to_owned(), value.to_owned());
        }
        assert_eq!(values.iter().collect::<Vec<_>>(), [("A", "two"), ("A", "one")]);
    }

    #[test]
    fn many_values_are_added_at_once_in_about_the_time_of_one() {
        let many = |first: usize| {
            (first..first + 20_000).map(|number| (format!("{}", number % 900), format!("value {number}")))
        };
        let begun = std::time::Instant::now();
        let mut values = KnownValues::default();
        values.extend(many(0));
        values.extend(many(20_000));
        assert_eq!(values.iter().count(), MOST);
        let newest: BTreeSet<&str> = values.iter().map(|(name, _)| name).collect();
        assert_eq!(newest.len(), 900, "of every name the value that counts");
        // One by one this would be hundreds of millions of comparisons.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
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
        values.extend((0..2 * MOST).map(|number| (number.to_string(), "v".to_owned())));
        assert_eq!(values.len(), MOST);
        assert!(values.contains(&(2 * MOST - 1).to_string(), "v"));
    }
}
