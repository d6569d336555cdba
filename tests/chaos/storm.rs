//! Random faults under live conversations.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use testing::history::Tally;
use testing::random::Random;
use testing::within;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::faults::Fault;
use crate::follower::Follower;
use crate::scene::Scene;
use crate::talker::Talker;
use crate::{check, setting};

/// After this many kills every conversation is tried out.
const KILLS_OF_A_ROUND: usize = 10;
/// What a conversation may take to be usable after the last fault.
const USABLE: Duration = Duration::from_secs(15);
/// What killed parts may leave behind for.
const ORPHANS: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_reordered_whatever_fails() {
    let kills = setting("MANYHANDS_CHAOS_KILLS", 10);
    let mut random = Random::seeded();
    let mut scene = Scene::set(setting("MANYHANDS_CHAOS_CONVERSATIONS", 6), "true").await;
    scene.cluster.add_supervisor();
    let url = scene.cluster.url();
    let followers: Vec<_> = scene.conversations.iter().map(|id| Follower::start(&url, id)).collect();
    let talker = |id: &String| Talker::new(&scene.client, id, random.fork());
    let mut talkers: Vec<_> = scene.conversations.iter().map(talker).collect();

    let mut struck = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    let mut killed = 0;
    while killed < kills {
        let round = KILLS_OF_A_ROUND.min(kills - killed);
        let last;
        (talkers, last) = rage(&mut scene, talkers, round, &mut random, &mut struck).await;
        killed += round;
        slowest = slowest.max(try_out(&mut talkers, last).await);
        println!("{killed} kills; the slowest conversation was usable after {slowest:.1?}");
    }

    let mut tally = Tally::default();
    let mut sockets = 0;
    for (talker, follower) in talkers.iter().zip(followers) {
        let stored = check::examine(&mut tally, &scene.client, talker).await;
        let heard = follower.end(stored.len()).await;
        check::compare(&mut tally, &heard, &stored);
        sockets += heard.sockets;
    }
    println!("{struck:?}, {sockets} sockets; {tally}");
    assert!(tally.acknowledged > 0 && tally.is_clean(), "{tally}");
    within(ORPHANS, "no process without its parent", async || {
        scene.cluster.orphans().is_empty().then_some(())
    })
    .await;
    within(ORPHANS, "one worker a sandbox", async || {
        (scene.cluster.workers().len() <= scene.sandboxes()).then_some(())
    })
    .await;
}

/// Lets everybody talk while things fail; answers when the last fault was over.
async fn rage(
    scene: &mut Scene,
    talkers: Vec<Talker>,
    kills: usize,
    random: &mut Random,
    struck: &mut BTreeMap<Fault, usize>,
) -> (Vec<Talker>, Instant) {
    let (enough, told) = watch::channel(false);
    let talking: Vec<_> = talkers.into_iter().map(|talker| tokio::spawn(talker.talk(told.clone()))).collect();
    let mut killed = 0;
    while killed < kills {
        sleep(Duration::from_millis(200 + random.below(1_500))).await;
        let fault = Fault::any(random);
        if fault.strike(&mut scene.cluster, random).await {
            *struck.entry(fault).or_default() += 1;
            killed += usize::from(fault.is_kill());
        }
    }
    let last = Instant::now();
    enough.send_replace(true);
    (join_all(talking).await.into_iter().map(Result::unwrap).collect(), last)
}

/// How long after `began` the slowest conversation had answered a message.
async fn try_out(talkers: &mut [Talker], began: Instant) -> Duration {
    let usable = join_all(talkers.iter_mut().map(async |talker| {
        let usable = talker.gets_through(began + USABLE).await;
        assert!(usable, "conversation {} is not usable within {USABLE:?}", talker.conversation);
        began.elapsed()
    }));
    usable.await.into_iter().max().unwrap_or_default()
}
