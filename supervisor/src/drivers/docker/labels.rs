//! What says whose a container or a volume is.
//!
//! All of a cluster has its name. Two clusters that have one name on one engine would take each other's sandboxes for
//! their own: each also has a mark, by which it knows what is the other's, and touches nothing then. What is no sandbox's
//! has none: it holds nothing that could be lost.

use std::collections::HashMap;

use ports::{Error, Result};
use types::SandboxId;

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

/// Of what keeps a sandbox's files.
pub fn of_sandbox(config: &Config, sandbox: &SandboxId) -> Labels {
    let mut labels = of_cluster(config, SANDBOX_LABEL, sandbox.as_str());
    labels.extend(config.mark.clone().map(|mark| (MARK_LABEL.to_owned(), mark)));
    labels
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
    let labels = labels.filter(|labels| labels.contains_key(SANDBOX_LABEL));
    match labels.and_then(|labels| labels.get(MARK_LABEL)) {
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
