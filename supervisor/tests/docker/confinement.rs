//! What a container is, and what a hostile worker finds in it.

use std::collections::HashMap;

use manyhands_supervisor::Driver;
use manyhands_supervisor::drivers::docker::{
    CLUSTER_LABEL, EPOCH_LABEL, MARK_LABEL, NODE_LABEL, SANDBOX_LABEL,
};

use super::world::{launch, world, world_with};

const MIB: i64 = 1024 * 1024;

#[tokio::test]
async fn a_container_has_its_name_its_labels_and_its_limits() {
    let world = world_with("exec sleep 1000", |config| {
        config.node = "here".to_owned();
        config.limits.memory = 64 * MIB;
        config.limits.cpus = 0.5;
        config.limits.processes = 33;
    })
    .await;
    let launch = launch("a", 3);
    world.driver.start(&launch).await.unwrap();
    let found = world.inspect(&launch.instance).await;
    let cluster = world.config.cluster.clone();
    assert_eq!(found.name, Some(format!("/mh-{cluster}-a-3")));
    let labels: HashMap<String, String> =
        [(CLUSTER_LABEL, cluster.as_str()), (SANDBOX_LABEL, "a"), (EPOCH_LABEL, "3"), (NODE_LABEL, "here")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let config = found.config.unwrap();
    let mut given = config.labels.unwrap();
    assert!(given.contains_key(MARK_LABEL), "what the image is labelled is not the container's");
    given.retain(|_, value| !value.is_empty());
    assert_eq!(given, labels);
    assert_eq!(config.user.as_deref(), Some("0:0"));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGTERM"));
    assert_eq!(config.healthcheck.unwrap().test, Some(vec!["NONE".to_owned()]));

    let host = found.host_config.unwrap();
    assert_eq!((host.memory, host.memory_swap), (Some(64 * MIB), Some(64 * MIB)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(500_000_000), Some(33)));
    assert_eq!((host.init, host.privileged, host.readonly_rootfs), (Some(true), Some(false), Some(true)));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges:true".to_owned()]));
    assert_eq!(host.network_mode.as_deref(), Some(world.config.network.as_str()));
    assert!(host.port_bindings.is_none_or(|ports| ports.is_empty()));
    assert!(host.binds.is_none_or(|binds| binds.is_empty()), "nothing of the host is mounted");
    assert!(host.mounts.unwrap().iter().all(|mount| mount.source.as_deref().unwrap().starts_with("mh-")));
    assert!(host.log_config.unwrap().config.unwrap().contains_key("max-size"));
    let networks = found.network_settings.unwrap().networks.unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&world.config.network]);
}

#[tokio::test]
async fn the_spec_reaches_standard_input_and_stands_nowhere_else() {
    let world = world("read -r spec; echo got:$spec:$1; cat; echo eof; exec sleep 1000").await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let log = world.log_with(&launch.instance, "eof").await;
    let spec = log.lines().find_map(|line| line.strip_prefix("got:")?.strip_suffix(":worker")).unwrap();
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    assert_eq!((&spec["sandbox"], &spec["epoch"]), (&"a".into(), &1.into()));
    assert_eq!(spec["credentials"]["seed"], "canary-seed");
    assert_eq!(
        (&spec["project_dir"], &spec["nats_urls"][0]),
        (&"/workspace/project".into(), &"nats://nats:4222".into())
    );
    let inspected = serde_json::to_string(&world.inspect(&launch.instance).await).unwrap();
    assert!(!inspected.contains("canary"), "credentials in the container's description");
}

#[tokio::test]
async fn a_worker_can_write_to_its_workspace_and_to_memory_alone() {
    let world = world(
        r##"read -r spec
        try() { if sh -c "$2" 2>/dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }
        try root 'touch /x'
        try usr 'touch /usr/x'
        try program 'touch /manyhands/x'
        try itself 'chmod 777 /manyhands && echo x >> /manyhands/worker*'
        try workspace 'touch /workspace/x'
        try tmp 'touch /tmp/x'
        try home 'touch $HOME/x'
        try tmp_program 'echo "#!/bin/sh" > /tmp/p && chmod +x /tmp/p && /tmp/p'
        try socket 'test -S /var/run/docker.sock'
        try mount 'mount -t tmpfs none /mnt'
        try device 'mknod /tmp/d b 8 0'
        try tmp_is_endless 'head -c 700000000 /dev/zero > /tmp/big'
        grep -E 'NoNewPrivs|CapBnd' /proc/self/status
        cat /proc/1/comm
        echo done; exec sleep 1000"##,
    )
    .await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let log = world.log_with(&launch.instance, "done").await;
    let said: HashMap<&str, &str> = log.lines().filter_map(|line| line.split_once(' ')).collect();
    for forbidden in ["root", "usr", "program", "itself", "socket", "mount", "device", "tmp_is_endless"] {
        assert_eq!(said.get(forbidden), Some(&"no"), "{forbidden}: {log}");
    }
    for allowed in ["workspace", "tmp", "home", "tmp_program"] {
        assert_eq!(said.get(allowed), Some(&"yes"), "{allowed}: {log}");
    }
    assert!(log.contains("NoNewPrivs:\t1"), "{log}");
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID.
    assert!(log.contains("CapBnd:\t00000000000000eb"), "{log}");
    assert!(log.contains("docker-init"), "{log}");
}

#[tokio::test]
async fn a_fork_bomb_ends_at_its_limit() {
    let world = world_with(
        "read -r spec; i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo all",
        |config| config.limits.processes = 32,
    )
    .await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let log = world.log_with(&launch.instance, "fork").await;
    assert!(!log.contains("all"), "{log}");
}
