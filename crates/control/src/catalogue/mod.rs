//! The models and providers that there are, to choose from. What can be called is decided by `llm`, not here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ground::Ground;

const MODELS: &str = include_str!("data/models.tsv");
const PROVIDERS: &str = include_str!("data/providers.json");
const VERIFIED: &str = include_str!("data/verified.json");

/// Of a hash, so many bytes tell two answers apart.
const TAG_BYTES: usize = 16;

/// The models and providers that there are. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue(Arc<Made>);

/// What is made with the first call: every page of the user interface asks for the same.
#[derive(Default)]
struct Made {
    models: OnceLock<Document>,
    providers: OnceLock<Document>,
    verified: OnceLock<Document>,
}

/// A whole answer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Document {
    /// JSON.
    pub body: Bytes,
    /// Another one for every other body.
    pub tag: Arc<str>,
}

#[derive(Deserialize)]
struct Verified {
    models: BTreeMap<String, BTreeSet<String>>,
}

impl Catalogue {
    pub(crate) fn new(_: &Ground) -> Self {
        Self(Arc::default())
    }

    #[must_use]
    pub fn providers(&self) -> Document {
        self.0.providers.get_or_init(|| Document::new(Bytes::from_static(PROVIDERS.as_bytes()))).clone()
    }

    /// Models that are known to work well, by provider.
    #[must_use]
    pub fn verified(&self) -> Document {
        self.0.verified.get_or_init(|| Document::new(Bytes::from_static(VERIFIED.as_bytes()))).clone()
    }

    /// All models, or those of a provider: none where there is no such provider.
    #[must_use]
    pub fn models(&self, provider: Option<&str>) -> Document {
        match provider {
            Some(provider) => list(models_of(provider)),
            None => self.0.models.get_or_init(|| list(table().map(|(model, _)| model).collect())).clone(),
        }
    }
}

impl Document {
    fn new(body: Bytes) -> Self {
        let hash = Sha256::digest(&body);
        let tag = types::hex(&hash).chars().take(2 * TAG_BYTES).collect::<String>();
        Self { body, tag: tag.into() }
    }
}

fn list(models: Vec<&str>) -> Document {
    Document::new(json!({ "models": models }).to_string().into())
}

fn table() -> impl Iterator<Item = (&'static str, &'static str)> {
    MODELS.lines().filter_map(|line| line.split_once('\t'))
}

/// Those in whose name the provider is, and those that are known to work well with it, unless such a name is one of another
/// provider.
fn models_of(wanted: &str) -> Vec<&'static str> {
    let mut verified = verified_models();
    let verified = verified.remove(wanted).unwrap_or_default();
    let is_of = |model: &str, provider: &str| {
        let is_anothers = model.contains('/') && !provider.is_empty();
        provider == wanted || (verified.contains(model) && !is_anothers)
    };
    table().filter(|(model, provider)| is_of(model, provider)).map(|(model, _)| model).collect()
}

fn verified_models() -> BTreeMap<String, BTreeSet<String>> {
    // A test reads the file.
    serde_json::from_str::<Verified>(VERIFIED).map(|verified| verified.models).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("data/README.md");

    #[test]
    fn the_tables_are_those_that_their_page_tells_of() {
        for (name, text) in
            [("models.tsv", MODELS), ("providers.json", PROVIDERS), ("verified.json", VERIFIED)]
        {
            let hash = types::hex(&Sha256::digest(text.as_bytes()));
            let row = README.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap();
            assert!(row.contains(&hash), "{name} has the hash {hash}");
        }
        assert_eq!(table().count(), MODELS.lines().count());
        assert!(table().is_sorted() && verified_models().len() > 10);
    }

    #[test]
    fn a_provider_has_its_own_models_and_those_that_work_well_with_it() {
        // As the peer answers.
        for (provider, count) in [("openai", 16), ("anthropic", 8), ("openrouter", 25), ("azure", 325)] {
            assert_eq!(models_of(provider).len(), count, "{provider}");
        }
        assert_eq!(models_of("nobody"), [""; 0]);
        // An empty name is no provider, but the peer lists what has none.
        assert!(models_of("").len() > 100);
    }
}
