//! The snapshot that ends a client's wait for a run.

use std::time::Duration;

use crate::harness::{Server, is_resting_snapshot, is_snapshot, start};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use types::time::event_now;

/// A client as the SDK is one: frames are only heeded from the moment it has read the answer to its call.
async fn hears_the_end(server: &Server, id: &str, late: Duration) -> bool {
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    server.say(id, "hi", false).await;
    assert_eq!(server.run(id).await.0, 200);
    let armed = Instant::now() + late;
    // What comes before is read and thrown away.
    while let Ok(frame) = timeout(armed.saturating_duration_since(Instant::now()), socket.next()).await {
        drop(frame);
    }
    let listening = async {
        loop {
            if is_resting_snapshot(&socket.next().await) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(3), listening).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_listens_late_still_hears_that_a_quick_run_is_over() {
    let server = start().await;
    for late in [0, 50, 150, 300, 1_000] {
        for ends_as in ["finished", "waiting_for_confirmation", "error"] {
            server.worker.script(|script| script.ends_as = ends_as);
            let id = server.create().await;
            assert!(hears_the_end(&server, &id, Duration::from_millis(late)).await, "{late} ms, {ends_as}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_of_a_run_is_followed_by_one_snapshot_after_all_its_events() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    server.say(&id, "hi", true).await;
    let frames = socket.until(is_snapshot).await;
    let before = &frames[frames.len() - 2];
    assert_eq!((&before["key"], &before["value"]), (&json!("execution_status"), &json!("finished")));
    assert_eq!(frames[frames.len() - 1]["value"]["execution_status"], "finished");
    let repeats = [socket.next().await, socket.next().await, socket.next().await];
    assert!(repeats.iter().all(is_resting_snapshot));
    assert_eq!(socket.next_within(Duration::from_millis(500)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_followed_by_a_snapshot() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    server.post(&format!("/api/conversations/{id}/pause"), json!({})).await;
    let frames = socket.until(is_snapshot).await;
    assert_eq!(frames[frames.len() - 1]["value"]["execution_status"], "paused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_took_long_is_not_announced_again() {
    let server = start().await;
    server.worker.script(|script| script.takes = Duration::from_millis(2_200));
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    server.say(&id, "hi", true).await;
    socket.until(is_resting_snapshot).await;
    assert_eq!(socket.next_within(Duration::from_millis(600)).await, None);
}

/// Runs follow each other at all distances from the repeats of the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_snapshot_of_rest_is_sent_between_the_answer_to_a_run_and_its_end() {
    let server = start().await;
    server.worker.script(|script| script.takes = Duration::from_millis(60));
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(server.socket(&format!("/sockets/events/{id}")).await);
    }
    let (ended, mut ends) = mpsc::channel(64);
    let reader = tokio::spawn(async move {
        let (mut frames, mut over) = (Vec::new(), 0);
        while over < RUNS {
            frames.push(socket.next().await);
            let frame = &frames[frames.len() - 1];
            if is_snapshot(frame) && finished(&frames) > over {
                over += 1;
                ended.send(()).await.unwrap();
            }
        }
        frames
    });
    let mut answered = Vec::new();
    for round in 0..RUNS {
        if round % 2 == 0 {
            server.say(&id, "hi", false).await;
        }
        assert_eq!(server.run(&id).await.0, 200);
        answered.push(event_now());
        timeout(Duration::from_secs(5), ends.recv()).await.expect("the run's end was not told").unwrap();
        let after_a_repeat = [88, 388][round % 2] + round as u64 / 2;
        sleep(Duration::from_millis(after_a_repeat)).await;
    }
    let frames = reader.await.unwrap();
    for (i, frame) in frames.iter().enumerate().filter(|(_, frame)| is_resting_snapshot(frame)) {
        let runs_over = finished(&frames[..i]);
        let Some(next_answered) = answered.get(runs_over) else { continue };
        assert!(frame["timestamp"].as_str().unwrap() < next_answered.as_str(), "after {runs_over} runs");
    }
    drop(others);
}

const RUNS: usize = 50;

/// How many runs these frames tell the end of.
fn finished(frames: &[Value]) -> usize {
    frames.iter().filter(|frame| frame["key"] == "execution_status" && frame["value"] == "finished").count()
}
