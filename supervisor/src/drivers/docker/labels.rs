//! What says whose a container or a volume is.
//!
//! All of a cluster has its name. Two clusters that have one name on one engine would take each other's sandboxes for
//! their own: each also has a mark, by which it knows what is the other's, and touches nothing then. What is no sandbox's
//! has none: it holds nothing that could be lost.
//!
//! What an image is labelled as its containers are, too, and an image may be made of a sandbox. So what is ours has each label
//! of ours, an empty one where it is not meant, and an instance also has the name that follows from them.

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use ports::{Error, Result};
use types::{Epoch, SandboxId};

use super::Config;
use crate::Instance;

pub const CLUSTER_LABEL: &str = "io.manyhands.cluster";
/// Of no two clusters the same.
pub const MARK_LABEL: &str = "io.manyhands.mark";
pub const SANDBOX_LABEL: &str = "io.manyhands.sandbox";
pub const EPOCH_LABEL: &str = "io.manyhands.epoch";
pub const NODE_LABEL: &str = "io.manyhands.node";

/// What has it holds a worker's program.
pub const PROGRAM_LABEL: &str = "io.manyhands.program";
/// With the name of the sandbox that it plays.
pub const TRIAL_LABEL: &str = "io.manyhands.trial";

pub type Labels = HashMap<String, String>;

const ALL: [&str; 7] =
    [CLUSTER_LABEL, MARK_LABEL, SANDBOX_LABEL, EPOCH_LABEL, NODE_LABEL, PROGRAM_LABEL, TRIAL_LABEL];

/// Of what keeps a sandbox's files.
pub fn of_sandbox(config: &Config, sandbox: &SandboxId) -> Labels {
    let mut labels = of_cluster(config, SANDBOX_LABEL, sandbox.as_str());
    labels.extend(config.mark.clone().map(|mark| (MARK_LABEL.to_owned(), mark)));
    labels
}

/// The same on a container, whatever its image is labelled.
pub fn of_container(labels: Labels) -> Labels {
    ALL.map(|label| (label.to_owned(), String::new())).into_iter().chain(labels).collect()
}

/// What is said by one of them.
pub fn said<'a>(labels: &'a Labels, label: &str) -> Option<&'a str> {
    labels.get(label).map(String::as_str).filter(|value| !value.is_empty())
}

/// Whose container it is, if it is a worker's.
pub fn instance(config: &Config, container: &ContainerSummary) -> Option<Instance> {
    let labels = container.labels.as_ref()?;
    let sandbox = SandboxId::parse(said(labels, SANDBOX_LABEL)?)?;
    let instance = Instance { sandbox, epoch: Epoch(said(labels, EPOCH_LABEL)?.parse().ok()?) };
    let own = format!("/{}", instance.name(&config.cluster));
    container.names.iter().flatten().any(|name| *name == own).then_some(instance)
}

/// Of what holds the worker's program.
pub fn of_program(config: &Config) -> Labels {
    of_cluster(config, PROGRAM_LABEL, "worker")
}

/// Of the container that only tries whether a sandbox can be.
pub fn of_trial(config: &Config, sandbox: &SandboxId) -> Labels {
    of_cluster(config, TRIAL_LABEL, sandbox.as_str())
}

/// Of what belongs to the cluster, and what it is there.
fn of_cluster(config: &Config, label: &str, value: &str) -> Labels {
    Labels::from([(CLUSTER_LABEL.to_owned(), config.cluster.clone()), (label.to_owned(), value.to_owned())])
}

/// Of a worker's container.
pub fn of_instance(config: &Config, instance: &Instance) -> Labels {
    let mut labels = of_sandbox(config, &instance.sandbox);
    labels.insert(EPOCH_LABEL.to_owned(), instance.epoch.0.to_string());
    labels.insert(NODE_LABEL.to_owned(), config.node.clone());
    labels
}

/// What leaves all but the cluster's out.
pub fn filter(config: &Config) -> String {
    format!("{CLUSTER_LABEL}={}", config.cluster)
}

/// What a sandbox of the cluster's name has must be the cluster's. What has no mark is of a time when there were none.
///
/// # Errors
/// `Unavailable`, with a sentence for the operator.
pub fn check(config: &Config, labels: Option<&Labels>) -> Result<()> {
    let labels = labels.filter(|labels| said(labels, SANDBOX_LABEL).is_some());
    match labels.and_then(|labels| said(labels, MARK_LABEL)) {
        Some(mark) => check_mark(config, mark),
        None => Ok(()),
    }
}

/// # Errors
/// As [`check`].
pub fn check_mark(config: &Config, found: &str) -> Result<()> {
    if config.mark.as_ref().is_none_or(|own| own == found) {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "another cluster on this engine is called {:?} as well, and nothing is done as long as its containers and volumes \
         are there: give one of the two another OH_CLUSTER (in compose: another project name). Where they are this cluster's own, \
         left of a NATS that is gone, deploy/OPERATIONS.md says under \"Taking it down\" how they are removed",
        config.cluster
    )))
}
