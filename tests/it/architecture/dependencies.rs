//! Dependencies point inward: binary, then services, control, read model, ports, and types at last.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const PREFIX: &str = "manyhands-";

/// What each crate of ours uses of the others: all of it, and nothing that is not so.
const USES: [(&str, &[&str]); 27] = [
    ("types", &[]),
    ("ports", &["types"]),
    ("trees", &[]),
    ("vault", &[]),
    ("forms", &[]),
    ("outbound", &[]),
    ("jsonrpc", &[]),
    ("strict", &[]),
    ("mcp", &["jsonrpc", "outbound", "types"]),
    ("child-environment", &[]),
    ("telemetry", &["types"]),
    ("agent", &["types"]),
    ("llm", &["outbound", "types"]),
    ("tools", &["types", "trees", "child-environment"]),
    ("embedded", &["ports", "trees", "types"]),
    ("nats", &["ports", "types"]),
    ("kubernetes", &["ports"]),
    ("credentials", &["types"]),
    ("readmodel", &["ports", "types"]),
    ("control", &["forms", "outbound", "readmodel", "ports", "types", "vault", "llm", "mcp", "telemetry"]),
    ("gateway", &["control", "forms", "readmodel", "ports", "types", "vault", "telemetry"]),
    (
        "worker",
        &[
            "jsonrpc",
            "mcp",
            "outbound",
            "ports",
            "types",
            "agent",
            "llm",
            "tools",
            "trees",
            "telemetry",
            "child-environment",
        ],
    ),
    ("supervisor", &["kubernetes", "ports", "trees", "types", "telemetry"]),
    (
        BINARY,
        &[
            "gateway",
            "control",
            "outbound",
            "supervisor",
            "worker",
            "embedded",
            "nats",
            "credentials",
            "kubernetes",
            "ports",
            "types",
            "vault",
            "llm",
            "telemetry",
            "tools",
            "child-environment",
        ],
    ),
    (
        "sim",
        &[
            "control",
            "gateway",
            "llm",
            "nats",
            "outbound",
            "ports",
            "readmodel",
            "supervisor",
            "telemetry",
            "testing",
            "tools",
            "types",
            "vault",
            "worker",
        ],
    ),
    ("testing", &["strict"]),
    ("kubernetes-fake", &[]),
];

const BINARY: &str = "the binary";

/// Libraries that only one crate may know.
const OWNED: [(&str, &str); 7] = [
    ("axum", "gateway"),
    ("async-nats", "nats"),
    ("bollard", "supervisor"),
    ("kube", "kubernetes"),
    ("k8s-openapi", "kubernetes"),
    ("pty-process", "tools"),
    ("saphyr-parser", "tools"),
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
    match name.strip_prefix(PREFIX) {
        None if name == "manyhands" => Some(BINARY),
        other => other,
    }
}

#[test]
fn dependencies_point_inward_and_each_is_listed() {
    let packages = dependencies();
    let ours_of = |all: &BTreeSet<String>| all.iter().filter_map(|d| ours(d)).map(str::to_owned).collect();
    let used: BTreeMap<String, BTreeSet<String>> =
        packages.iter().map(|(name, all)| (ours(name).unwrap_or(name).to_owned(), ours_of(all))).collect();
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    let listed: BTreeMap<String, BTreeSet<String>> =
        USES.into_iter().map(|(name, list)| (name.to_owned(), names(list))).collect();
    assert_eq!(used, listed);
}

#[test]
fn each_back_end_is_known_to_one_crate() {
    for (library, owner) in OWNED {
        let packages = dependencies();
        let knowing = packages.iter().filter(|(_, dependencies)| dependencies.contains(library));
        let knowing: Vec<&str> = knowing.filter_map(|(name, _)| ours(name)).collect();
        assert_eq!(knowing, [owner], "{library}");
    }
}

#[test]
fn the_agent_loop_cannot_do_io() {
    let agent = &dependencies()["manyhands-agent"];
    for library in NOT_IN_AGENT {
        assert!(!agent.contains(library), "agent must not depend on {library}");
    }
}
