//! The supervisor with the real driver, where that takes an image that is not there.

use std::time::{Duration, Instant};

use types::placement::FailureReason;

use super::suite::Supervised;
use super::world::{NOWHERE, world_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_recorded_within_two_seconds() {
    let world = world_with("exec sleep 1000", |config| config.image = NOWHERE.to_owned()).await;
    let supervised = Supervised::of(world).await;
    let begun = Instant::now();
    let failure = supervised.first_failure().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(failure.reason, FailureReason::ImageMissing);
}
