//! The real cluster of one node, where this machine has one.

use std::fs::File;
use std::process::Command;

use reqwest::Certificate;
use serde_json::Value;
use testing::left_out;

/// Somebody who may do everything there, and whose using it keeps it from being ended.
pub struct Real {
    pub url: String,
    pub token: String,
    pub authority: Certificate,
    _used: File,
}

fn cluster(step: &str) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes/environment.sh");
    let output = Command::new(script).args(["cluster", step]).output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// `None` where it is neither asked for (`MANYHANDS_TEST_KUBERNETES=1`) nor built already, and a note says so.
pub fn real(test: &str) -> Option<Real> {
    let is_wanted = std::env::var("MANYHANDS_TEST_KUBERNETES").is_ok_and(|value| value == "1");
    if !is_wanted && cluster("cached").is_none() {
        left_out(test, "no real cluster is built here; MANYHANDS_TEST_KUBERNETES=1 builds one");
        return None;
    }
    let used = File::create(cluster("users").unwrap()).unwrap();
    used.lock_shared().unwrap();
    let Some(config) = cluster("start") else {
        assert!(!is_wanted, "the cluster does not start");
        left_out(test, "the real cluster does not start here");
        return None;
    };
    let config: Value = serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    let authority = std::fs::read(cluster["certificate-authority"].as_str().unwrap()).unwrap();
    Some(Real {
        url: cluster["server"].as_str().unwrap().to_owned(),
        token: config["users"][0]["user"]["token"].as_str().unwrap().to_owned(),
        authority: Certificate::from_pem(&authority).unwrap(),
        _used: used,
    })
}
