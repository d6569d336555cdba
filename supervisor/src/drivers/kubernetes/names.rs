//! What a sandbox's objects are called, and how it is known from them whose they are.
//!
//! Names of Kubernetes are of fewer letters than those of sandboxes, so a hash stands for a sandbox, and the name itself is
//! a note on each object.

use std::collections::BTreeMap;

use kubernetes::types::ObjectMeta;
use ports::{Error, Result};
use sha2::{Digest, Sha256};
use types::{Epoch, SandboxId};

use super::Config;
use crate::Instance;

pub const CLUSTER_LABEL: &str = "manyhands.io/cluster";
pub const SANDBOX_LABEL: &str = "manyhands.io/sandbox";
pub const EPOCH_LABEL: &str = "manyhands.io/epoch";
/// Instead of the sandbox' own, of what is only tried.
pub const TRIAL_LABEL: &str = "manyhands.io/trial";

const CLUSTER_NOTE: &str = "manyhands.io/cluster-name";
const MARK_NOTE: &str = "manyhands.io/cluster-mark";
const SANDBOX_NOTE: &str = "manyhands.io/sandbox-id";
/// On a pod whose worker has been told what it is to do.
pub const TOLD_NOTE: &str = "manyhands.io/told";

const HASH_LETTERS: usize = 20;
const CLUSTER_LETTERS: usize = 20;

/// Of the pod, and of the Secret where it has one.
pub fn pod(config: &Config, instance: &Instance) -> String {
    format!("{}-{}", claim(config, &instance.sandbox), instance.epoch.0)
}

/// Of the volume.
pub fn claim(config: &Config, sandbox: &SandboxId) -> String {
    format!("mh-{}-{}", short(&config.cluster), hash(&config.cluster, sandbox))
}

/// The metadata of something that belongs to a sandbox.
pub fn of_sandbox(config: &Config, name: String, sandbox: &SandboxId) -> ObjectMeta {
    let hash = hash(&config.cluster, sandbox);
    let labels = [
        ("app.kubernetes.io/name", "manyhands".to_owned()),
        ("app.kubernetes.io/component", "worker".to_owned()),
        ("app.kubernetes.io/managed-by", "manyhands-supervisor".to_owned()),
        ("app.kubernetes.io/instance", short(&config.cluster)),
        (CLUSTER_LABEL, short(&config.cluster)),
        (SANDBOX_LABEL, hash),
    ];
    let mut notes = vec![(CLUSTER_NOTE, config.cluster.clone()), (SANDBOX_NOTE, sandbox.as_str().to_owned())];
    notes.extend(config.mark.clone().map(|mark| (MARK_NOTE, mark)));
    ObjectMeta {
        name: Some(name),
        labels: Some(owned(labels)),
        annotations: Some(owned(notes)),
        ..ObjectMeta::default()
    }
}

/// The same of one of its instances.
pub fn of_instance(config: &Config, instance: &Instance) -> ObjectMeta {
    let mut meta = of_sandbox(config, pod(config, instance), &instance.sandbox);
    meta.labels.get_or_insert_default().insert(EPOCH_LABEL.to_owned(), instance.epoch.0.to_string());
    meta
}

/// Turns the metadata of a sandbox' object into that of something that no supervisor shall take for a sandbox'.
pub fn make_trial(meta: &mut ObjectMeta) {
    let labels = meta.labels.get_or_insert_default();
    if let Some(hash) = labels.remove(SANDBOX_LABEL) {
        labels.insert(TRIAL_LABEL.to_owned(), hash);
    }
}

/// What finds all of a cluster's sandboxes.
pub fn selector(config: &Config) -> String {
    format!("{CLUSTER_LABEL}={},{SANDBOX_LABEL}", short(&config.cluster))
}

/// What finds everything of a cluster.
pub fn selector_of_all(config: &Config) -> String {
    format!("{CLUSTER_LABEL}={}", short(&config.cluster))
}

/// What finds the objects of one sandbox.
pub fn selector_of(config: &Config, sandbox: &SandboxId) -> String {
    let (cluster, hash) = (short(&config.cluster), hash(&config.cluster, sandbox));
    format!("{CLUSTER_LABEL}={cluster},{SANDBOX_LABEL}={hash}")
}

/// The sandbox that an object is of, if it is one of this cluster, by its note and its label alike.
pub fn sandbox(config: &Config, meta: &ObjectMeta) -> Option<SandboxId> {
    let note = |key| meta.annotations.as_ref()?.get(key);
    let sandbox = SandboxId::parse(note(SANDBOX_NOTE)?)?;
    let labelled = meta.labels.as_ref()?.get(SANDBOX_LABEL)?;
    let is_own = note(CLUSTER_NOTE) == Some(&config.cluster) && *labelled == hash(&config.cluster, &sandbox);
    is_own.then_some(sandbox)
}

pub fn instance(config: &Config, meta: &ObjectMeta) -> Option<Instance> {
    let epoch = Epoch(meta.labels.as_ref()?.get(EPOCH_LABEL)?.parse().ok()?);
    Some(Instance { sandbox: sandbox(config, meta)?, epoch })
}

/// # Errors
/// `Unavailable`, if it is an object of another cluster that has the same name.
pub fn check(config: &Config, meta: &ObjectMeta) -> Result<()> {
    let note = |key| meta.annotations.as_ref().and_then(|notes| notes.get(key));
    let (is_named_so, mark) = (note(CLUSTER_NOTE) == Some(&config.cluster), note(MARK_NOTE));
    let is_own = match (&config.mark, mark) {
        (Some(own), Some(mark)) => own == mark,
        _ => true,
    };
    if !is_named_so || is_own {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "another cluster in this namespace is called {:?} as well, and nothing is done as long as its pods and volumes are \
         there: give one of the two another OH_CLUSTER",
        config.cluster
    )))
}

/// Twenty letters of it, which no two sandboxes of the world share by accident.
fn hash(cluster: &str, sandbox: &SandboxId) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hash = Sha256::new();
    hash.update(cluster);
    hash.update([0]);
    hash.update(sandbox.as_str());
    let digest = hash.finalize();
    let mut bits = digest.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let letter = |_| {
        let index = bits.by_ref().take(5).fold(0, |index, bit| index << 1 | usize::from(bit));
        LETTERS.get(index).copied().map_or('a', char::from)
    };
    (0..HASH_LETTERS).map(letter).collect()
}

/// Of a cluster's name what a label and a part of a name may hold.
fn short(cluster: &str) -> String {
    let allowed = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9') => letter,
        _ => '-',
    };
    let letters: String = cluster.chars().map(allowed).take(CLUSTER_LETTERS).collect();
    letters.trim_matches('-').to_owned()
}

fn owned<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(cluster: &str) -> Config {
        Config::new(cluster.to_owned(), "image".to_owned(), "program".to_owned())
    }

    fn id(text: &str) -> SandboxId {
        SandboxId::parse(text).unwrap()
    }

    #[test]
    fn whatever_sandbox_and_cluster_are_called_the_name_is_one_that_can_be() {
        let longest = "A_".repeat(32);
        for cluster in ["default", "Prod_1.", "-", "a.very.long.name.of.a.cluster.of.forty.char"] {
            for sandbox in ["a", "Z", "_x", longest.as_str()] {
                let instance = Instance { sandbox: id(sandbox), epoch: Epoch(u64::MAX) };
                let name = pod(&config(cluster), &instance);
                let may_be = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
                assert!(name.chars().all(may_be) && name.len() <= 70, "{name}");
                let meta = of_instance(&config(cluster), &instance);
                for (key, value) in meta.labels.unwrap() {
                    let ends = [value.chars().next(), value.chars().last()];
                    let is_alphanumeric = |end: &Option<char>| end.is_none_or(char::is_alphanumeric);
                    assert!(value.len() <= 63 && ends.iter().all(is_alphanumeric), "{key}: {value}");
                }
            }
        }
    }

    #[test]
    fn a_name_stays_what_it_is_from_one_version_to_the_next() {
        let instance = Instance { sandbox: id("a"), epoch: Epoch(3) };
        assert_eq!(pod(&config("default"), &instance), "mh-default-yacagpuyfvmwkpjo5lfm-3");
    }

    #[test]
    fn a_pod_is_known_from_what_stands_on_it_and_another_clusters_is_not() {
        let (own, like_it) = (config("a_b"), config("a-b"));
        let instance = Instance { sandbox: id("A_b"), epoch: Epoch(3) };
        let meta = of_instance(&own, &instance);
        assert_eq!(super::instance(&own, &meta), Some(instance.clone()));
        assert_eq!(selector(&own), selector(&like_it), "their labels are the same");
        assert_eq!(super::instance(&like_it, &meta), None);
        assert_ne!(pod(&own, &instance), pod(&like_it, &instance));
        let mut trial = meta.clone();
        make_trial(&mut trial);
        assert_eq!(super::instance(&own, &trial), None);
    }

    #[test]
    fn two_clusters_of_one_name_are_told_apart_by_their_marks() {
        let marked = |mark: &str| Config { mark: Some(mark.to_owned()), ..config("same") };
        let meta = of_sandbox(&marked("one"), "name".to_owned(), &id("a"));
        assert_eq!(check(&marked("one"), &meta), Ok(()));
        assert!(matches!(check(&marked("other"), &meta), Err(Error::Unavailable(_))));
        assert_eq!(check(&config("another"), &meta), Ok(()), "it does not concern that one");
    }
}
