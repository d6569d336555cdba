//! What is kept of programs that extensions bring along, and that it is what the user has approved.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testing::eventually;
use testing::process::is_alive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use types::app::{App, AppPhase};
use types::calls::{AppAnswer, AppCall};

use crate::services::World;
use crate::services_app::{
    app, ask, checksum, fetched, packed, prepare, refusal, serving, start, started, state, status,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unpacked_is_what_was_approved_whatever_is_put_in_its_place() {
    let world = World::start().await;
    let (good, bad) = (packed(&[("is", "good", false)]), packed(&[("is", "bad", false)]));
    let approved = app(&world, "r1", &good);
    let ended = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (ended, package, good) = (Arc::clone(&ended), world.path("package"), good.clone());
        std::thread::spawn(move || {
            for artifact in [&bad, &good].into_iter().cycle() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                std::fs::write(package.join("new"), artifact).unwrap();
                std::fs::rename(package.join("new"), package.join("app.tar.gz")).unwrap();
            }
        })
    };
    let (mut found, mut tries) = (Vec::new(), 0);
    while found.len() < 20 && tries < 2_000 {
        let app = App { name: format!("app-{tries}"), ..approved.clone() };
        if ask(&world, prepare(&app, "r1")).await.is_ok() {
            let place = world.path("../apps/artifacts").join(&app.name).join(checksum(&good)).join("is");
            found.push(std::fs::read_to_string(place).unwrap());
        }
        tries += 1;
    }
    ended.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert_eq!(found, vec!["good"; 20]);
}

/// The names of what is in a folder, once nothing is being removed there.
async fn settled(folder: &Path) -> Vec<String> {
    let settled =
        async || Some(names(folder)).filter(|names| names.iter().all(|name| !name.starts_with('.')));
    eventually("what goes is removed", settled).await
}

/// The names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn forget() -> AppCall {
    AppCall::Forget { name: "my-app".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_extension_only_what_is_approved_and_what_runs_is_kept() {
    let world = World::start().await;
    let (first, artifacts) = (serving(&world), world.path("../apps/artifacts/my-app"));
    started(&world, &first).await;
    let running = settled(&artifacts).await;
    assert_eq!(running.len(), 1);
    let second = packed(&[("bin/run", "#!/bin/sh\nexit 2\n", true)]);
    state(&world, prepare(&app(&world, "r2", &second), "r2")).await;
    let mut both = [running, vec![checksum(&second)]].concat();
    both.sort();
    assert_eq!(settled(&artifacts).await, both);
    ask(&world, AppCall::Stop { name: "my-app".to_owned() }).await.unwrap();
    let third = packed(&[("bin/run", "#!/bin/sh\nexit 3\n", true)]);
    let last = app(&world, "r3", &third);
    state(&world, prepare(&last, "r3")).await;
    assert_eq!(settled(&artifacts).await, [checksum(&third)]);
    assert_eq!(ask(&world, forget()).await.unwrap(), AppAnswer::Stopped);
    assert_eq!(settled(&artifacts).await, [""; 0]);
    assert_eq!(refusal(&world, start(&last, "r3")).await, "backend revision must be prepared before start");
    assert!(world.path("../apps/data/my-app/note").exists(), "its data stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_start_wins_against_the_end_of_its_extension() {
    let world = World::start().await;
    let silent = app(&world, "r1", &packed(&[("bin/run", "#!/bin/sh\nexec sleep 1000\n", true)]));
    state(&world, prepare(&silent, "r1")).await;
    let forgetting = async {
        let pid = eventually("it starts", async || state(&world, status(&silent)).await.pid).await;
        ask(&world, forget()).await.unwrap();
        pid
    };
    let (told, pid) = tokio::join!(state(&world, start(&silent, "r1")), forgetting);
    assert_eq!((told.state, told.prepared_revision), (AppPhase::Stopped, None));
    assert!(!is_alive(pid));
    assert_eq!(refusal(&world, start(&silent, "r1")).await, "backend revision must be prepared before start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_for_an_extension_that_is_gone_is_not_approved() {
    let world = World::start().await;
    let artifact = packed(&[("is", "new", false)]);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut next = fetched(&serving(&world), &format!("http://{}/", server.local_addr().unwrap()));
    for described in next.backend.as_mut().unwrap().artifacts.values_mut() {
        described.sha256 = checksum(&artifact);
    }
    let forgetting = async {
        let (mut socket, _) = server.accept().await.unwrap();
        ask(&world, forget()).await.unwrap();
        let _ = socket.read(&mut [0; 4_096]).await.unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", artifact.len());
        socket.write_all(&[head.as_bytes(), &artifact].concat()).await.unwrap();
    };
    let (fault, ()) = tokio::join!(refusal(&world, prepare(&next, "r2")), forgetting);
    assert_eq!(fault, "the extension was installed anew or removed meanwhile");
    assert_eq!(state(&world, status(&next)).await.prepared_revision, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_has_left_ends_when_the_next_one_begins_though_nobody_asks() {
    let mut world = World::start().await;
    let ready = started(&world, &serving(&world)).await;
    let environment = std::fs::read(format!("/proc/{}/environ", ready.pid.unwrap())).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let mark = environment.split('\0').find_map(|entry| entry.strip_prefix("MANYHANDS_APP=")).unwrap();
    // Of the same server, and of another program than any that the worker knows.
    let (server, _) = mark.rsplit_once('-').unwrap();
    let mut left = std::process::Command::new("sleep")
        .arg("1000")
        .env("MANYHANDS_APP", format!("{server}-earlier"))
        .spawn()
        .unwrap();
    world.restart().await;
    let pid = u64::from(left.id());
    eventually("it ends", async || (!is_alive(pid)).then_some(())).await;
    left.wait().unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_was_about_to_put_in_its_place_is_removed() {
    let mut world = World::start().await;
    let half = ".0123456789abcdef0123456789abcdef";
    // This one removes what it finds, too.
    world.stop().await;
    world.sh(&format!(
        "for at in artifacts/my-app data approvals; do mkdir -p ../apps/$at/{half}/a ../apps/$at/.own; done"
    ));
    world.sh(&format!("mkdir -p elsewhere/{half}; ln -s ../../w/elsewhere ../apps/artifacts/link"));
    world.restart().await;
    for folder in ["artifacts/my-app", "data", "approvals"] {
        let folder = world.path("../apps").join(folder);
        eventually("it is removed", async || (names(&folder) == [".own"]).then_some(())).await;
    }
    assert!(world.path("elsewhere").join(half).exists(), "it is somebody else's");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_is_not_followed_for_ever_nor_to_where_nobody_may_ask() {
    let world = World::start().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        loop {
            let (mut socket, _) = server.accept().await.unwrap();
            let mut asked = [0; 4_096];
            let read = socket.read(&mut asked).await.unwrap();
            let next = match asked[..read].starts_with(b"GET /round") {
                true => "/round",
                false => "http://169.254.169.254/a.tar.gz",
            };
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: {next}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            socket.write_all(head.as_bytes()).await.unwrap();
        }
    });
    for (path, why) in [
        ("round", "backend artifact redirect limit exceeded"),
        ("away", "backend artifact URL is not allowed"),
    ] {
        let next = fetched(&serving(&world), &format!("http://{address}/{path}"));
        assert_eq!(refusal(&world, prepare(&next, "r2")).await, why, "{path}");
    }
    answering.abort();
}
