//! What hostile workers make of what a gateway shows, and keeps of them.

use types::ConversationId;

use crate::harness::events::update;
use crate::harness::{start, until};

/// Memory of this process that is resident now, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_announces_all_it_can_fills_no_gateways_memory() {
    const ANNOUNCED: usize = 400;
    const EACH: usize = 512 * 1024;
    let server = start().await;
    let id = server.create().await;
    let conversation: ConversationId = id.parse().unwrap();
    let before = resident();
    for number in 0..ANNOUNCED {
        let event = update(&format!("key-{number}"), "x".repeat(EACH).into());
        server.worker.append_events(conversation, vec![event], 1).await;
    }
    until(async || server.get(&format!("/api/conversations/{id}/events/count")).await.1 == ANNOUNCED).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < ANNOUNCED * EACH / 2, "{} MiB stay in memory", grown >> 20);
    let shown = server.info(&id).await.to_string().len();
    assert!(shown < EACH, "{shown} bytes are told of the conversation");
}
