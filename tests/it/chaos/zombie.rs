//! A worker that stood still while another took its conversations over, and then goes on.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use testing::history::Tally;
use testing::process::{children_of, is_alive, signal};
use testing::random::Random;
use testing::{eventually, within};
use tokio::time::Instant;

use crate::chaos::check;
use crate::chaos::scene::Scene;
use crate::chaos::talker::Talker;

const CONVERSATIONS: usize = 8;
const TAKEOVER: Duration = Duration::from_secs(40);

/// With the feature `unfenced` stale workers write all the same: then this must be found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_up_after_its_successor_wrote_changes_nothing() {
    let mut scene = Scene::set(CONVERSATIONS, "sleep 1").await;
    let mut random = Random::seeded();
    let talker = |id: &String| Talker::new(&scene.client, id, random.fork());
    let mut talkers: Vec<_> = scene.conversations.iter().map(talker).collect();
    for talker in &mut talkers {
        assert!(talker.say(TAKEOVER).await);
        has_actions(&scene, talker, 1).await;
    }

    let (node, stopped) = (scene.cluster.supervisors[0].pid(), scene.cluster.workers());
    assert!(!stopped.is_empty());
    stopped.iter().chain([&node]).for_each(|pid| signal(*pid, Signal::STOP));
    scene.cluster.add_supervisor();
    let successor = scene.cluster.supervisors[1].pid();
    within(TAKEOVER, "the other supervisor starts workers", async || {
        (children_of(successor).len() == stopped.len()).then_some(())
    })
    .await;
    let deadline = Instant::now() + TAKEOVER;
    let taken_over = join_all(talkers.iter_mut().map(|talker| talker.gets_through(deadline))).await;
    assert!(taken_over.iter().all(|usable| *usable));
    for talker in &mut talkers {
        assert!(talker.say(TAKEOVER).await);
    }

    stopped.iter().for_each(|pid| signal(*pid, Signal::CONT));
    within(TAKEOVER, "the stale workers end", async || {
        (!stopped.iter().any(|pid| is_alive(*pid))).then_some(())
    })
    .await;
    let mut tally = Tally::default();
    for talker in &mut talkers {
        let at_rest = talker.gets_through(Instant::now() + TAKEOVER).await;
        assert!(at_rest || cfg!(feature = "unfenced"), "{}", talker.conversation);
        check::examine(&mut tally, &scene.client, talker).await;
    }
    println!("{tally}");
    assert_eq!(tally.is_clean(), !cfg!(feature = "unfenced"), "{tally}");
}

async fn has_actions(scene: &Scene, talker: &Talker, count: usize) {
    eventually("the agent acts", async || {
        let events = scene.client.events(&talker.conversation).await;
        (events.iter().filter(|event| event["kind"] == "ActionEvent").count() >= count).then_some(())
    })
    .await;
}
