//! How much each client may ask for.

use gateway::config::{BodyRate, Limits, Rates};

use super::{Invalid, Source, count};

/// What the operator says of the gateway's limits.
pub struct Bounds {
    rates: Rates,
    connections_of_a_peer: Option<usize>,
    body_bytes_per_second: Option<u32>,
}

impl Bounds {
    /// # Errors
    /// The first of them that cannot be meant.
    pub fn read(source: &Source) -> Result<Self, Invalid> {
        let rate = |field: &str| -> Result<Option<u32>, Invalid> {
            Ok(source.whole(field)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
        };
        Ok(Self {
            rates: Rates {
                of_an_address: rate("max_requests_per_second_per_address")?,
                of_a_key: rate("max_requests_per_second_per_key")?,
                of_a_tenant: rate("max_requests_per_second_per_tenant")?,
            },
            connections_of_a_peer: count(source.whole("max_connections_per_address")?),
            body_bytes_per_second: rate("min_body_bytes_per_second")?,
        })
    }

    /// The `usual` limits, where the operator says nothing else.
    pub fn over(&self, usual: Limits) -> Limits {
        let rate = usual.body_rate;
        let bytes_per_second = self.body_bytes_per_second.unwrap_or(rate.bytes_per_second);
        Limits {
            rates: self.rates.clone(),
            connections_of_a_peer: self.connections_of_a_peer.unwrap_or(usual.connections_of_a_peer),
            body_rate: BodyRate { bytes_per_second, ..rate },
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn limits(variables: &[(&str, &str)]) -> Limits {
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Bounds::read(&Source::new(environment, json!({}))).unwrap().over(Limits::default())
    }

    #[test]
    fn nobody_is_refused_for_asking_often_unless_the_operator_says_so() {
        let usual = limits(&[]);
        let rates = [usual.rates.of_an_address, usual.rates.of_a_key, usual.rates.of_a_tenant];
        assert_eq!((rates, usual.connections_of_a_peer), ([None; 3], usize::MAX));
        let documented = super::super::table::find("min_body_bytes_per_second").unwrap().default;
        assert_eq!(usual.body_rate.bytes_per_second.to_string(), documented);
    }

    #[test]
    fn each_bound_is_the_one_that_was_said() {
        let said = limits(&[
            ("OH_MAX_REQUESTS_PER_SECOND_PER_ADDRESS", "1"),
            ("OH_MAX_REQUESTS_PER_SECOND_PER_KEY", "2"),
            ("OH_MAX_REQUESTS_PER_SECOND_PER_TENANT", "3"),
            ("OH_MAX_CONNECTIONS_PER_ADDRESS", "4"),
            ("OH_MIN_BODY_BYTES_PER_SECOND", "0"),
        ]);
        let rates = [said.rates.of_an_address, said.rates.of_a_key, said.rates.of_a_tenant];
        assert_eq!((rates, said.connections_of_a_peer), ([Some(1), Some(2), Some(3)], 4));
        assert_eq!(said.body_rate.bytes_per_second, 0);
    }
}
