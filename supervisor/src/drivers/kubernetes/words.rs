//! What clients are told of pods: what it is, and nothing of machines, namespaces and objects. The same for as long as the
//! cause is the same, whatever the cluster's own words count.

use types::placement::FailureReason::{NoCapacity, VolumeUnavailable};

use crate::Cause;

pub const NODE_LOST: &str = "The machine that the sandbox ran on does not answer any more.";
pub const NODE_DOWN: &str = "The machine that the sandbox ran on was shut down.";
pub const REFUSED_BY_NODE: &str = "The machine that was to run the sandbox had no room for it after all.";
pub const PREEMPTED: &str = "The sandbox had to give way to something that is more important to the cluster.";
pub const DRAINED: &str = "The machine that the sandbox ran on is being emptied.";
pub const GATED: &str = "The cluster holds the sandbox back.";
pub const NOT_STARTED: &str = "The sandbox' container cannot be started.";
pub const NO_PROGRAM: &str = "The worker's program could not be put into the sandbox.";
pub const NO_VOLUME: &str = "The volume of the sandbox' files cannot be used yet.";
pub const NO_NETWORK: &str = "The sandbox cannot be set up on its machine yet.";

/// What machines can have too little of.
const RESOURCES: [(&str, &str); 4] = [
    ("Insufficient cpu", "processors"),
    ("Insufficient memory", "memory"),
    ("Insufficient ephemeral-storage", "disk"),
    ("Too many pods", "places"),
];

/// By the words of the scheduler, such as `0/5 nodes are available: 3 Insufficient memory, …`.
pub fn unschedulable(said: &str) -> Cause {
    let lower = said.to_lowercase();
    let is_of_volume =
        ["persistentvolumeclaim", "volume node affinity", "persistent volume", "volume count", "volume zone"];
    if is_of_volume.iter().any(|words| lower.contains(words)) {
        return Cause::new(VolumeUnavailable, NO_VOLUME);
    }
    let lacking: Vec<&str> =
        RESOURCES.iter().filter(|(words, _)| said.contains(words)).map(|(_, what)| *what).collect();
    Cause::new(
        NoCapacity,
        match lacking.as_slice() {
            [] => "No machine of the cluster may run the sandbox.".to_owned(),
            lacking => {
                format!("No machine of the cluster has room for the sandbox ({}).", lacking.join(", "))
            }
        },
    )
}

/// By the words of the machine, such as `The node was low on resource: ephemeral-storage. …`.
pub fn evicted(said: &str) -> String {
    let of_itself = ["exceeds the limit", "exceeded its local ephemeral storage", "exceeds the total limit"];
    if of_itself.iter().any(|words| said.contains(words)) {
        return "The machine ended the sandbox: it had written more than it may, outside of its files."
            .to_owned();
    }
    let lacking =
        [("memory", "memory"), ("ephemeral-storage", "disk"), ("pid", "processes"), ("inodes", "files")];
    let (_, resource) = said.split_once("low on resource: ").unwrap_or_default();
    match lacking.iter().find(|(name, _)| resource.starts_with(name)) {
        Some((_, what)) => format!("The machine ended the sandbox: it had too little left ({what})."),
        None => "The machine ended the sandbox: it had too little left of something.".to_owned(),
    }
}

pub fn not_fetched(image: &str) -> String {
    format!("The image {image} cannot be fetched so far.")
}

pub fn never_fetched(image: &str) -> String {
    format!("The image {image} is not there.")
}

pub fn no_image_name(image: &str) -> String {
    format!("No image can be called {image}.")
}

/// By an event of a pod that a machine has.
pub fn of_event(reason: &str) -> Option<Cause> {
    match reason {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" | "VolumeResizeFailed" => {
            Some(Cause::new(VolumeUnavailable, NO_VOLUME))
        }
        "FailedCreatePodSandBox" | "NetworkNotReady" => Some(Cause::new(NoCapacity, NO_NETWORK)),
        _ => None,
    }
}
