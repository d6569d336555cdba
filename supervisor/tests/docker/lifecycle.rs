//! Starting, stopping, failing and removing; and that all of it may be repeated.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder,
};
use manyhands_supervisor::drivers::docker::{CLUSTER_LABEL, Config, Containers, MARK_LABEL, SharedVolume};
use manyhands_supervisor::{Driver, Found, InstanceState, Launch, StartError};
use ports::{Error, Expect};
use serde_json::{Value, json};
use types::SandboxId;
use types::buckets::ALLOCATIONS;

use super::world::{NOWHERE, connect, launch, world, world_with, write_program};

#[tokio::test]
async fn starting_twice_and_stopping_twice_are_fine() {
    let world = world("read -r spec; exec sleep 1000").await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let first = world.inspect(&launch.instance).await;
    // Another supervisor, which knows nothing of the first.
    connect(&world.config).await.start(&launch).await.unwrap();
    let second = world.inspect(&launch.instance).await;
    assert_eq!((&first.id, first.state.unwrap().pid), (&second.id, second.state.unwrap().pid));
    let expected = [Found { instance: launch.instance.clone(), state: InstanceState::Running }];
    assert_eq!(world.driver.list().await.unwrap(), expected);
    for _ in 0..2 {
        world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
        assert_eq!(world.driver.list().await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_was_made_and_not_started_counts_as_ended_and_can_be_started() {
    let world = world("read -r spec; echo got; exec sleep 1000").await;
    let launch = launch("a", 1);
    let name = launch.instance.name(&world.config.cluster);
    world.driver.start(&launch).await.unwrap();
    let inspected = world.inspect(&launch.instance).await;
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    let config = inspected.config.unwrap();
    let body = ContainerCreateBody {
        image: config.image,
        labels: config.labels,
        entrypoint: config.entrypoint,
        open_stdin: Some(true),
        stdin_once: Some(true),
        host_config: inspected.host_config,
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    world.docker.create_container(Some(options), body).await.unwrap();
    assert_eq!(world.states().await, [InstanceState::Exited { code: None }]);
    world.driver.start(&launch).await.unwrap();
    world.log_with(&launch.instance, "got").await;
}

#[tokio::test]
async fn a_missing_image_is_told_within_two_seconds() {
    let world = world_with("read -r spec; exec sleep 1000", |config| config.image = NOWHERE.to_owned()).await;
    let begun = Instant::now();
    let refused = world.driver.start(&launch("a", 1)).await;
    assert_eq!(refused, Err(StartError::ImageMissing(NOWHERE.to_owned())));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_the_engine_refuses_is_a_failed_start_that_can_be_cleaned_up() {
    let world = world("exec sleep 1000").await;
    let launch = launch("a", 1);
    let mut config = world.config.clone();
    config.network = "mh-no-such-network".to_owned();
    let driver = connect(&config).await;
    let Err(StartError::Failed(message)) = driver.start(&launch).await else { panic!("it started") };
    assert!(message.contains("mh-no-such-network"), "{message}");
    driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    assert_eq!(driver.list().await.unwrap(), []);
}

#[tokio::test]
async fn the_runtime_can_be_chosen() {
    let world = world("read -r spec; exec sleep 1000").await;
    let mut config = world.config.clone();
    config.runtime = Some("runc".to_owned());
    let known = launch("a", 1);
    connect(&config).await.start(&known).await.unwrap();
    let runtime = world.inspect(&known.instance).await.host_config.unwrap().runtime;
    assert_eq!(runtime.as_deref(), Some("runc"));
    config.runtime = Some("no-such-runtime".to_owned());
    let refused = connect(&config).await.start(&launch("b", 1)).await;
    let Err(StartError::Failed(message)) = refused else { panic!("{refused:?}") };
    assert!(message.contains("no-such-runtime"), "{message}");
}

#[tokio::test]
async fn more_processors_than_there_are_are_not_asked_for() {
    let world = world_with("read -r spec; exec sleep 1000", |config| config.limits.cpus = 10_000.0).await;
    world.driver.start(&launch("a", 1)).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_is_away_is_unavailable() {
    let world = world("exec sleep 1000").await;
    let mut config = world.config.clone();
    config.host = "unix:///nowhere/docker.sock".to_owned();
    let refused = manyhands_supervisor::drivers::docker::Containers::connect(config).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn sandboxes_of_one_volume_see_only_their_own_folder_of_it() {
    let script = "read -r spec; cat /workspace/*; ln -s ../b /workspace/link; echo secret > /workspace/file; echo up; exec sleep 1000";
    let mut world = world(script).await;
    let name = format!("{}-all", world.config.cluster);
    let labels = Some([(CLUSTER_LABEL.to_owned(), world.config.cluster.clone())].into());
    let volume = VolumeCreateRequest { name: Some(name.clone()), labels, ..Default::default() };
    let path = world.docker.create_volume(volume).await.unwrap().mountpoint.into();
    world.config.files = Some(SharedVolume { name, path });
    world.driver = connect(&world.config).await;
    let (one, other) = (launch("a", 1), launch("b", 1));
    for launch in [&one, &other] {
        world.driver.start(launch).await.unwrap();
        let log = world.log_with(&launch.instance, "up").await;
        assert!(!log.contains("secret"), "{log}");
    }
    for launch in [&one, &other] {
        world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    }
    let again = launch("a", 2);
    world.driver.start(&again).await.unwrap();
    world.log_with(&again.instance, "secret").await;
    world.driver.stop(&again.instance, Duration::ZERO).await.unwrap();
    let folder = &world.config.files.as_ref().unwrap().path;
    for _ in 0..2 {
        world.driver.remove_files(&one.instance.sandbox).await.unwrap();
    }
    assert!(!folder.join("a").exists() && folder.join("b/file").exists());

    let looking = |mark: &str| Config { mark: Some(mark.to_owned()), ..world.config.clone() };
    let marked = |mark: &str| Config { claims: true, ..looking(mark) };
    connect(&looking("other")).await;
    connect(&marked("one")).await;
    connect(&looking("one")).await;
    Containers::connect(looking("other")).await.err().expect("the files are another cluster's");
    Containers::connect(marked("other")).await.err().expect("the files are another cluster's");
}

#[tokio::test]
async fn in_an_empty_volume_nothing_is_begun_where_sandboxes_have_run() {
    let mut world = world("exec sleep 1000").await;
    let name = format!("{}-all", world.config.cluster);
    let labels = Some([(CLUSTER_LABEL.to_owned(), world.config.cluster.clone())].into());
    let volume = VolumeCreateRequest { name: Some(name.clone()), labels, ..Default::default() };
    let path = PathBuf::from(world.docker.create_volume(volume).await.unwrap().mountpoint);
    world.config.files = Some(SharedVolume { name, path: path.clone() });
    (world.config.mark, world.config.claims) = (Some("one".to_owned()), true);
    world.driver = connect(&world.config).await;
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, _guard) = embedded::open(options).await.unwrap();
    let begins = async || world.driver.refuse_lost_files(ports.kv.as_ref()).await;
    let allocated = async |allocation: Value| {
        let value = allocation.to_string().into();
        ports.kv.put(ALLOCATIONS, "a", value, Expect::Anything).await.unwrap();
    };
    begins().await.unwrap();
    let failure = json!({"reason": "image_missing", "message": "", "log": "", "at": "", "retry_at": 0, "is_final": true});
    allocated(json!({"epoch": 1, "instance": "", "failures": 1, "failure": failure})).await;
    begins().await.expect("its first start has failed");
    for instance in ["unit", ""] {
        allocated(json!({"epoch": 1, "instance": instance, "failures": 0, "failure": null})).await;
        let refused = begins().await.unwrap_err().to_string();
        assert!(refused.contains("OH_SANDBOX_VOLUME") && refused.contains(".lost"), "{refused}");
        // Also after a restart.
        assert!(connect(&world.config).await.refuse_lost_files(ports.kv.as_ref()).await.is_err());
    }
    std::fs::write(path.join(".lost"), "").unwrap();
    begins().await.unwrap();
    std::fs::remove_file(path.join(".lost")).unwrap();
    std::fs::create_dir(path.join("a")).unwrap();
    begins().await.unwrap();
}

#[tokio::test]
async fn a_newer_program_comes_beside_the_one_that_runs() {
    let world = world("read -r spec; echo old; exec sleep 1000").await;
    let (old, new) = (launch("a", 1), launch("b", 1));
    world.driver.start(&old).await.unwrap();
    write_program(&world.config, "read -r spec; echo new; exec sleep 1000");
    connect(&world.config).await.start(&new).await.unwrap();
    world.log_with(&old.instance, "old").await;
    world.log_with(&new.instance, "new").await;
    assert_eq!(world.states().await, [const { InstanceState::Running }; 2]);
    let programs = async || world.volumes().await.into_iter().filter(|name| name.contains("-bin-")).count();
    assert_eq!(programs().await, 2);
}

#[tokio::test]
async fn a_program_that_no_container_has_any_more_is_removed() {
    let world = world("read -r spec; echo old; exec sleep 1000").await;
    let (old, new) = (launch("a", 1), launch("b", 1));
    let programs = async || world.volumes().await.into_iter().filter(|name| name.contains("-bin-")).count();
    world.driver.start(&old).await.unwrap();
    write_program(&world.config, "read -r spec; echo new; exec sleep 1000");
    let newer = connect(&world.config).await;
    newer.start(&new).await.unwrap();
    assert_eq!(programs().await, 2, "one still runs");
    newer.stop(&old.instance, Duration::ZERO).await.unwrap();
    assert_eq!(programs().await, 1);
    // Also one that has ended while no supervisor looked.
    newer.stop(&new.instance, Duration::ZERO).await.unwrap();
    write_program(&world.config, "read -r spec; echo newest; exec sleep 1000");
    let newest = connect(&world.config).await;
    newest.start(&new).await.unwrap();
    world.log_with(&new.instance, "newest").await;
    assert_eq!(programs().await, 1);
    newest.stop(&new.instance, Duration::ZERO).await.unwrap();
    newest.remove_rest().await.unwrap();
    assert_eq!(programs().await, 0);
    newest.start(&new).await.unwrap();
}

#[tokio::test]
async fn containers_of_others_are_not_seen_and_not_touched() {
    let world = world("exec sleep 1000").await;
    let others = super::world::world("exec sleep 1000").await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    others.driver.start(&launch).await.unwrap();
    let foreign = format!("foreign-{}", SandboxId::random());
    let body = ContainerCreateBody {
        image: Some(world.config.image.clone()),
        entrypoint: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&foreign).build();
    world.docker.create_container(Some(options), body).await.unwrap();
    world.docker.start_container(&foreign, None).await.unwrap();

    let listed = world.driver.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    for found in listed {
        world.driver.stop(&found.instance, Duration::ZERO).await.unwrap();
    }
    let still_there = world.docker.inspect_container(&foreign, None).await.unwrap();
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    world.docker.remove_container(&foreign, Some(force)).await.unwrap();
    assert_eq!(still_there.state.unwrap().running, Some(true));
    assert_eq!(others.states().await, [InstanceState::Running]);
}

#[tokio::test]
async fn what_is_started_from_an_image_of_a_sandbox_is_not_taken_for_that_sandbox() {
    let mut world = world("read -r spec; test \"$2\" != --try || exit 0; exec sleep 1000").await;
    let (one, other) = (launch("a", 1), launch("b", 1));
    world.driver.start(&one).await.unwrap();
    let image = format!("{}-committed", world.config.cluster);
    let options = CommitContainerOptionsBuilder::default()
        .container(&one.instance.name(&world.config.cluster))
        .repo(&image)
        .changes("LABEL io.manyhands.trial=c")
        .build();
    world.docker.commit_container(options, ContainerConfig::default()).await.unwrap();
    let by_hand = format!("by-hand-{image}");
    let body = ContainerCreateBody {
        image: Some(image.clone()),
        entrypoint: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&by_hand).build();
    world.docker.create_container(Some(options), body).await.unwrap();
    world.config.image.clone_from(&image);
    world.driver = connect(&world.config).await;
    world.driver.start(&other).await.unwrap();
    world.driver.try_out().await.unwrap();
    let running =
        |launch: &Launch| Found { instance: launch.instance.clone(), state: InstanceState::Running };
    let mut found = world.driver.list().await.unwrap();
    found.sort_by_key(|found| found.instance.sandbox.clone());
    assert_eq!(found, [running(&one), running(&other)]);
    assert_eq!(world.driver.find(&one.instance.sandbox).await.unwrap(), [running(&one)]);
    for name in [&by_hand, &other.instance.name(&world.config.cluster)] {
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        world.docker.remove_container(name, Some(force)).await.unwrap();
    }
    let force = RemoveImageOptionsBuilder::default().force(true).build();
    world.docker.remove_image(&image, Some(force), None).await.unwrap();
}

#[tokio::test]
async fn clusters_of_one_name_touch_nothing_of_each_other() {
    let world =
        world_with("read -r spec; exec sleep 1000", |config| config.mark = Some("one".to_owned())).await;
    let launch = launch("a", 1);
    let other = Config { mark: Some("other".to_owned()), ..world.config.clone() };
    // Both have come before there was anything.
    let late = connect(&other).await;
    world.driver.start(&launch).await.unwrap();
    let told = late.list().await.unwrap_err().to_string();
    assert!(told.contains("OH_CLUSTER") && told.contains(&other.cluster), "{told}");
    assert!(
        matches!(late.start(&launch).await, Err(StartError::Unavailable(_))),
        "it is another's that runs"
    );
    late.remove_all().await.unwrap_err();
    Containers::connect(other.clone()).await.err().expect("the containers of the first are there");
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    Containers::connect(other).await.err().expect("the volumes of the first are there");
    let again = Config { mark: None, ..world.config.clone() };
    assert_eq!(connect(&again).await.list().await.unwrap(), []);
    world.driver.start(&launch).await.unwrap();
}

#[tokio::test]
async fn what_has_no_mark_is_of_before_and_ones_own() {
    let world = world("read -r spec; exec sleep 1000").await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let marked = Config { mark: Some("one".to_owned()), ..world.config.clone() };
    let marked = connect(&marked).await;
    let expected = [Found { instance: launch.instance.clone(), state: InstanceState::Running }];
    assert_eq!(marked.list().await.unwrap(), expected);
    marked.stop(&launch.instance, Duration::ZERO).await.unwrap();
    marked.remove_files(&launch.instance.sandbox).await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_cluster_leaves_nothing_of_it_and_all_of_others() {
    let (world, others) = (world("exec sleep 1000").await, world("exec sleep 1000").await);
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    others.driver.start(&launch).await.unwrap();
    world.driver.remove_all().await.unwrap();
    assert_eq!(world.driver.list().await.unwrap(), []);
    assert_eq!(world.volumes().await, [""; 0]);
    assert_eq!((others.states().await, others.volumes().await.len()), (vec![InstanceState::Running], 2));
    world.driver.start(&launch).await.unwrap();
}

#[tokio::test]
async fn a_cluster_whose_nats_is_new_is_not_kept_from_starting_by_what_is_no_sandboxes() {
    let world =
        world_with("read -r spec; exec sleep 1000", |config| config.mark = Some("old".to_owned())).await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    world.driver.remove_files(&launch.instance.sandbox).await.unwrap();
    // Left of who was killed while the program was copied, and labelled by an older release.
    let [program] = world.volumes().await.try_into().unwrap();
    let labels = [(CLUSTER_LABEL, &*world.config.cluster), (MARK_LABEL, "old")];
    let body = ContainerCreateBody {
        image: Some(world.config.image.clone()),
        entrypoint: Some(vec!["true".to_owned()]),
        labels: Some(labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{program}:/manyhands")]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    world.docker.create_container(None, body).await.unwrap();
    let anew = connect(&Config { mark: Some("new".to_owned()), ..world.config.clone() }).await;
    anew.start(&launch).await.unwrap();
    anew.stop(&launch.instance, Duration::ZERO).await.unwrap();
    anew.remove_files(&launch.instance.sandbox).await.unwrap();
    anew.remove_rest().await.unwrap();
    assert_eq!((world.containers().await, world.volumes().await), (vec![], vec![]));
}
