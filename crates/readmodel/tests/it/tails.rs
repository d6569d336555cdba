//! Bash logs that are followed: how much of them is in memory, and what is found of them all the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use manyhands_readmodel::bashlog::{Listener, Query, Tail, Tails};
use tokio::time::timeout;
use types::{BashScope, ConversationId, LogId, SandboxId, Seq};
use uuid::Uuid;

use crate::doubles::World;
use crate::sharing::{append, told};

const IN_TIME: Duration = Duration::from_secs(10);

fn log() -> LogId {
    LogId::bash(&SandboxId::shared(), BashScope::Conversation(ConversationId::random()))
}

async fn all(tail: &Tail) -> Vec<u128> {
    let page = tail.search(&Query { limit: 10_000, ..Query::default() }).await.unwrap();
    page.entries.iter().map(|entry| entry.id.as_u128()).collect()
}

/// A log of fifty events, of which its tail knows all.
async fn one_that_was_read(world: &World) -> (LogId, Tails, Arc<Tail>) {
    let log = log();
    let tails = Tails::new(&world.ports, &world.tasks, &world.drain);
    append(world, &log, Seq::ZERO, 0..50).await;
    let tail = tails.of(log.clone());
    assert_eq!(all(&tail).await.len(), 50);
    (log, tails, tail)
}

#[tokio::test]
async fn a_page_has_no_hole_where_the_window_moves_on_while_older_events_are_read() {
    let world = World::start().await;
    let log = log();
    let tails = Tails::with_room_for(40, &world.ports, &world.tasks, &world.drain);
    let end = append(&world, &log, Seq::ZERO, 0..500).await;
    let tail = tails.of(log.clone());
    assert_eq!(all(&tail).await, (0..500).collect::<Vec<_>>());
    let mut listener = Listener::new(tail.clone(), false).await.unwrap();

    // The first page is only a look at where the log begins, the next one ends in the middle.
    world.logs.stick_after(&log, 2);
    let (pages, _) = world.logs.asked(&log);
    let searching = {
        let tail = tail.clone();
        tokio::spawn(async move { all(&tail).await })
    };
    world.logs.until_asked(&log, |asked| asked.0 >= pages + 3).await;
    append(&world, &log, end, 500..1_000).await;
    assert_eq!(told(&mut listener, 500).await, (500..1_000).collect::<Vec<_>>());
    world.logs.release(&log);
    assert_eq!(searching.await.unwrap(), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn all_logs_together_have_so_many_events_in_memory_and_none_is_lost_to_a_search() {
    const MOST: usize = 200;
    let world = World::start().await;
    let tails = Tails::with_room_for(MOST, &world.ports, &world.tasks, &world.drain);
    let mut followed: Vec<Arc<Tail>> = Vec::new();
    for _ in 0..10 {
        let log = log();
        append(&world, &log, Seq::ZERO, 0..100).await;
        let tail = tails.of(log);
        assert_eq!(all(&tail).await.len(), 100);
        followed.push(tail);
        assert!(tails.held() <= MOST, "{}", tails.held());
    }
    for tail in followed {
        assert_eq!(all(&tail).await, (0..100).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn of_logs_that_nobody_uses_only_so_many_are_followed() {
    let world = World::start().await;
    let tails = Tails::new(&world.ports, &world.tasks, &world.drain);
    let used = tails.of(log());
    for _ in 0..600 {
        let tail = tails.of(log());
        assert_eq!(all(&tail).await, []);
    }
    assert!(tails.len() <= 513, "{}", tails.len());
    assert!(Arc::ptr_eq(&used, &tails.of(used.log.clone())), "one that is used stays");
}

#[tokio::test]
async fn a_follower_that_panics_begins_again() {
    let world = World::start().await;
    let log = log();
    let tails = Tails::new(&world.ports, &world.tasks, &world.drain);
    append(&world, &log, Seq::ZERO, 0..3).await;
    world.logs.panic_once(&log);
    let tail = tails.of(log.clone());
    world.logs.until_asked(&log, |asked| asked.0 > 0).await;
    assert_eq!(timeout(IN_TIME, all(&tail)).await.expect("it is found"), [0, 1, 2]);
}

#[tokio::test]
async fn a_search_in_a_log_that_is_made_anew_meanwhile_waits_for_nothing_that_is_gone() {
    let world = World::start().await;
    let (log, _tails, tail) = one_that_was_read(&world).await;
    world.logs.stick_after(&log, 0);
    let searching = {
        let tail = tail.clone();
        tokio::spawn(async move { tail.search(&Query { limit: 100, ..Query::default() }).await })
    };
    let (pages, _) = world.logs.asked(&log);
    world.logs.until_asked(&log, |asked| asked.0 > pages).await;
    world.ports.log.delete(&log).await.unwrap();
    let (_, tails) = world.logs.asked(&log);
    append(&world, &log, Seq::ZERO, 70..72).await;
    // Whoever follows the log has seen that it begins anew, and reads it.
    world.logs.until_asked(&log, |asked| asked.0 > pages + 1 && asked.1 > tails).await;
    world.logs.release(&log);
    timeout(IN_TIME, searching).await.expect("it ends").unwrap().unwrap();
    assert_eq!(all(&tail).await, [70, 71]);
}

#[tokio::test]
async fn who_listens_for_what_comes_is_not_told_of_what_a_log_made_anew_has_already() {
    let world = World::start().await;
    let (log, _tails, tail) = one_that_was_read(&world).await;
    // Nobody is told that it was made anew.
    world.bus.lose(&log);
    world.ports.log.delete(&log).await.unwrap();
    let end = append(&world, &log, Seq::ZERO, 70..72).await;
    let mut listener = Listener::new(tail, false).await.unwrap();
    world.bus.deliver(&log);
    append(&world, &log, end, 72..73).await;
    assert_eq!(told(&mut listener, 1).await, [72]);
}

#[tokio::test]
async fn several_events_are_looked_for_at_once() {
    let world = World::start().await;
    let log = log();
    let tails = Tails::with_room_for(40, &world.ports, &world.tasks, &world.drain);
    append(&world, &log, Seq::ZERO, 0..300).await;
    let tail = tails.of(log.clone());
    assert_eq!(all(&tail).await.len(), 300);
    let ids: Vec<Uuid> = (0..400_u128).step_by(50).map(Uuid::from_u128).collect();
    let (pages, _) = world.logs.asked(&log);
    let found = tail.find_all(&ids).await.unwrap();
    let known: HashSet<u128> = found.keys().map(Uuid::as_u128).collect();
    assert_eq!(known, HashSet::from([0, 50, 100, 150, 200, 250]));
    assert!(world.logs.asked(&log).0 - pages <= 4, "the log is looked through once");
}
