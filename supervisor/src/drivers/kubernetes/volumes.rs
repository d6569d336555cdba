//! Where what is in a worker's pod.

use kubernetes::types::{
    EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
};

use super::config::{Config, Handover};
use super::names;
use super::resources::{PROGRAM_MIB, mebibytes};
use crate::Instance;
use crate::drivers::inside::PROGRAM_FOLDER;

/// What the worker is told, where that is in a Secret.
pub const SPEC: &str = "/run/manyhands/spec";
pub const SPEC_KEY: &str = "spec";
const SPEC_FOLDER: &str = "/run/manyhands";

/// Where the worker's program is put; where workers see it, the image that brings it has something of its own.
pub const BROUGHT: &str = "/program";

const FILES: &str = "files";
const PROGRAM: &str = "program";
const TMP: &str = "tmp";
const HOME: &str = "home";
const RUN: &str = "run";
const TOLD: &str = "told";

const RUN_MIB: u64 = 16;

pub fn of(config: &Config, instance: &Instance) -> Vec<Volume> {
    let files = PersistentVolumeClaimVolumeSource {
        claim_name: names::claim(config, &instance.sandbox),
        read_only: None,
    };
    let secret = || SecretVolumeSource {
        secret_name: Some(names::pod(config, instance)),
        default_mode: Some(0o400),
        ..SecretVolumeSource::default()
    };
    let told = (config.handover == Handover::Secret).then(|| Volume {
        name: TOLD.to_owned(),
        secret: Some(secret()),
        ..Volume::default()
    });
    let files = Volume { name: FILES.to_owned(), persistent_volume_claim: Some(files), ..Volume::default() };
    let tmp = config.resources.tmp_mib;
    let own = [
        files,
        folder(PROGRAM, None, PROGRAM_MIB),
        folder(TMP, Some("Memory"), tmp),
        folder(HOME, Some("Memory"), tmp),
        folder(RUN, Some("Memory"), RUN_MIB),
    ];
    own.into_iter().chain(told).collect()
}

pub fn mounts(config: &Config) -> Vec<VolumeMount> {
    let told = (config.handover == Handover::Secret).then(|| mount(TOLD, SPEC_FOLDER, true));
    let own = [
        mount(FILES, &config.paths.workspace, false),
        // Workers cannot write to it.
        mount(PROGRAM, PROGRAM_FOLDER, true),
        mount(TMP, "/tmp", false),
        mount(HOME, &config.paths.home, false),
        mount(RUN, "/run", false),
    ];
    own.into_iter().chain(told).collect()
}

/// For the container that brings it.
pub fn brought_program() -> VolumeMount {
    mount(PROGRAM, BROUGHT, false)
}

fn folder(name: &str, medium: Option<&str>, size: u64) -> Volume {
    let source =
        EmptyDirVolumeSource { medium: medium.map(str::to_owned), size_limit: Some(mebibytes(size)) };
    Volume { name: name.to_owned(), empty_dir: Some(source), ..Volume::default() }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}
