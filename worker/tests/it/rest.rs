//! A worker is stopped at a moment at which no call is lost.

use ports::rpc::{Address, Code, Fault, call};
use ports::{Bus, Ports};
use types::calls::{FileCall, HomeListing, RestCall};
use types::{Epoch, SandboxId};

use crate::lease::{held_by, lease, start, store};

const EPOCH: u64 = 3;

async fn rests(ports: &Ports, calls: u64) -> bool {
    let address = Address::of_worker(&SandboxId::shared(), Some(Epoch(EPOCH)));
    let rest = RestCall { calls };
    let asked = call::<_, bool>(&*ports.bus, &address, &rest, "".into(), testing::PATIENCE);
    asked.await.map(|(rests, _)| rests).unwrap()
}

async fn use_it(bus: &dyn Bus) -> Result<(), Fault> {
    let address = Address::of_worker(&SandboxId::shared(), Some(Epoch(EPOCH)));
    let home = FileCall::Home { include_hidden: false };
    let asked = call::<_, HomeListing>(bus, &address, &home, "".into(), testing::PATIENCE);
    asked.await.map(|_| ())
}

#[tokio::test]
async fn a_worker_rests_only_if_it_was_not_called_since_and_takes_no_calls_then() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = store(folder.path()).await;
    let (running, stop) = start(&ports, &folder, EPOCH);
    held_by(&ports, EPOCH).await;
    testing::eventually("it listens", async || use_it(&*ports.bus).await.ok()).await;
    assert!(!rests(&ports, 0).await, "there was a call that is not in the lease yet");
    use_it(&*ports.bus).await.unwrap();
    let told = async || lease(&ports).await.filter(|lease| lease.calls == 2);
    let told = testing::eventually("the lease tells of the calls", told).await;
    assert!(!rests(&ports, 1).await && rests(&ports, told.calls).await);
    assert_eq!(use_it(&*ports.bus).await.unwrap_err().code, Code::Absent, "so that another worker is asked");
    assert!(!running.is_finished(), "what is under way goes on until it is stopped");
    stop.cancel();
    running.await.unwrap().unwrap();
}
