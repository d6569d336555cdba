//! What the supervisor counts.

use std::time::Duration;

use types::placement::Want;

use super::{SECOND, World, world};
use crate::StartError;

impl World {
    fn counts(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|shown| shown == line)
    }
}

#[tokio::test]
async fn starts_are_counted_by_how_they_went_and_timed_until_the_lease() {
    let world = world().await;
    let mut supervisor = world.supervisor();
    world.want("a", Want::Running, 1).await;
    world.workers.refuse(Some(StartError::Failed("no".to_owned())));
    supervisor.settle(world.start).await;
    assert!(world.counts(r#"manyhands_sandbox_starts_total{outcome="failed"} 1"#));
    assert!(world.counts(r#"manyhands_sandboxes{state="waiting"} 1"#));
    world.workers.refuse(None);
    let again = world.start + SECOND;
    supervisor.settle(again).await;
    world.lease("a", 2, 0).await;
    supervisor.settle(again + Duration::from_millis(250)).await;
    assert!(world.counts(r#"manyhands_sandbox_starts_total{outcome="ok"} 1"#));
    assert!(world.counts("manyhands_sandbox_start_seconds_sum 0.25"), "{}", world.metrics.text());
    assert!(world.counts("manyhands_lease_changes_total 1"));
    assert!(world.counts(r#"manyhands_sandboxes{state="running"} 1"#));
    supervisor.settle(again + SECOND).await;
    assert!(world.counts("manyhands_lease_changes_total 1"), "a renewed lease is the same");
}
