//! What a worker's container is: the only place that says what a hostile worker may do on the host.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerState, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    ResourcesUlimits,
};
use types::placement::FailureReason;

use super::{Config, labels};
use crate::drivers::inside::{CAPABILITIES, PROGRAM, PROGRAM_FOLDER};
use crate::drivers::{KILLED, OUT_OF_MEMORY};
use crate::{Cause, InstanceState, Launch};

/// Where the door's volume is.
const DOOR: &str = "/door";

#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes, with nothing to swap to. What is in the folders in memory counts too.
    pub memory: i64,
    /// At most as many as the engine has.
    pub cpus: f64,
    pub processes: i64,
    /// The engine cannot give more than it has itself.
    pub open_files: i64,
    /// Bytes of `/tmp`, and as much again of the home.
    pub tmp: i64,
    /// Bytes of `/run`.
    pub run: i64,
    /// Whether the image's own files cannot be changed.
    pub read_only_root: bool,
}

const MIB: i64 = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 2048 * MIB,
            cpus: 2.0,
            processes: 512,
            open_files: 16_384,
            tmp: 512 * MIB,
            run: 16 * MIB,
            read_only_root: true,
        }
    }
}

/// `program`: the volume that holds it.
pub fn body(config: &Config, launch: &Launch, files: Mount, program: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(config.image.clone()),
        labels: Some(labels::of_container(labels::of_instance(config, &launch.instance))),
        hostname: Some(launch.instance.sandbox.to_string()),
        // Whatever the image says: the worker becomes another user for each command.
        user: Some("0:0".to_owned()),
        working_dir: Some(config.paths.workspace.clone()),
        env: Some(vec![format!("HOME={}", config.paths.home)]),
        entrypoint: Some(vec![PROGRAM.to_owned(), "worker".to_owned()]),
        cmd: Some(Vec::new()),
        // The image's own might kill the worker instead of pausing its runs.
        stop_signal: Some("SIGTERM".to_owned()),
        // The image's own check would run beside the worker, as its user.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        attach_stdin: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        tty: Some(false),
        host_config: Some(host_config(config, files, program)),
        ..ContainerCreateBody::default()
    }
}

/// Of one that has ended. That memory was short says something of its end only if it was killed: a command that was is no
/// end.
pub fn end(state: &ContainerState) -> InstanceState {
    match (state.oom_killed, state.exit_code) {
        (Some(true), Some(KILLED)) => {
            InstanceState::Broken(Cause::new(FailureReason::OutOfMemory, OUT_OF_MEMORY))
        }
        (_, code) => InstanceState::Exited { code },
    }
}

fn host_config(config: &Config, files: Mount, program: &str) -> HostConfig {
    let limits = &config.limits;
    HostConfig {
        init: Some(true),
        runtime: config.runtime.clone(),
        network_mode: Some(config.network.clone()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        pids_limit: Some(limits.processes),
        memory: Some(limits.memory),
        memory_swap: Some(limits.memory),
        nano_cpus: Some(nano_cpus(limits.cpus)),
        ulimits: Some(vec![ulimit("nofile", limits.open_files), ulimit("core", 0)]),
        readonly_rootfs: Some(limits.read_only_root),
        tmpfs: Some(tmpfs(config)),
        mounts: Some(mounts(config, files, program)),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(pairs(&[("max-size", "1m"), ("max-file", "2")])),
        }),
        ..HostConfig::default()
    }
}

fn mounts(config: &Config, files: Mount, program: &str) -> Vec<Mount> {
    let program = read_only(program.to_owned(), PROGRAM_FOLDER);
    let door = config.door.clone().map(|door| read_only(door, DOOR));
    [files, program].into_iter().chain(door).collect()
}

/// In memory, sized, and executable: builds and tests write programs there.
fn tmpfs(config: &Config) -> HashMap<String, String> {
    let sized = |bytes: i64, mode: &str| format!("rw,exec,nosuid,nodev,size={bytes},mode={mode}");
    HashMap::from([
        ("/tmp".to_owned(), sized(config.limits.tmp, "1777")),
        ("/run".to_owned(), sized(config.limits.run, "755")),
        (config.paths.home.clone(), sized(config.limits.tmp, "1777")),
    ])
}

fn read_only(volume: String, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume),
        target: Some(target.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    }
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

#[expect(clippy::cast_possible_truncation, reason = "a machine has less than 2^33 CPUs")]
fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9) as i64
}

fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use types::{Epoch, SandboxId};

    use super::*;
    use crate::Instance;

    #[test]
    fn an_end_for_want_of_memory_is_told_as_such_and_that_of_a_command_is_none() {
        let ended = |oom_killed, exit_code| {
            end(&ContainerState {
                oom_killed: Some(oom_killed),
                exit_code: Some(exit_code),
                ..ContainerState::default()
            })
        };
        let InstanceState::Broken(cause) = ended(true, 137) else { panic!("{:?}", ended(true, 137)) };
        assert_eq!(cause.reason, FailureReason::OutOfMemory);
        assert_eq!(ended(true, 3), InstanceState::Exited { code: Some(3) });
        assert_eq!(ended(false, 137), InstanceState::Exited { code: Some(137) });
    }

    #[test]
    fn a_worker_is_asked_to_end_by_the_signal_that_it_knows_whatever_the_image_says() {
        let names = ["cluster", "image", "network"].map(str::to_owned);
        let [cluster, image, network] = names;
        let config = Config::new(cluster, image, network, "/bin/true".into());
        let instance = Instance { sandbox: SandboxId::shared(), epoch: Epoch(1) };
        let launch = Launch { instance, credentials: None };
        let made = body(&config, &launch, Mount::default(), "program");
        assert_eq!(made.stop_signal.as_deref(), Some("SIGTERM"));
    }
}
