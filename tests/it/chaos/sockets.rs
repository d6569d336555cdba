//! Sockets that break off at random, under conversations that run.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use testing::PATIENCE;
use testing::history::Tally;
use testing::random::Random;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::chaos::follower::Follower;
use crate::chaos::scene::Scene;
use crate::chaos::talker::Talker;
use crate::chaos::{check, setting};

const CONVERSATIONS: usize = 4;
const FOLLOWERS: usize = 20;
/// What so many times may take that one follower hangs up.
const HANGING_UP: (usize, Duration) = (200, Duration::from_secs(600));

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_and_resumes_on_any_gateway_misses_nothing_and_sees_nothing_twice() {
    let hang_ups = setting("MANYHANDS_CHAOS_DISCONNECTS", 200) / FOLLOWERS;
    let mut random = Random::seeded();
    let scene = Scene::set(CONVERSATIONS, "true").await;
    let (enough, told) = watch::channel(false);
    let talk = |id: &String| tokio::spawn(Talker::new(&scene.client, id, random.fork()).talk(told.clone()));
    let talking: Vec<_> = scene.conversations.iter().map(talk).collect();
    let url = scene.cluster.url();
    let mut followers = Vec::new();
    for id in scene.conversations.iter().cycle().take(FOLLOWERS) {
        followers.push((id, Follower::start_restless(&url, id, hang_ups, random.fork())));
    }
    let hung_up = join_all(followers.iter_mut().map(|(_, follower)| follower.has_hung_up(hang_ups)));
    let (times, patience) = HANGING_UP;
    timeout(patience * (1 + hang_ups / times) as u32, hung_up).await.expect("all hang up");
    enough.send_replace(true);

    let (mut tally, mut stored) = (Tally::default(), BTreeMap::new());
    for talking in talking {
        let mut talker = talking.await.unwrap();
        assert!(talker.gets_through(Instant::now() + PATIENCE).await);
        stored.insert(talker.conversation.clone(), check::examine(&mut tally, &scene.client, &talker).await);
    }
    let mut sockets = 0;
    for (id, follower) in followers {
        let heard = follower.end(stored[id].len()).await;
        check::compare(&mut tally, &heard, &stored[id]);
        sockets += heard.sockets;
    }
    println!("{} hang-ups, {sockets} sockets; {tally}", hang_ups * FOLLOWERS);
    assert!(sockets >= hang_ups * FOLLOWERS && tally.is_clean(), "{tally}");
}
