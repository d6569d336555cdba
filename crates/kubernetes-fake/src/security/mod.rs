//! The Pod Security Standards, evaluated: what of a pod a profile does not allow, in the words of the real admission.
//!
//! As policy version `latest` has them at 1.37. Pods of Windows have exceptions there that are not made here.

mod baseline;
mod restricted;
mod spec;

use std::fmt;

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted].into_iter().find(|level| level.name() == name)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// Something that a profile does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: String,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_str() {
            "" => write!(f, "{}", self.reason),
            detail => write!(f, "{} ({detail})", self.reason),
        }
    }
}

/// What of a pod, or of the template of one, the level does not allow; nothing: it is admitted.
#[must_use]
pub fn violations(level: Level, pod: &Value) -> Vec<Violation> {
    let checks: Vec<spec::Check> = match level {
        Level::Privileged => Vec::new(),
        Level::Baseline => baseline::CHECKS.iter().chain(&baseline::REPLACED).copied().collect(),
        Level::Restricted => baseline::CHECKS.iter().chain(&restricted::CHECKS).copied().collect(),
    };
    let mut found: Vec<(&str, Violation)> = checks
        .into_iter()
        .filter_map(|(id, check)| check(pod).map(|(reason, detail)| (id, Violation { reason, detail })))
        .collect();
    // The real one sorts by the names of its checks.
    found.sort_by_key(|(id, _)| *id);
    found.into_iter().map(|(_, violation)| violation).collect()
}

/// The pods in a manifest: itself, or its template, each with the metadata that its annotations are in.
#[must_use]
pub fn pods_of(manifest: &Value) -> Vec<Value> {
    let template = match manifest["kind"].as_str().unwrap_or_default() {
        "Pod" => Some(manifest),
        "CronJob" => manifest.pointer("/spec/jobTemplate/spec/template"),
        _ => manifest
            .pointer("/spec/template")
            .filter(|template| template.pointer("/spec/containers").is_some()),
    };
    template.cloned().into_iter().collect()
}
