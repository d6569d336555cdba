//! Starting, stopping, failing and removing; and that all of it may be repeated.

use std::time::{Duration, Instant};

use manyhands_supervisor::{Driver, Found, InstanceState, StartError};
use ports::Error;
use tokio::time::timeout;
use types::placement::for_clients;

use super::place::{PATIENCE, Place, launch, start, states};

pub async fn starting_twice_and_stopping_twice_are_fine<P: Place>() {
    let place = P::begin("read -r spec; echo one >> begun; cat begun; echo up; exec sleep 1000").await;
    let launch = launch("a", 1);
    place.run(&launch).await;
    place.log_with(&launch.instance, "up").await;
    let other = place.another().await;
    start(&other, &launch).await;
    let expected = [Found { instance: launch.instance.clone(), state: InstanceState::Running }];
    assert_eq!(place.driver().list().await.unwrap(), expected);
    assert_eq!(other.find(&launch.instance.sandbox).await.unwrap(), expected);
    for _ in 0..2 {
        place.driver().stop(&launch.instance, Duration::ZERO).await.unwrap();
        assert_eq!(place.driver().list().await.unwrap(), []);
    }
    let second = super::launch("a", 2);
    place.run(&second).await;
    let log = place.log_with(&second.instance, "up").await;
    assert_eq!(log.lines().filter(|line| *line == "one").count(), 2, "it was begun once each time: {log}");
}

pub async fn the_spec_reaches_standard_input_and_that_ends<P: Place>() {
    let place = P::begin("read -r spec; echo got:$spec:$1; cat; echo eof; exec sleep 1000").await;
    let launch = launch("a", 1);
    place.run(&launch).await;
    let log = place.log_with(&launch.instance, "eof").await;
    let spec = log.lines().find_map(|line| line.strip_prefix("got:")?.strip_suffix(":worker")).unwrap();
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    assert_eq!((&spec["sandbox"], &spec["epoch"]), (&"a".into(), &1.into()));
    assert_eq!(spec["credentials"]["seed"], "canary-seed");
    assert_eq!(spec["project_dir"], "/workspace/project");
}

pub async fn a_worker_is_asked_to_end_before_it_is_killed<P: Place>() {
    let script = "read -r spec; trap 'echo bye > bye; exit 0' TERM; test -f bye && echo said-bye; echo up; while true; do sleep 0.05; done";
    let place = P::begin(script).await;
    let first = launch("a", 1);
    place.run(&first).await;
    place.log_with(&first.instance, "up").await;
    let asked = Instant::now();
    place.driver().stop(&first.instance, PATIENCE).await.unwrap();
    assert!(asked.elapsed() < PATIENCE, "it had to be killed");
    let second = launch("a", 2);
    place.run(&second).await;
    place.log_with(&second.instance, "said-bye").await;
}

pub async fn a_worker_that_does_not_listen_is_killed<P: Place>() {
    let place = P::begin("read -r spec; trap '' TERM; echo up; while true; do sleep 0.05; done").await;
    let launch = launch("a", 1);
    place.run(&launch).await;
    place.log_with(&launch.instance, "up").await;
    place.driver().stop(&launch.instance, Duration::from_secs(1)).await.unwrap();
    assert_eq!(place.driver().list().await.unwrap(), []);
}

pub async fn the_end_of_a_worker_is_told_with_its_code_and_last_lines<P: Place>() {
    let place = P::begin("read -r spec; { seq 1 100; echo broken; } >&2; exit 7").await;
    let launch = launch("a", 1);
    place.driver().list().await.unwrap();
    let told = async {
        while !matches!(place.states().await[..], [InstanceState::Exited { code: Some(7) }]) {
            place.driver().changed().await;
        }
    };
    let ((), told) = tokio::join!(place.run(&launch), timeout(PATIENCE, told));
    told.unwrap();
    let log = place.driver().log(&launch.instance).await;
    assert!(log.contains("broken") && log.contains("100") && !log.contains("\n50\n"), "{log}");
}

pub async fn files_survive_a_stop_and_go_when_removed<P: Place>() {
    let place = P::begin("read -r spec; cat work; echo of-a-day > work; echo up; exec sleep 1000").await;
    let (first, second, third) = (launch("a", 1), launch("a", 2), launch("a", 3));
    place.run(&first).await;
    place.log_with(&first.instance, "up").await;
    let used = place.driver().remove_files(&first.instance.sandbox).await;
    assert!(matches!(used, Err(Error::Unavailable(_))), "{used:?}");
    place.driver().stop(&first.instance, Duration::ZERO).await.unwrap();
    place.run(&second).await;
    place.log_with(&second.instance, "of-a-day").await;
    place.driver().stop(&second.instance, Duration::ZERO).await.unwrap();
    assert_eq!(place.volumes().await, 1);
    for _ in 0..2 {
        place.driver().remove_files(&first.instance.sandbox).await.unwrap();
        assert_eq!(place.volumes().await, 0);
    }
    place.run(&third).await;
    let log = place.log_with(&third.instance, "up").await;
    assert!(!log.contains("of-a-day"), "{log}");
}

pub async fn what_is_anothers_is_not_seen_and_not_touched<P: Place>() {
    let place = P::begin("read -r spec; exec sleep 1000").await;
    let others = place.beside().await;
    let launch = launch("a", 1);
    place.run(&launch).await;
    others.run(&launch).await;
    assert_eq!(place.driver().list().await.unwrap().len(), 1);
    place.driver().stop(&launch.instance, Duration::ZERO).await.unwrap();
    place.driver().remove_files(&launch.instance.sandbox).await.unwrap();
    assert_eq!(others.states().await, [InstanceState::Running]);
    assert_eq!((place.volumes().await, others.volumes().await), (0, 1));
}

pub async fn clusters_of_one_name_touch_nothing_of_each_other<P: Place>() {
    let place = P::begin("read -r spec; exec sleep 1000").await;
    let launch = launch("a", 1);
    // Both have come before there was anything.
    let (one, other) = (place.marked("one").await, place.marked("other").await);
    start(&one, &launch).await;
    let told = other.list().await.unwrap_err().to_string();
    assert!(told.contains("OH_CLUSTER"), "{told}");
    let refused = other.start(&launch).await;
    assert!(matches!(refused, Err(StartError::Unavailable(_))), "it is another's that runs: {refused:?}");
    assert_eq!(states(&one).await, [InstanceState::Running]);
    one.stop(&launch.instance, Duration::ZERO).await.unwrap();
    one.remove_files(&launch.instance.sandbox).await.unwrap();
    assert_eq!(
        place.driver().list().await.unwrap(),
        [],
        "who has no mark takes all of that name for its own"
    );
}

pub async fn the_end_of_a_cluster_leaves_nothing_of_it_and_all_of_others<P: Place>() {
    let place = P::begin("read -r spec; exec sleep 1000").await;
    let others = place.beside().await;
    let launch = launch("a", 1);
    place.run(&launch).await;
    others.run(&launch).await;
    place.remove_all().await.unwrap();
    assert_eq!(place.driver().list().await.unwrap(), []);
    place.until(async || place.volumes().await == 0).await;
    assert_eq!((others.states().await, others.volumes().await), (vec![InstanceState::Running], 1));
    place.run(&launch).await;
}

pub async fn what_a_sandbox_must_have_is_tried_and_nothing_of_it_stays<P: Place>() {
    let said = for_clients("The image has no cheese.");
    let script = format!(
        r#"read -r spec; test "$1 $2" = "worker --try" || exit 9; test -f cheese && exit 0; echo '{said}' >&2; exit 1"#
    );
    let place = P::begin(&script).await;
    let refused = place.try_out().await;
    assert_eq!(refused, Err(StartError::Failed("The image has no cheese.".to_owned())));
    assert_eq!(place.driver().list().await.unwrap(), []);
    place.until(async || place.volumes().await == 0).await;
    let content =
        P::begin(r#"read -r spec; test "$1 $2" = "worker --try" && echo x > x && exit 0; exit 9"#).await;
    content.try_out().await.unwrap();
    assert_eq!(content.driver().list().await.unwrap(), []);
}
