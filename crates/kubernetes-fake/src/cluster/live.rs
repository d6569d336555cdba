//! What runs of a pod on its node, beside what the API says of it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex as Waiting, watch};

use crate::value::Look;

type Report = Box<dyn FnOnce(&mut Value) + Send>;

pub struct Live {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub node: String,
    /// How long it may take to end where nobody says it.
    pub own_grace: Duration,
    /// Claims that it mounts; each that can be on one node alone is on this one, until it ends or is detached by force.
    pub claims: Vec<String>,
    pub is_detached: AtomicBool,
    log: watch::Sender<Vec<u8>>,
    /// The end that attaching writes into; `None` once it is closed.
    pub stdin: Waiting<Option<DuplexStream>>,
    /// The end that the container reads.
    pub input: Mutex<Option<DuplexStream>>,
    stopping: watch::Sender<Option<Duration>>,
    ended: watch::Sender<bool>,
    /// What the node could not report.
    withheld: Mutex<Vec<Report>>,
}

/// Like that of a pipe.
const INPUT_BYTES: usize = 64 * 1024;

impl Live {
    /// Of a pod that is on a node.
    pub fn new(pod: &Value) -> Self {
        let grace = pod.at("/spec/terminationGracePeriodSeconds").as_u64().unwrap_or(30);
        let claims =
            pod.list("/spec/volumes").iter().map(|volume| volume.text("/persistentVolumeClaim/claimName"));
        let (stdin, input) = tokio::io::duplex(INPUT_BYTES);
        Self {
            uid: pod.text("/metadata/uid").to_owned(),
            namespace: pod.text("/metadata/namespace").to_owned(),
            name: pod.text("/metadata/name").to_owned(),
            node: pod.text("/spec/nodeName").to_owned(),
            own_grace: Duration::from_secs(grace),
            claims: claims.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            is_detached: AtomicBool::new(false),
            log: watch::Sender::default(),
            stdin: Waiting::new(Some(stdin)),
            input: Mutex::new(Some(input)),
            stopping: watch::Sender::default(),
            ended: watch::Sender::default(),
            withheld: Mutex::default(),
        }
    }

    pub fn log(&self) -> watch::Receiver<Vec<u8>> {
        self.log.subscribe()
    }

    pub fn write_log(&self, bytes: &[u8]) {
        self.log.send_modify(|log| log.extend_from_slice(bytes));
    }

    /// It can only become shorter.
    pub fn stop(&self, grace: Duration) {
        self.stopping.send_if_modified(|told| {
            let is_sooner = told.is_none_or(|told| grace < told);
            if is_sooner {
                *told = Some(grace);
            }
            is_sooner
        });
    }

    pub fn stopping(&self) -> watch::Receiver<Option<Duration>> {
        self.stopping.subscribe()
    }

    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    pub fn withhold(&self, report: Report) {
        self.withheld.lock().push(report);
    }

    pub fn withheld(&self) -> Vec<Report> {
        std::mem::take(&mut self.withheld.lock())
    }
}
