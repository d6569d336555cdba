//! A worker that is there although nothing is heard of it: it goes on, and may still write.

use std::sync::Arc;
use std::time::Duration;

use control::placement::Policy;
use ports::Expect;
use serde_json::json;
use tokio::sync::Notify;
use types::buckets::{ALLOCATIONS, LEASES};
use types::calls::Command;
use types::placement::Allocation;
use types::{Epoch, SandboxId, subjects};

use crate::harness::cluster::{create_body, start_idle, start_on};
use crate::harness::noted::Noted;
use crate::harness::until;
use crate::harness::worker::Worker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_command_is_waited_for_though_the_lease_of_its_worker_is_late() {
    let world = start_idle(Policy::Shared, 1, |_| {}).await;
    let (gateway, sandbox) = (world.gateway(), SandboxId::shared());
    let id = gateway.create_from(create_body("/tmp/w")).await;
    world.supervisor.start(&sandbox).await;
    let worker = world.supervisor.worker(&sandbox).unwrap();
    let allocation = Allocation { epoch: Epoch(1), instance: "unit".to_owned(), ..Allocation::default() };
    let value = serde_json::to_vec(&allocation).unwrap().into();
    world.ports.kv.put(ALLOCATIONS, sandbox.as_str(), value, Expect::Anything).await.unwrap();
    let (folder, held) = (tempfile::tempdir().unwrap(), Arc::new(Notify::new()));
    worker.script(|script| script.held = Some(held.clone()));
    let end = folder.path().join("end");
    let command = format!("until [ -e {} ]; do sleep 0.05; done", end.display());
    let body = json!({"command": command, "timeout": 3_600});
    let lease = async || gateway.get(&format!("/api/conversations/{id}/why")).await.1["lease"].clone();
    let going_on = async {
        until(async || worker.bash_calls() > 0).await;
        until(async || lease().await.is_object()).await;
        world.ports.kv.delete(LEASES, sandbox.as_str(), Expect::Anything).await.unwrap();
        until(async || lease().await.is_null()).await;
        held.notify_one();
        // Longer than a worker's last words are waited for.
        tokio::time::sleep(Duration::from_secs(2)).await;
        std::fs::write(&end, "").unwrap();
    };
    let ((status, answer), ()) = tokio::join!(gateway.post("/api/bash/execute_bash_command", body), going_on);
    assert_eq!((status, &answer["exit_code"]), (200, &json!(0)), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_has_its_lease_and_is_not_heard_is_made_to_forget_before_anything_is_deleted() {
    let mut noted = None;
    let world = start_on(Policy::Shared, 1, |_| {}, |ports| noted = Some(Noted::within(ports))).await;
    let (gateway, sandbox, noted) = (world.gateway(), SandboxId::shared(), noted.unwrap());
    let id = gateway.create_from(create_body("/tmp/w")).await;
    world.supervisor.lease(&sandbox).await;
    until(async || gateway.get(&format!("/api/conversations/{id}/why")).await.1["lease"].is_object()).await;
    let subject = subjects::command_to(&sandbox, Some(Epoch(1)), "conversation");
    let coming = async {
        until(async || noted.missed(&subject)).await;
        Worker::start_as(&world.ports, sandbox.clone(), Epoch(1)).await
    };
    let path = format!("/api/conversations/{id}");
    let ((status, answer), worker) = tokio::join!(gateway.delete(&path), coming);
    assert_eq!(status, 200, "{answer}");
    assert!(worker.seen().iter().any(|command| matches!(command, Command::Forget { .. })));
}
