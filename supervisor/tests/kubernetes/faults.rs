//! The API server is away, forgets, or says nothing: what lives goes on, and what has changed is found.

use std::time::Duration;

use kubernetes_fake::{Away, Pod};
use manyhands_supervisor::{Driver, InstanceState, StartError};
use ports::Error;
use tokio::time::timeout;
use types::placement::Want;

use super::suite::{PATIENCE, Place, Supervised, launch};
use super::world::{World, world};

const SLEEPS: &str = "read -r spec; echo up; exec sleep 1000";

const WAYS: [Away; 5] = [Away::Refused, Away::Hung, Away::Unavailable, Away::TooMany(1), Away::Page(502)];

#[tokio::test]
async fn whatever_way_the_server_is_away_it_is_unavailable_and_nothing_hangs() {
    let world = world(SLEEPS).await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    for way in WAYS {
        world.server.is_away(way.clone());
        let driver = world.impatient().await;
        let asked = async {
            assert!(matches!(driver.list().await, Err(Error::Unavailable(_))), "{way:?}");
            assert!(matches!(driver.find(&launch.instance.sandbox).await, Err(Error::Unavailable(_))));
            assert!(matches!(driver.start(&launch).await, Err(StartError::Unavailable(_))));
            assert!(matches!(
                driver.stop(&launch.instance, Duration::ZERO).await,
                Err(Error::Unavailable(_))
            ));
            assert!(matches!(
                driver.remove_files(&launch.instance.sandbox).await,
                Err(Error::Unavailable(_))
            ));
            assert_eq!(driver.log(&launch.instance).await, "");
            assert_eq!(driver.changed().await, None, "it may have been any");
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{way:?} hangs"));
        world.server.is_back();
    }
    assert_eq!(world.states().await, [InstanceState::Running]);
}

/// Everybody waits for a look, and a connection whose other end has gone says nothing of that.
#[tokio::test]
async fn a_look_waits_no_longer_than_servers_that_are_well_take() {
    let world = world(SLEEPS).await;
    world.server.is_away(Away::Hung);
    let looked = timeout(Duration::from_secs(15), world.driver.list()).await;
    assert!(matches!(looked, Ok(Err(Error::Unavailable(_)))), "{looked:?}");
}

/// What happens to a pod is heard of by the driver within so long.
async fn hears_of_an_end(world: &World, sandbox: &str) {
    let launch = launch(sandbox, 1);
    let heard = async {
        loop {
            let changed = world.driver.changed().await;
            let state = world.found(&launch.instance).await.map(|found| found.state);
            if changed.is_none_or(|sandbox| sandbox == launch.instance.sandbox)
                && matches!(state, Some(InstanceState::Exited { .. }))
            {
                return;
            }
        }
    };
    let (heard, ()) = tokio::join!(timeout(PATIENCE, heard), world.run(&launch));
    heard.unwrap();
}

/// What was heard of before comes first.
async fn until_cut(world: &World) {
    let cut = async { while world.driver.changed().await.is_some() {} };
    timeout(PATIENCE, cut).await.unwrap();
}

#[tokio::test]
async fn after_a_watch_that_was_cut_or_is_too_old_changes_are_heard_of_again() {
    let world = world("read -r spec; exit 3").await;
    hears_of_an_end(&world, "a").await;
    world.server.is_away(Away::Refused);
    until_cut(&world).await;
    world.server.is_back();
    hears_of_an_end(&world, "b").await;
    // Everything that the watch could go on from is forgotten.
    world.server.is_away(Away::Refused);
    until_cut(&world).await;
    world.server.compact();
    world.server.is_back();
    hears_of_an_end(&world, "d").await;
    world.server.compact();
    hears_of_an_end(&world, "e").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_what_lives_goes_on_and_afterwards_is_the_same() {
    let supervised = Supervised::of(world(SLEEPS).await).await;
    supervised.want(Want::Running).await;
    supervised.until_states(&[InstanceState::Running]).await;
    let world = &supervised.place;
    let uid = world.pod()["metadata"]["uid"].clone();
    for way in WAYS {
        world.server.is_away(way);
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.server.is_back();
        assert_eq!(world.states().await, [InstanceState::Running]);
    }
    assert_eq!(world.pod()["metadata"]["uid"], uid, "nothing was counted against it");
    supervised.want(Want::Paused).await;
    supervised.until_states(&[]).await;
}

#[tokio::test]
async fn a_worker_that_cannot_be_reached_yet_is_told_later() {
    let world = world(SLEEPS).await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    world.until(async || world.states().await == [InstanceState::Untold]).await;
    let gone =
        kubernetes_fake::Status::internal("unable to upgrade connection: container worker not found in pod");
    world.server.plan("get", "pods/attach", kubernetes_fake::Fault::Refuse(gone));
    let refused = world.driver.start(&launch).await;
    assert!(matches!(refused, Err(StartError::Unavailable(_))), "{refused:?}");
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
}

/// Some servers know only the older way, in which the end of the socket is the end of the input.
#[tokio::test]
async fn a_line_is_handed_over_to_servers_of_any_age() {
    for protocol in ["v4.channel.k8s.io", "v5.channel.k8s.io"] {
        let settings = kubernetes_fake::Settings { attach_protocols: vec![protocol], ..Default::default() };
        let script = "read -r spec; cat; echo eof; exec sleep 1000";
        let world = super::world::world_with(script, settings, |_| {}).await;
        let launch = launch("a", 1);
        world.run(&launch).await;
        world.log_with(&launch.instance, "eof").await;
    }
}

#[tokio::test]
async fn one_that_ends_before_it_is_told_is_found_as_ended() {
    let world = world("exit 5").await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let is_over = async || world.states().await == [InstanceState::Exited { code: Some(5) }];
    world.until(is_over).await;
    world.driver.start(&launch).await.unwrap();
    assert!(is_over().await, "there is nobody to tell");
    world.server.on_pod(|pod: Pod| async move { pod.running() });
}
