//! The secrets of a conversation: what its shell commands get, and what nobody may see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use child_environment::is_variable;
use parking_lot::Mutex;
use types::ConversationId;
use types::known_values::KnownValues;
use types::secrets::SecretSource;

use super::lookup::Lookups;
use super::mask::{Masker, is_long_enough};

/// A lookup that failed is not repeated before this has passed.
const LOOKUP_PAUSE: Duration = Duration::from_secs(60);
/// Preparing the search for more bytes than this is not done on a thread of the runtime.
const QUICK_BYTES: usize = 16 * 1024;

pub(super) struct Secrets {
    lookups: Arc<Lookups>,
    conversation: ConversationId,
    inner: Mutex<Inner>,
    /// Held while a masker is made: the last one made knows the most.
    making: tokio::sync::Mutex<()>,
}

struct Inner {
    sources: BTreeMap<String, SecretSource>,
    values: KnownValues,
    /// Of these the record knows.
    kept: KnownValues,
    /// These were looked up, and the record does not know of them yet.
    unkept: KnownValues,
    masker: Masker,
    failed: HashMap<String, Instant>,
    /// Of these was said that they are not hidden.
    too_short: BTreeSet<String>,
}

impl Secrets {
    pub(super) fn new(lookups: Arc<Lookups>, conversation: ConversationId) -> Self {
        let inner = Inner {
            sources: BTreeMap::new(),
            values: KnownValues::default(),
            kept: KnownValues::default(),
            unkept: KnownValues::default(),
            masker: Masker::new([]),
            failed: HashMap::new(),
            too_short: BTreeSet::new(),
        };
        Self { lookups, conversation, inner: Mutex::new(inner), making: tokio::sync::Mutex::default() }
    }

    /// Adds sources, or replaces those of the same name. Values known before stay hidden.
    pub(super) async fn add(&self, sources: BTreeMap<String, SecretSource>) {
        let values = sources.iter().filter_map(|(name, source)| Some((name.clone(), static_value(source)?)));
        self.learn(values.collect()).await;
        let mut inner = self.inner.lock();
        inner.failed.retain(|name, _| !sources.contains_key(name));
        inner.sources.extend(sources);
    }

    /// Hides what the record says was looked up or replaced earlier.
    pub(super) async fn remember(&self, past: KnownValues) {
        let values = past.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.learn(values.collect()).await;
        self.inner.lock().kept = past;
    }

    /// Hides these from now on, and gives them to nobody.
    pub(super) async fn hide(&self, values: Vec<(String, String)>) {
        if !values.is_empty() {
            self.learn(values).await;
        }
    }

    /// What was looked up and is not in the record yet.
    pub(super) fn unkept(&self) -> KnownValues {
        self.inner.lock().unkept.clone()
    }

    /// They are in the record now.
    pub(super) fn are_kept(&self, values: &KnownValues) {
        let mut inner = self.inner.lock();
        inner.unkept.retain(|name, value| !values.contains(name, value));
        inner.kept.extend(values.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    pub(super) fn masker(&self) -> Masker {
        self.inner.lock().masker.clone()
    }

    /// The names and values to export before a command of this text runs: those whose name occurs in it,
    /// in any case. A secret that cannot be looked up is left out, with a warning.
    pub(super) async fn exports(&self, command: &str) -> Vec<(String, String)> {
        let mut exports = Vec::new();
        for (name, source) in self.named_in(command) {
            match self.value(&name, &source).await {
                Ok(Some(value)) => exports.push((name, value)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(secret = %name, %error, "a secret cannot be looked up");
                    self.inner.lock().failed.insert(name, Instant::now());
                }
            }
        }
        exports
    }

    fn named_in(&self, command: &str) -> Vec<(String, SecretSource)> {
        let command = command.to_lowercase();
        let inner = self.inner.lock();
        let pausing =
            |name: &str| inner.failed.get(name).is_some_and(|failed| failed.elapsed() < LOOKUP_PAUSE);
        inner
            .sources
            .iter()
            .filter(|(name, _)| is_variable(name) && command.contains(&name.to_lowercase()) && !pausing(name))
            .map(|(name, source)| (name.clone(), source.clone()))
            .collect()
    }

    async fn value(&self, name: &str, source: &SecretSource) -> Result<Option<String>, super::lookup::Error> {
        let SecretSource::LookupSecret { url, headers, .. } = source else { return Ok(static_value(source)) };
        let value = match source.name_here() {
            Some(_) => self.lookups.kept(self.conversation, name).await?,
            None => self.lookups.get(url, headers).await?,
        };
        tracing::debug!(secret = %name, "looked up a secret");
        self.learn(vec![(name.to_owned(), value.clone())]).await;
        let mut inner = self.inner.lock();
        if is_long_enough(&value) && !inner.kept.contains(name, &value) {
            inner.unkept.add(name.to_owned(), value.clone());
        }
        Ok(Some(value))
    }

    /// From its end on these values are hidden.
    async fn learn(&self, values: Vec<(String, String)>) {
        let _making = self.making.lock().await;
        let known = {
            let mut inner = self.inner.lock();
            for (name, _) in values.iter().filter(|(_, value)| !is_long_enough(value)) {
                if inner.too_short.insert(name.clone()) {
                    tracing::info!(secret = %name, "the value is too short to be hidden in outputs");
                }
            }
            inner.values.extend(values);
            inner.values.values()
        };
        if self.inner.lock().masker.values() == &known {
            return;
        }
        let masker = make(known).await;
        self.inner.lock().masker = masker;
    }
}

async fn make(values: BTreeSet<String>) -> Masker {
    if values.iter().map(String::len).sum::<usize>() > QUICK_BYTES {
        let own = values.clone();
        if let Ok(masker) = tokio::task::spawn_blocking(move || Masker::new(own)).await {
            return masker;
        }
    }
    Masker::new(values)
}

fn static_value(source: &SecretSource) -> Option<String> {
    match source {
        SecretSource::StaticSecret { value, .. } => value.clone(),
        SecretSource::LookupSecret { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn secrets(list: &[(&str, &str)]) -> Secrets {
        let secrets = Secrets::new(Arc::new(Lookups::default()), ConversationId::random());
        let source =
            |value: &str| SecretSource::StaticSecret { description: None, value: Some(value.to_owned()) };
        secrets.add(list.iter().map(|(name, value)| ((*name).to_owned(), source(value))).collect()).await;
        secrets
    }

    #[tokio::test]
    async fn a_command_gets_the_secrets_it_names_in_any_case() {
        let secrets = secrets(&[("API_TOKEN", "t"), ("OTHER", "o"), ("not-a-name", "n")]).await;
        let exports = secrets.exports("echo $api_token not-a-name").await;
        assert_eq!(exports, [("API_TOKEN".to_owned(), "t".to_owned())]);
    }

    #[tokio::test]
    async fn a_replaced_value_stays_hidden() {
        let secrets = secrets(&[("A", "old-value")]).await;
        let new = SecretSource::StaticSecret { description: None, value: Some("new-value".to_owned()) };
        secrets.add(BTreeMap::from([("A".to_owned(), new)])).await;
        assert_eq!(secrets.masker().mask("old-value new-value"), "<secret-hidden> <secret-hidden>");
    }
}
