//! The first steps of an operator: all of it starts, an agent works in a sandbox, and nothing of it stays.

use std::time::Duration;

use testing::compose::docker;
use testing::containers;
use testing::history::Tally;

use super::up;
use super::work::{self, Conversation};

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes `docker compose` and minutes: CONTRIBUTING.md"]
async fn a_project_starts_lets_an_agent_work_and_goes_without_a_trace() {
    let Some(project) = up(&[]) else { return };
    let (client, model) = (project.client(), work::model(Duration::from_secs(1)).await);
    let conversation = Conversation::create(&client, &model, "[[steps]] 1.".to_owned()).await;
    conversation.begin().await;
    conversation.finishes(PATIENCE).await;
    let mut tally = Tally::default();
    conversation.examine(&mut tally, &[]).await;
    assert!(tally.is_clean(), "{tally}");
    for worker in project.workers() {
        let id = worker.split(' ').next().unwrap_or_default().to_owned();
        let runtime = docker(&["inspect", "--format", "{{.HostConfig.Runtime}}", &id]);
        assert!(containers::runtime().is_none_or(|wanted| wanted == runtime.trim()), "{runtime}");
    }
    project.down();
    assert_eq!(project.things(), [""; 0], "nothing is left");
}
