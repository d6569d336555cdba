//! Three servers of NATS, of which one at a time is killed or stands still, under conversations that run.
//!
//! `MANYHANDS_REPLICAS_SECONDS`: for how long.

use std::time::Duration;

use futures_util::future::join_all;
use testing::history::Tally;
use testing::nats::Nats;
use testing::random::Random;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::chaos::follower::Follower;
use crate::chaos::scene::Scene;
use crate::chaos::talker::Talker;
use crate::chaos::{check, setting};

const SECONDS: usize = 10;
const CONVERSATIONS: usize = 6;
/// How long a server is away: sometimes less than it takes until another leads, sometimes more.
const AWAY_MS: (u64, u64) = (500, 10_000);
/// What one that stood still takes to notice that it did.
const NOTICE: Duration = Duration::from_secs(1);
/// What a conversation may take to be usable after the last of it.
const USABLE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn of_three_nats_servers_one_at_a_time_fails_and_nothing_is_lost_doubled_reordered_or_read_late() {
    let (mut random, began) = (Random::seeded(), Instant::now());
    let mut scene = Scene::set_on_three(CONVERSATIONS, "true").await;
    println!("three servers after {:.1?}", began.elapsed());
    let url = scene.cluster.url();
    let followers: Vec<_> = scene.conversations.iter().map(|id| Follower::start(&url, id)).collect();
    let (enough, told) = watch::channel(false);
    let talk =
        |id: &String| tokio::spawn(Talker::new(&scene.client, id, random.fork()).talk_and_look(told.clone()));
    let talking: Vec<_> = scene.conversations.iter().map(talk).collect();

    let until = Instant::now() + Duration::from_secs(setting("MANYHANDS_REPLICAS_SECONDS", SECONDS) as u64);
    let (mut kills, mut stops) = (0, 0);
    while Instant::now() < until {
        sleep(Duration::from_millis(random.below(2_000))).await;
        let away = Duration::from_millis(AWAY_MS.0 + random.below(AWAY_MS.1 - AWAY_MS.0));
        let server = any_of(&mut scene, &mut random);
        if random.below(3) == 0 {
            server.stand_still();
            sleep(away).await;
            server.go_on();
            stops += 1;
        } else {
            server.kill().await;
            sleep(away).await;
            server.restart().await;
            kills += 1;
        }
        let back = Instant::now();
        sleep(NOTICE).await;
        server.catches_up().await;
        println!("one was away for {away:.1?}, and had all after {:.1?} more", back.elapsed());
    }
    enough.send_replace(true);
    let mut talkers: Vec<Talker> = join_all(talking).await.into_iter().map(Result::unwrap).collect();
    let last = Instant::now();
    join_all(talkers.iter_mut().map(async |talker| {
        assert!(talker.gets_through(last + USABLE).await, "not usable: {}", talker.why().await);
    }))
    .await;
    let usable = last.elapsed();

    let (mut tally, mut stored, mut late) = (Tally::default(), 0, 0);
    let mut waited = Duration::ZERO;
    for (talker, follower) in talkers.iter().zip(followers) {
        let events = check::examine(&mut tally, &scene.client, talker).await;
        check::compare(&mut tally, &follower.end(events.len()).await, &events);
        (stored, late) = (stored + events.len(), late + talker.read_late);
        waited = waited.max(talker.waited);
    }
    println!(
        "{kills} kills, {stops} stops, {stored} events, the longest wait {waited:.1?}, {late} late; {tally}"
    );
    println!("usable {usable:.1?} after the last");
    assert!(kills + stops > 0 && tally.acknowledged > 0 && tally.is_clean() && late == 0, "{late}; {tally}");
}

fn any_of<'a>(scene: &'a mut Scene, random: &mut Random) -> &'a mut Nats {
    let cluster = &mut scene.cluster;
    match random.below(3) {
        0 => &mut cluster.nats,
        other => &mut cluster.other_nats[other as usize - 1],
    }
}
