//! Two projects on one engine, both at work, until one is taken down for good.

use std::time::{Duration, Instant};

use testing::compose::{Project, docker};
use testing::history::Tally;
use testing::model::Model;

use super::work::{self, Conversation};
use super::{setting, up};

const CONVERSATIONS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

struct Side {
    project: Project,
    conversations: Vec<Conversation>,
}

impl Side {
    async fn start(model: &Model, policy: &str) -> Option<Self> {
        let project = up(&[("OH_SANDBOX_POLICY", policy)])?;
        let (client, mut conversations) = (project.client(), Vec::new());
        for number in 0..CONVERSATIONS {
            let marker = format!("[[steps]] {} {number}.", project.name());
            conversations.push(Conversation::create(&client, model, marker).await);
        }
        Some(Self { project, conversations })
    }

    async fn begin(&self) {
        for conversation in &self.conversations {
            conversation.begin().await;
        }
    }

    async fn finish(&self) {
        for conversation in &self.conversations {
            conversation.finishes(PATIENCE).await;
        }
    }

    /// What is in the volumes of its keys.
    fn keys(&self) -> String {
        let name = self.project.name();
        let mounts = ["operator", "nats", "gateway", "supervisor"]
            .map(|part| format!("--volume={name}_keys-{part}:/keys/{part}:ro"));
        let ends = ["--rm", "--network=none"].into_iter().chain(mounts.iter().map(String::as_str));
        let image = format!("{name}-worker");
        let script = "find /keys -type f | sort | xargs sha256sum";
        let asked = ["run"].into_iter().chain(ends).chain([image.as_str(), "sh", "-c", script]);
        docker(&asked.collect::<Vec<_>>())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes `docker compose` and minutes: CONTRIBUTING.md"]
async fn of_two_projects_on_one_engine_the_end_of_one_leaves_the_other_untouched() {
    let time = Duration::from_secs(setting("MANYHANDS_BESIDE_SECONDS", 30));
    let model = work::model(Duration::from_secs(5)).await;
    // Each conversation has files of its own in both.
    let (first, second) =
        (Side::start(&model, "conversation").await, Side::start(&model, "conversation").await);
    let (Some(going), Some(staying)) = (first, second) else { return };
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || began.elapsed() < time {
        for side in [&going, &staying] {
            side.begin().await;
        }
        for side in [&going, &staying] {
            side.finish().await;
        }
        rounds += 1;
    }
    let mut tally = Tally::default();
    for conversation in &going.conversations {
        conversation.examine(&mut tally, &[]).await;
    }
    // One is at work while the other goes.
    staying.begin().await;
    let mut before = Vec::new();
    for conversation in &staying.conversations {
        before.push(conversation.events().await);
    }
    let (things, workers, keys) = (staying.project.things(), staying.project.workers(), staying.keys());
    assert!(!workers.is_empty() && keys.contains("session_key"), "{workers:?} {keys}");

    going.project.down();
    assert_eq!(going.project.things(), [""; 0], "nothing is left of it");
    assert_eq!(staying.project.things(), things);
    assert_eq!(staying.project.workers(), workers);
    assert_eq!(staying.keys(), keys);
    staying.finish().await;
    staying.begin().await;
    staying.finish().await;
    for (conversation, before) in staying.conversations.iter().zip(&before) {
        conversation.examine(&mut tally, before).await;
    }
    println!(
        "{rounds} rounds of {CONVERSATIONS} conversations each, side by side for {:.0?}; {tally}",
        began.elapsed()
    );
    assert!(tally.is_clean(), "{tally}");
}
