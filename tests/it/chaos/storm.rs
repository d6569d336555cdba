//! Random faults under live conversations.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use testing::containers::Containers;
use testing::engine::Engine;
use testing::history::Tally;
use testing::random::Random;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::chaos::faults::Fault;
use crate::chaos::follower::Follower;
use crate::chaos::scene::{Litter, Scene};
use crate::chaos::talker::Talker;
use crate::chaos::{check, setting};

/// After this many kills every conversation is tried out.
const KILLS_OF_A_ROUND: usize = 20;
/// After this many what is stored is compared with what clients were told, so that a run that is broken off has told something.
const KILLS_OF_A_VERDICT: usize = 100;
/// What a conversation may take to be usable after the last fault, in seconds; a busy machine needs more.
const USABLE: usize = 15;
/// For how long killed parts may leave something behind.
const LITTERED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_reordered_whatever_fails() {
    storm(None, setting("MANYHANDS_CHAOS_KILLS", 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_in_containers_whose_engine_restarts_lose_double_and_reorder_nothing() {
    if !Engine::is_possible() {
        testing::may_skip(
            "the storm in containers",
            "an engine of its own needs root, dockerd and containerd",
        );
        return;
    }
    storm(Some(Containers::prepare_apart()), setting("MANYHANDS_CHAOS_KILLS", 12)).await;
}

async fn storm(containers: Option<Containers>, kills: usize) {
    let mut random = Random::seeded();
    let conversations = setting("MANYHANDS_CHAOS_CONVERSATIONS", 6);
    let mut scene = Scene::set_in(containers, conversations, "true").await;
    scene.cluster.add_supervisor();
    let url = scene.cluster.url();
    let followers: Vec<_> = scene.conversations.iter().map(|id| Follower::start(&url, id)).collect();
    let talker = |id: &String| Talker::new(&scene.client, id, random.fork());
    let mut talkers: Vec<_> = scene.conversations.iter().map(talker).collect();

    let mut struck = BTreeMap::new();
    let mut waits = Vec::new();
    let mut killed = 0;
    while killed < kills {
        let round = KILLS_OF_A_ROUND.min(kills - killed);
        let last;
        (talkers, last) = rage(&mut scene, talkers, round, &mut random, &mut struck).await;
        killed += round;
        waits.extend(try_out(&mut talkers, last).await);
        waits.sort();
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
        println!("{killed} kills; usable again: p50 {:.1?}, p95 {:.1?}, max {:.1?}", at(50), at(95), at(100));
        if killed % KILLS_OF_A_VERDICT == 0 && killed < kills {
            let mut tally = Tally::default();
            for talker in &talkers {
                check::examine(&mut tally, &scene.client, talker).await;
            }
            println!("so far {struck:?}; {tally}");
            assert!(tally.is_clean(), "{tally}");
        }
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
    let deadline = Instant::now() + LITTERED;
    while scene.litter() != Litter::default() {
        assert!(Instant::now() < deadline, "still there: {:?}", scene.litter());
        sleep(Duration::from_millis(100)).await;
    }
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
        sleep(Duration::from_millis(100 + random.below(900))).await;
        let number: usize = struck.values().sum();
        let due = scene.cluster.containers.as_ref().and_then(|_| Fault::of_containers(number));
        let fault = due.unwrap_or_else(|| Fault::any(random));
        if fault.strike(&mut scene.cluster, random).await {
            *struck.entry(fault).or_default() += 1;
            killed += usize::from(fault.is_kill());
        }
    }
    let last = Instant::now();
    enough.send_replace(true);
    (join_all(talking).await.into_iter().map(Result::unwrap).collect(), last)
}

/// How long after `began` each conversation had answered a message.
async fn try_out(talkers: &mut [Talker], began: Instant) -> Vec<Duration> {
    let limit = Duration::from_secs(setting("MANYHANDS_CHAOS_USABLE_SECONDS", USABLE) as u64);
    let usable = join_all(talkers.iter_mut().map(async |talker| {
        let usable = talker.gets_through(began + limit).await;
        assert!(usable, "not usable within {limit:?}: {}", talker.why().await);
        began.elapsed()
    }));
    usable.await
}
