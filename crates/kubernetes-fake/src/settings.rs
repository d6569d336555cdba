//! What a test can choose about its server.

use std::time::Duration;

use crate::kinds::Kind;

#[derive(Clone, Debug)]
pub struct Settings {
    /// How many seconds of the cluster pass in one of the test: leases of nodes, tolerations, bookmarks. Grace of pods and
    /// timeouts of watches are as the client says.
    pub pace: f64,
    /// Kinds beside the known ones.
    pub kinds: Vec<Kind>,
    /// Nodes that are there at first.
    pub nodes: Vec<Node>,
    /// How many changes watches and continued lists can look back on.
    pub history: usize,
    /// Sub-protocols of attaching, the best first.
    pub attach_protocols: Vec<&'static str>,
    /// Storage classes; the first is the default.
    pub storage_classes: Vec<&'static str>,
    /// How many parts of a watch's frame arrive one by one.
    pub splits_frames: bool,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub cpu: &'static str,
    pub memory: &'static str,
    pub pods: u32,
    pub labels: Vec<(&'static str, &'static str)>,
    pub runtimes: Vec<&'static str>,
}

impl Node {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cpu: "8",
            memory: "32Gi",
            pods: 110,
            labels: Vec::new(),
            runtimes: Vec::new(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pace: 1.0,
            kinds: Vec::new(),
            nodes: vec![Node::new("node-1")],
            history: 10_000,
            attach_protocols: vec!["v5.channel.k8s.io", "v4.channel.k8s.io"],
            storage_classes: vec!["standard"],
            splits_frames: true,
        }
    }
}

impl Settings {
    /// How long seconds of the cluster take.
    pub(crate) fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds / self.pace)
    }
}
