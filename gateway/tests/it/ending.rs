//! How a gateway of a cluster ends: first what clients wait for, then what their workers are answered on.

use std::time::Duration;

use bytes::Bytes;
use control::placement::Policy;
use ports::rpc::{self, Address, Code};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;
use types::ConversationId;
use types::brokering::ModelCall;
use types::buckets::CONVERSATIONS;
use types::calls::{RecordCall, WorkingCopy};

use crate::harness::cluster::{create_body, start_idle};
use crate::harness::{stepped, until};

const ANSWER: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_answered_until_the_last_request_is_done() {
    let (world, store) = stepped::idle(Policy::Conversation).await;
    let gateway = world.gateway();
    let id = gateway.create_from(create_body("/tmp/w")).await;
    let sandbox = world.sandbox_of(&id).await;
    let stopped = store.stop_before(CONVERSATIONS, "renamed");
    let (path, body) = (format!("/api/conversations/{id}"), json!({"title": "renamed"}));
    let renaming = gateway.send(Method::PATCH, &path, Some(&body));
    let ending = stopped.meanwhile(async {
        gateway.begin_stop();
        until(async || TcpStream::connect(&gateway.address).await.is_err()).await;
        let bus = world.ports.bus.as_ref();
        let opened = RecordCall::Open { conversation: id.parse().unwrap() };
        let address = Address::of_control_plane(&sandbox);
        let copy = rpc::call::<_, WorkingCopy>(bus, &address, &opened, Bytes::new(), ANSWER).await;
        copy.expect("a worker opens the conversation that the request is about");
        let of_nobody = ModelCall {
            id: "a".to_owned(),
            epoch: types::Epoch(1),
            conversation: ConversationId::random(),
            usage: String::new(),
            url: String::new(),
            body_bytes: 0,
        };
        let address = Address::of_control_plane(&sandbox);
        let refused = rpc::call::<_, ()>(bus, &address, &of_nobody, Bytes::new(), ANSWER).await;
        assert_eq!(refused.unwrap_err().code, Code::NotFound, "it was looked at");
    });
    let ((status, answer), ()) = tokio::join!(renaming, ending);
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_which_a_part_has_ended_ends_and_says_so() {
    let mut world = start_idle(Policy::Conversation, 1, |_| {}).await;
    let gateway = world.gateways.remove(0);
    let ended = gateway.lose_a_part().await;
    assert!(matches!(ended, Err(manyhands_gateway::Error::Ended)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_for_its_sandbox_when_its_gateway_ends_has_its_answer() {
    let world = start_idle(Policy::Conversation, 1, |_| {}).await;
    let gateway = world.gateway();
    let id = gateway.create_from(create_body("/tmp/w")).await;
    let sandbox = world.sandbox_of(&id).await;
    let path = format!("/api/conversations/{id}/pause");
    let before = world.wanted(&sandbox).await.unwrap().wakes;
    let waiting = gateway.send(Method::POST, &path, None);
    let ending = async {
        until(async || world.wanted(&sandbox).await.is_some_and(|wanted| wanted.wakes > before)).await;
        gateway.begin_stop();
        until(async || TcpStream::connect(&gateway.address).await.is_err()).await;
        world.supervisor.start(&sandbox).await;
    };
    let ((status, answer), ()) = tokio::join!(waiting, ending);
    assert_eq!(status, 200, "{answer}");
}
