//! What the pods of a cluster's sandboxes have in common.

use std::collections::BTreeMap;

use kubernetes::types::Toleration;

use crate::drivers::WorkerSettings;
use crate::drivers::inside::Paths;

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: String,
    /// By which it knows what is another cluster's of that name; `None`: it takes all of that name for its own.
    pub mark: Option<String>,
    /// Of the worker's container.
    pub image: String,
    /// The image that has the worker's program, which puts it into the sandbox.
    pub program_image: String,
    /// The ConfigMap whose end is that of all pods; `None`: they end by the supervisor alone.
    pub owner: Option<String>,
    /// `None`: the namespace's default. Its token is never given.
    pub service_account: Option<String>,
    pub profile: Profile,
    pub handover: Handover,
    pub volume: Volume,
    pub resources: Resources,
    /// Names of Secrets.
    pub pull_secrets: Vec<String>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub priority_class: Option<String>,
    /// The RuntimeClass; `None`: the cluster's default.
    pub runtime: Option<String>,
    pub paths: Paths,
    pub worker: WorkerSettings,
}

/// What a pod may be, by the words of Pod Security.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Worker and commands are one user, without any capability.
    #[default]
    Restricted,
    /// The worker is root with the capabilities that let its commands be another user.
    Baseline,
}

/// How a worker is told what it is to do, credentials and all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// A line on its standard input.
    #[default]
    Attach,
    /// A Secret that is made before the pod and ends with it.
    Secret,
}

/// Of a sandbox' files.
#[derive(Clone, Debug)]
pub struct Volume {
    /// `None`: the cluster's default.
    pub storage_class: Option<String>,
    pub mebibytes: u64,
    pub access_mode: String,
}

/// Of the worker's container.
#[derive(Clone, Debug)]
pub struct Resources {
    /// At most. What is in the folders in memory counts too.
    pub memory_mib: u64,
    pub cpus: f64,
    /// What the machine keeps for it.
    pub request_memory_mib: u64,
    pub request_cpus: f64,
    /// `/tmp`, and as much again of the home.
    pub tmp_mib: u64,
}

impl Config {
    #[must_use]
    pub fn new(cluster: String, image: String, program_image: String) -> Self {
        Self {
            cluster,
            mark: None,
            image,
            program_image,
            owner: None,
            service_account: None,
            profile: Profile::default(),
            handover: Handover::default(),
            volume: Volume {
                storage_class: None,
                mebibytes: 10_240,
                access_mode: "ReadWriteOnce".to_owned(),
            },
            resources: Resources {
                memory_mib: 2_048,
                cpus: 2.0,
                request_memory_mib: 512,
                request_cpus: 0.25,
                tmp_mib: 512,
            },
            pull_secrets: Vec::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            priority_class: None,
            runtime: None,
            paths: Paths::default(),
            worker: WorkerSettings::default(),
        }
    }
}
