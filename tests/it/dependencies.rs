//! What the product is built from: licences, sources, and libraries that must not come in.

use std::collections::BTreeSet;
use std::process::Command;

use spdx::{Expression, ParseMode};

/// What the product is shipped for.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

const LICENCES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Libraries that must not come in, and why.
const BANNED: [(&str, &str); 5] = [
    ("openssl", "rustls is the one implementation of TLS"),
    ("openssl-sys", "rustls is the one implementation of TLS"),
    ("ring", "aws-lc-rs is the one provider of cryptography for TLS and JWT"),
    ("rsa", "RUSTSEC-2023-0071 has no fix"),
    ("nats", "it is deprecated in favour of async-nats"),
];

/// A package of a build, as `cargo tree` tells of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    /// Where it lies, if that is not the public registry.
    elsewhere: Option<String>,
    licence: String,
}

/// The packages that any build of the product for one of [`TARGETS`] uses.
fn packages() -> BTreeSet<Package> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--workspace", "--all-features", "--locked", "--prefix", "none"]);
    command.args(["--edges", "normal,build,dev", "--format", "{p}|{l}"]);
    for target in TARGETS {
        command.args(["--target", target]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)")).filter_map(package).collect()
}

/// Reads `name v1.2.3 (where it lies)|licence`; workspace members end with a mark of their features.
fn package(line: &str) -> Option<Package> {
    let (head, licence) = line.split_once('|')?;
    let (name, rest) = head.split_once(' ')?;
    let place = rest.split_once(" (").map(|(_, place)| place.trim_end_matches(')').to_owned());
    let elsewhere = place.filter(|place| place != "proc-macro");
    Some(Package { name: name.to_owned(), elsewhere, licence: licence.to_owned() })
}

fn is_ours(package: &Package) -> bool {
    package.name.starts_with("manyhands")
}

#[test]
fn every_licence_is_one_we_may_ship_under() {
    let packages = packages();
    assert!(packages.len() > 100, "{packages:?}");
    for Package { name, licence, .. } in packages {
        let expression = Expression::parse_mode(&licence, ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name} is under {licence:?}: {error}"));
        let allowed =
            expression.evaluate(|term| term.license.id().is_some_and(|id| LICENCES.contains(&id.name)));
        assert!(allowed, "{name} is under {licence}");
    }
}

#[test]
fn everything_comes_from_the_public_registry() {
    for package in packages().iter().filter(|package| !is_ours(package)) {
        assert_eq!(package.elsewhere, None, "{} comes from elsewhere", package.name);
    }
}

#[test]
fn no_banned_library_comes_in() {
    for package in packages() {
        let banned = BANNED.iter().find(|(name, _)| package.name == *name);
        assert!(banned.is_none(), "{} must not come in: {}", package.name, banned.unwrap().1);
    }
}
