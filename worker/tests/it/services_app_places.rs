//! Places, ports and names of programs that extensions bring along, and who waits for them.

use std::time::Duration;

use ports::rpc::Code;
use testing::eventually;
use testing::process::is_alive;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use types::app::{App, AppPhase};
use types::calls::{AppAnswer, AppCall};

use crate::services::World;
use crate::services_app::{app, ask, data, packed, prepare, serving, start, started, state, status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_have_ended_keep_no_place() {
    let world = World::start().await;
    let app = serving(&world);
    let numbered = |number: usize| App { name: format!("app-{number}"), ..app.clone() };
    let kill = async |pid: Option<u32>| {
        let pid = pid.unwrap();
        world.sh(&format!("kill -KILL {pid}"));
        eventually("it ends", async || (!is_alive(pid)).then_some(())).await;
    };
    for number in 0..8 {
        let ready = started(&world, &numbered(number)).await;
        kill(ready.pid).await;
    }
    let ninth = started(&world, &numbered(8)).await;
    kill(ninth.pid).await;
    assert_eq!(ask(&world, AppCall::Running {}).await.unwrap(), AppAnswer::Running(false));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_not_ready_because_somebody_else_answers_on_its_port() {
    let world = World::start().await;
    let script = "#!/bin/sh\necho $1 > $2/new\nmv $2/new $2/port\nexec sleep 1000\n";
    let mut silent = app(&world, "r1", &packed(&[("bin/run", script, true)]));
    silent.backend.as_mut().unwrap().health.timeout_seconds = 2.0;
    state(&world, prepare(&silent, "r1")).await;
    let answering = async {
        let port = async || std::fs::read_to_string(data(&world).join("port")).ok();
        let port = eventually("it starts", port).await;
        answer(TcpListener::bind(("127.0.0.1", port.trim().parse().unwrap())).await.unwrap()).await;
    };
    let told = tokio::select! {
        told = state(&world, start(&silent, "r1")) => told,
        () = answering => panic!("nobody has ended it"),
    };
    let too_late = "backend health check timed out";
    assert_eq!((told.state, told.detail.as_deref()), (AppPhase::Unhealthy, Some(too_late)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_listens_no_more_is_not_ready_because_somebody_else_answers_on_its_port() {
    let world = World::start().await;
    let app = serving(&world);
    let ready = started(&world, &app).await;
    let port = ready.port.unwrap();
    let mut asking = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    asking.write_all(b"GET /listen-no-more HTTP/1.1\r\n\r\n").await.unwrap();
    let taken = async || TcpListener::bind(("127.0.0.1", port)).await.ok();
    let stranger = tokio::spawn(answer(eventually("its port is free", taken).await));
    let told = state(&world, status(&app)).await;
    assert_eq!((told.state, told.pid), (AppPhase::Unhealthy, ready.pid));
    let endpoint = ask(&world, AppCall::Endpoint { name: app.name.clone() }).await.unwrap();
    assert_eq!(endpoint, AppAnswer::Endpoint(None));
    stranger.abort();
    world.stop().await;
}

/// As a program does that is well.
async fn answer(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(answer).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_worker_does_not_wait_for_a_program_that_comes_up() {
    let world = World::start().await;
    let mut silent = app(&world, "r1", &packed(&[("bin/run", "#!/bin/sh\nexec sleep 1000\n", true)]));
    silent.backend.as_mut().unwrap().health.interval_seconds = 1_000.0;
    state(&world, prepare(&silent, "r1")).await;
    let starting = async {
        let _ = ask(&world, start(&silent, "r1")).await;
        std::future::pending::<()>().await;
    };
    let stopping = async {
        eventually("it starts", async || state(&world, status(&silent)).await.pid).await;
        timeout(Duration::from_secs(5), world.stop()).await.expect("it is waited for");
    };
    tokio::select! { () = starting => {}, () = stopping => {} }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_may_have_as_long_a_name_as_a_folder() {
    let world = World::start().await;
    for length in [201, 250, 251, 255] {
        let app = App { name: "a".repeat(length), ..serving(&world) };
        started(&world, &app).await;
        ask(&world, AppCall::Forget { name: app.name.clone() }).await.unwrap();
        let gone = state(&world, status(&app)).await;
        assert_eq!((gone.state, gone.prepared_revision), (AppPhase::Stopped, None));
    }
    let longer = App { name: "a".repeat(256), ..serving(&world) };
    assert_eq!(ask(&world, status(&longer)).await.unwrap_err().code, Code::BadRequest);
}
