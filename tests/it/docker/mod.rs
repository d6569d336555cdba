//! A cluster whose workers are containers without a network: gateways, supervisor, NATS and the door are processes.
//! `environment.sh` makes sure of Docker.

mod canaries;
mod composed;
mod hostile;
mod late_engine;
mod own_files;
mod server_image;
mod trying;

use testing::server::{Server, Start};

const PROJECT: &str = "/workspace/project";

/// A container for each conversation.
fn a_container_each() -> Server {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with_key("session-key");
    start.with("OH_SANDBOX_POLICY", "conversation").start_containers()
}
