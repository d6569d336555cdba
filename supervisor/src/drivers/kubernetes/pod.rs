//! What a worker's pod is: the only place that says what a hostile worker may do in the cluster.
//!
//! It passes the profile *restricted* of Pod Security, or *baseline* where commands are to have a user of their own.

use kubernetes::types::{
    Capabilities, Container, HostAlias, LocalObjectReference, OwnerReference, Pod, PodDNSConfig,
    PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};

use super::config::{Config, Handover, Profile};
use super::{names, resources, volumes};
use crate::Instance;
use crate::decide::STOPPING;
use crate::drivers::inside::{CAPABILITIES, PROGRAM};

/// The container that is the sandbox.
pub const WORKER: &str = "worker";
/// The one that brings the worker's program, and ends.
pub const PROGRAM_BRINGER: &str = "program";

/// Whom everything in a restricted sandbox runs as: nobody of the image's own. In the other commands do.
pub const USER: i64 = 10_001;

/// More than a worker gets to end, so that the machine does not end it sooner than the supervisor would.
#[expect(clippy::cast_possible_wrap, reason = "it is some seconds")]
const GRACE_SECONDS: i64 = STOPPING.as_secs() as i64 + 5;

/// Who else decides about machines, and shall not take one away from under a worker.
const STAY: [(&str, &str); 2] =
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];

/// What differs from pod to pod beside its names.
#[derive(Default)]
pub struct Surroundings {
    pub owner: Option<OwnerReference>,
    /// What a pod that can ask nobody for names has to know.
    pub hosts: Vec<HostAlias>,
}

pub fn of(config: &Config, instance: &Instance, around: Surroundings) -> Pod {
    let mut metadata = names::of_instance(config, instance);
    metadata.owner_references = around.owner.map(|owner| vec![owner]);
    let notes = metadata.annotations.get_or_insert_default();
    notes.extend(STAY.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let pull_secrets = config.pull_secrets.iter().cloned().map(|name| LocalObjectReference { name });
    let spec = PodSpec {
        restart_policy: Some("Never".to_owned()),
        init_containers: Some(vec![program_bringer(config)]),
        containers: vec![worker(config)],
        volumes: Some(volumes::of(config, instance)),
        security_context: Some(of_all(config)),
        service_account_name: config.service_account.clone(),
        // Nothing of the API is for workers.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        host_network: Some(false),
        host_pid: Some(false),
        host_ipc: Some(false),
        share_process_namespace: Some(false),
        // Nobody answers there: names would be a way out.
        dns_policy: Some("None".to_owned()),
        dns_config: Some(PodDNSConfig {
            nameservers: Some(vec!["127.0.0.1".to_owned()]),
            ..PodDNSConfig::default()
        }),
        host_aliases: (!around.hosts.is_empty()).then_some(around.hosts),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        image_pull_secrets: (!config.pull_secrets.is_empty()).then(|| pull_secrets.collect()),
        node_selector: (!config.node_selector.is_empty()).then(|| config.node_selector.clone()),
        tolerations: (!config.tolerations.is_empty()).then(|| config.tolerations.clone()),
        priority_class_name: config.priority_class.clone(),
        runtime_class_name: config.runtime.clone(),
        ..PodSpec::default()
    };
    Pod { metadata, spec: Some(spec), status: None }
}

/// Lets the worker only try what it needs.
pub fn make_trial(pod: &mut Pod) {
    names::make_trial(&mut pod.metadata);
    for container in pod.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.command.get_or_insert_default().push("--try".to_owned());
    }
}

fn worker(config: &Config) -> Container {
    let mut command = vec![PROGRAM.to_owned(), "worker".to_owned()];
    let reads_input = config.handover == Handover::Attach;
    if !reads_input {
        command.extend(["--spec".to_owned(), volumes::SPEC.to_owned()]);
    }
    Container {
        name: WORKER.to_owned(),
        image: Some(config.image.clone()),
        command: Some(command),
        args: Some(Vec::new()),
        working_dir: Some(config.paths.workspace.clone()),
        env: Some(vec![resources::variable("HOME", &config.paths.home)]),
        stdin: Some(reads_input),
        stdin_once: Some(reads_input),
        tty: Some(false),
        resources: Some(resources::of_container(&config.resources)),
        security_context: Some(of_worker(config.profile)),
        volume_mounts: Some(volumes::mounts(config)),
        ..Container::default()
    }
}

fn program_bringer(config: &Config) -> Container {
    let install = ["install", "--to", volumes::BROUGHT].map(str::to_owned);
    Container {
        name: PROGRAM_BRINGER.to_owned(),
        image: Some(config.program_image.clone()),
        args: Some(install.to_vec()),
        resources: Some(resources::of_container(&config.resources)),
        security_context: Some(without_rights()),
        volume_mounts: Some(vec![volumes::brought_program()]),
        ..Container::default()
    }
}

fn of_all(config: &Config) -> PodSecurityContext {
    let is_restricted = config.profile == Profile::Restricted;
    PodSecurityContext {
        run_as_non_root: is_restricted.then_some(true),
        run_as_user: Some(if is_restricted { USER } else { 0 }),
        run_as_group: Some(if is_restricted { USER } else { 0 }),
        fs_group: is_restricted.then_some(USER),
        fs_group_change_policy: is_restricted.then(|| "OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

fn of_worker(profile: Profile) -> SecurityContext {
    let mut context = without_rights();
    if profile == Profile::Baseline {
        context.capabilities.get_or_insert_default().add = Some(CAPABILITIES.map(str::to_owned).to_vec());
    }
    context
}

fn without_rights() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}
