//! A container like a sandbox's, only to try whether one can be.

use std::time::Duration;

use manyhands_supervisor::{Driver, StartError};
use types::placement::for_clients;

use super::world::{World, connect, world, world_with, write_program};

/// Neither containers nor files; the program may stay.
async fn nothing_is_left(world: &World) {
    assert_eq!(world.containers().await, [""; 0]);
    let volumes = world.volumes().await;
    assert!(volumes.iter().all(|name| name.contains("-bin-")), "{volumes:?}");
}

#[tokio::test]
async fn what_a_sandbox_must_have_is_tried_as_a_sandbox_is_started() {
    let world = world(
        r#"read -r spec; test "$1 $2" = "worker --try" && test -d "$HOME" && echo x > /workspace/x && ! touch /usr/x && exit 0; exit 9"#,
    )
    .await;
    world.driver.try_out().await.unwrap();
    nothing_is_left(&world).await;
    assert_eq!(world.driver.list().await.unwrap(), []);
}

#[tokio::test]
async fn what_the_worker_misses_is_said_in_its_words() {
    let said = for_clients("The image has no cheese.");
    let world =
        world(&format!("read -r spec; echo inside >&2; echo '{said}' >&2; echo more >&2; exit 1")).await;
    let refused = world.driver.try_out().await;
    assert_eq!(refused, Err(StartError::Failed("The image has no cheese.".to_owned())));
    nothing_is_left(&world).await;
}

#[tokio::test]
async fn what_the_engine_refuses_is_said_in_its_words() {
    let world = world("exit 0").await;
    let mut config = world.config.clone();
    config.runtime = Some("no-such-runtime".to_owned());
    let Err(StartError::Failed(said)) = connect(&config).await.try_out().await else { panic!("it ran") };
    assert!(said.contains("no-such-runtime"), "{said}");
    nothing_is_left(&world).await;
    let engine = world.driver.engine().await.unwrap();
    assert!(engine.runtimes.contains(&"runc".to_owned()), "{:?}", engine.runtimes);
}

#[tokio::test]
async fn two_that_try_at_once_leave_each_other_alone() {
    let world = world("read -r spec; sleep 2; exit 0").await;
    let (one, other) = (connect(&world.config).await, connect(&world.config).await);
    let late = async {
        world.until(async || world.containers().await.iter().any(|name| !name.contains("-bin-"))).await;
        other.try_out().await
    };
    assert_eq!(tokio::join!(one.try_out(), late), (Ok(()), Ok(())));
    nothing_is_left(&world).await;
}

#[tokio::test]
async fn what_is_left_of_a_trial_that_was_cut_off_goes_with_the_next_and_at_the_end() {
    let world =
        world_with("read -r spec; exec sleep 1000", |config| config.trying = Duration::from_secs(1)).await;
    for is_the_end in [true, false] {
        let cut_off = connect(&world.config).await;
        let trying = tokio::spawn(async move { cut_off.try_out().await });
        let is_there = async || matches!(&world.containers().await[..], [name] if !name.contains("-bin-"));
        world.until(is_there).await;
        trying.abort();
        trying.await.unwrap_err();
        assert_eq!(world.driver.list().await.unwrap(), [], "a supervisor does not see it");
        if is_the_end {
            world.driver.remove_rest().await.unwrap();
        } else {
            write_program(&world.config, "read -r spec; exit 0");
            connect(&world.config).await.try_out().await.unwrap();
        }
        nothing_is_left(&world).await;
    }
}
