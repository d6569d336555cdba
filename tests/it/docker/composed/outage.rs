//! The only gateway of a project is away for a while, under conversations that run: what it carried itself, calls of models, is
//! asked for again, and nothing else notices.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use testing::compose::{Project, docker};
use testing::history::Tally;
use testing::model::Model;
use testing::within;
use tokio::time::sleep;

use super::work::{self, Conversation};
use super::{setting, up};

/// A call of a model that broke off is made again after pauses that add up to this, and once more.
const AGAIN: Duration = Duration::from_secs(120);
/// Of a gateway that crashes at once, again and again.
const LIFE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum Outage {
    Killed,
    CrashLoop,
    /// Ended in an orderly way, and started later.
    Stopped,
    Restarted,
}

impl Outage {
    /// Answers how long it was.
    async fn strike(self, project: &Project, away: Duration) -> Duration {
        let (gateway, began) = (project.part("gateway"), Instant::now());
        let kill = || docker(&["kill", "--signal", "KILL", &gateway]);
        match self {
            Self::Killed | Self::Stopped => {
                match self {
                    Self::Killed => kill(),
                    _ => project.compose(&["stop", "gateway"]),
                };
                sleep(away).await;
                assert_eq!(docker(&["inspect", "--format", "{{.State.Running}}", &gateway]).trim(), "false");
                project.compose(&["start", "gateway"]);
            }
            Self::CrashLoop => {
                kill();
                while began.elapsed() < away {
                    docker(&["start", &gateway]);
                    sleep(LIFE).await;
                    kill();
                }
                docker(&["start", &gateway]);
            }
            Self::Restarted => _ = project.compose(&["restart", "gateway"]),
        }
        within(AGAIN, "the gateway serves", async || {
            let ready = project.client().request(Method::GET, "/ready").send().await;
            ready.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        began.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes `docker compose` and minutes: CONTRIBUTING.md"]
async fn nothing_that_runs_is_cut_while_the_only_gateway_is_killed_crashes_is_stopped_or_restarted() {
    let away = Duration::from_secs(setting("MANYHANDS_AWAY_SECONDS", 20));
    let count = setting("MANYHANDS_AWAY_CONVERSATIONS", 4);
    let settings = [("OH_SANDBOX_POLICY", "conversation"), ("OH_WARM_WORKERS", "0")];
    let Some(project) = up(&settings) else { return };
    let (client, model) = (project.client(), work::model(away + Duration::from_secs(5)).await);
    let mut conversations = Vec::new();
    for number in 0..count {
        let kind = ["[[steps]]", "[[long]]"][number as usize % 2];
        conversations.push(Conversation::create(&client, &model, format!("{kind} {number}.")).await);
    }
    let ways = [Outage::Killed, Outage::CrashLoop, Outage::Stopped, Outage::Restarted];
    for (number, outage) in ways.into_iter().enumerate() {
        scene(&project, &model, &conversations, number, outage, away).await;
    }
    project.down();
    assert_eq!(project.things(), [""; 0], "nothing is left");
}

async fn scene(
    project: &Project,
    model: &Model,
    conversations: &[Conversation],
    number: usize,
    outage: Outage,
    away: Duration,
) {
    let again = |requests: &[Value]| -> usize {
        conversations.iter().map(|conversation| conversation.asked_again(requests)).sum()
    };
    for conversation in conversations {
        conversation.begin().await;
    }
    for conversation in conversations {
        // A run has more of them than this; those of the ones before count too.
        conversation.has_acted(AGAIN, number * work::STEPS + 1).await;
    }
    let before = join_all(conversations.iter().map(Conversation::events)).await;
    let (workers, asked_before) = (project.workers(), again(&model.requests()));
    let took = outage.strike(project, away).await;

    join_all(conversations.iter().map(|conversation| conversation.finishes(away + AGAIN))).await;
    let mut tally = Tally::default();
    for (conversation, before) in conversations.iter().zip(&before) {
        conversation.examine(&mut tally, before).await;
    }
    let asked_again = again(&model.requests()) - asked_before;
    println!(
        "{outage:?}: away for {took:.1?} under {} conversations, {} workers; 0 runs cut, model calls made again \
         {asked_again}; {tally}",
        conversations.len(),
        workers.len()
    );
    assert!(tally.is_clean(), "{tally}");
    assert_eq!(project.workers(), workers, "no worker was killed or replaced");
    if !matches!(outage, Outage::CrashLoop) {
        assert!(
            asked_again <= conversations.len(),
            "only what the gateway carried is asked for again: {asked_again}"
        );
    }
}
