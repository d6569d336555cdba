//! Dependencies point inward: binary, then services, then ports, then types.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const PREFIX: &str = "manyhands-";

/// What each crate of ours may use of the others.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("types", &[]),
    ("ports", &["types"]),
    ("vault", &[]),
    ("child-environment", &[]),
    ("telemetry", &[]),
    ("agent", &["types"]),
    ("llm", &["types"]),
    ("tools", &["types", "child-environment"]),
    ("embedded", &["ports", "types"]),
    ("nats", &["ports", "types"]),
    ("credentials", &["types"]),
    ("readmodel", &["ports", "types"]),
    ("control", &["readmodel", "ports", "types", "vault", "llm", "telemetry"]),
    ("gateway", &["control", "readmodel", "ports", "types", "vault", "telemetry"]),
    ("worker", &["ports", "types", "agent", "llm", "tools", "telemetry", "child-environment"]),
    ("supervisor", &["ports", "types", "credentials", "telemetry"]),
    ("testing", &[]),
];

/// Libraries that only one crate may know.
const OWNED: [(&str, &[&str]); 5] = [
    ("axum", &["gateway"]),
    ("async-nats", &["nats"]),
    ("bollard", &["supervisor"]),
    ("kube", &["supervisor"]),
    ("pty-process", &["tools"]),
];

/// `agent` decides and does no I/O: it must not be able to.
const NOT_IN_AGENT: [&str; 4] = ["tokio", "reqwest", "rustix", "async-trait"];

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output();
    let metadata: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let normal = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().clone();
        all.into_iter()
            .filter(|d| d["kind"].is_null())
            .map(|d| d["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (package["name"].as_str().unwrap().to_owned(), normal(package))).collect()
}

fn ours(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

#[test]
fn dependencies_point_inward() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    for (name, dependencies) in dependencies() {
        let Some(name) = ours(&name) else { continue };
        let permitted = allowed.get(name).unwrap_or_else(|| panic!("{name} has no rule"));
        for used in dependencies.iter().filter_map(|d| ours(d)) {
            assert!(permitted.contains(&used), "{name} must not depend on {used}");
        }
    }
}

#[test]
fn each_back_end_is_known_to_one_crate() {
    for (name, dependencies) in dependencies() {
        let name = ours(&name).unwrap_or("the binary");
        for (library, owners) in OWNED {
            assert!(
                !dependencies.contains(library) || owners.contains(&name),
                "{name} must not depend on {library}"
            );
        }
    }
}

#[test]
fn the_agent_loop_cannot_do_io() {
    let agent = &dependencies()["manyhands-agent"];
    for library in NOT_IN_AGENT {
        assert!(!agent.contains(library), "agent must not depend on {library}");
    }
}

#[test]
fn no_source_file_holds_two_ideas() {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).output().unwrap();
    let mut lengths: Vec<(usize, String)> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .filter_map(|path| Some((std::fs::read_to_string(path).ok()?.lines().count(), path.to_owned())))
        .collect();
    lengths.sort();
    let median = lengths[lengths.len() / 2].0;
    let longest = lengths.last().unwrap();
    println!("{} files, median {median} lines, longest {} ({})", lengths.len(), longest.0, longest.1);
    assert!(longest.0 <= 800, "{} has {} lines", longest.1, longest.0);
    assert!(median <= 200);
}
