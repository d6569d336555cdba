//! The connection to the engine is lost and comes back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use manyhands_supervisor::{Driver, InstanceState};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::world::{PATIENCE, connect, launch, world};

type Connections = Arc<Mutex<JoinSet<()>>>;

/// Passes on to the engine what comes to `own`.
fn proxy(own: PathBuf, engine: String) -> Connections {
    let connections = Connections::default();
    let listener = UnixListener::bind(own).unwrap();
    let accepted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let engine = engine.clone();
            accepted.lock().unwrap().spawn(async move {
                let Ok(mut server) = UnixStream::connect(engine).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    connections
}

#[tokio::test]
async fn an_end_while_nobody_listened_is_heard_of_afterwards() {
    let world = world("read -r spec; echo up; exec sleep 1000").await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let Some(engine) = world.config.host.strip_prefix("unix://") else {
        panic!("this test needs Docker on a socket")
    };
    let connections = proxy(socket.clone(), engine.to_owned());
    let mut config = world.config.clone();
    config.host = format!("unix://{}", socket.display());
    let driver = connect(&config).await;
    let launch = launch("a", 1);
    driver.start(&launch).await.unwrap();
    world.log_with(&launch.instance, "up").await;

    *connections.lock().unwrap() = JoinSet::new();
    let lost = async {
        while connections.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        connections.lock().unwrap().abort_all();
    };
    let (changed, ()) = tokio::join!(timeout(PATIENCE, driver.changed()), lost);
    changed.unwrap();
    world.docker.kill_container(&launch.instance.name(&config.cluster), None).await.unwrap();
    world.until(async || matches!(world.states().await[..], [InstanceState::Exited { .. }])).await;
    timeout(PATIENCE, driver.changed()).await.unwrap();
}
