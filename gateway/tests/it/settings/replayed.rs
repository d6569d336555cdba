//! The same calls as were once made to the peer, one after the other, are answered alike.

use crate::harness::replay::replay;
use crate::harness::start;

/// Made of a running peer: the calls, their statuses, and what was told of those that it refused.
const PEER: &str = include_str!("peer.json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_answers_are_ours() {
    let server = start().await;
    replay(&server, "", PEER).await;
}
