//! Whoever leaves a world in order refuses what is on its way to it, and whoever is killed does not.

use std::time::Duration;

use manyhands_sim::world::{Here, Outcome, calm};
use ports::rpc::{Code, Fault};
use ports::{Error, Parcel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a caller is told, and after how long, whose call arrives somewhere in the end of a node.
fn told(is_killed: bool, after: Duration) -> (Result<Parcel, Error>, Duration) {
    let (tell, mut told) = oneshot::channel();
    calm(|simulation| {
        let serve = move |here: Here| async move {
            let calls = here.ports.bus.subscribe("place", None).await.expect("it is calm");
            sleep(Duration::from_secs(1)).await;
            drop(calls);
        };
        let node = simulation.world.start("who leaves", serve, |_, _| {});
        if is_killed {
            simulation.world.after(Duration::from_secs(1), move |world| world.kill(node));
        }
        let call = move |here: Here| async move {
            sleep(after).await;
            let begun = Instant::now();
            let answer = here.ports.bus.request("place", Parcel::json("{}"), PATIENCE).await;
            let _ = tell.send((answer, begun.elapsed()));
        };
        let caller = simulation.world.start("a caller", call, |_, _| {});
        let outcome = simulation.run(Duration::from_secs(60), |world| !world.is_there(caller));
        assert_eq!(outcome, Outcome::Done);
    });
    told.try_recv().expect("the caller is done")
}

#[test]
fn a_call_to_who_leaves_in_order_is_refused_at_once_whenever_it_arrives() {
    for micros in (990_000..1_005_000).step_by(100) {
        let (answer, took) = told(false, Duration::from_micros(micros));
        assert!(took < Duration::from_secs(1), "{answer:?} after {took:?} at {micros}");
        if let Ok(answer) = answer {
            let refusal: serde_json::Value = serde_json::from_slice(&answer.json).unwrap();
            let fault: Fault = serde_json::from_value(refusal["error"].clone()).unwrap();
            assert_eq!(fault.code, Code::Absent);
        }
    }
}

#[test]
fn a_call_to_who_is_killed_meanwhile_waits_for_its_whole_time() {
    let waited = (990_000..1_005_000).step_by(100).filter(|micros| {
        let (_, took) = told(true, Duration::from_micros(*micros));
        took >= PATIENCE
    });
    assert!(waited.count() > 0);
}
