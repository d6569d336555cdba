use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Barrier;

use super::{PATIENCE, unique};
use crate::Ports;
use crate::rpc::{self, Call, Code, Fault};

pub async fn a_call_carries_body_and_blob_both_ways(ports: Ports) {
    let base = unique();
    serve(&ports, &format!("{base}.*"), |call: Call<Vec<u32>>| async move {
        let sum: u32 = call.body.iter().sum();
        let mut blob = call.blob.to_vec();
        blob.reverse();
        Ok(((sum, call.subject), Bytes::from(blob)))
    })
    .await;
    let subject = format!("{base}.sum");
    let answer: Result<((u32, String), Bytes), Fault> =
        rpc::call(&*ports.bus, &subject, &[1, 2, 3], Bytes::from_static(b"\x00\xffab"), PATIENCE).await;
    assert_eq!(answer, Ok(((6, subject), Bytes::from_static(b"ba\xff\x00"))));
}

pub async fn a_fault_arrives_as_it_was_given(ports: Ports) {
    let subject = unique();
    let fault = Fault::new(Code::Busy, "come back later");
    let given = fault.clone();
    serve(&ports, &subject, move |_: Call<()>| {
        let given = given.clone();
        async move { Err::<((), Bytes), Fault>(given) }
    })
    .await;
    assert_eq!(call(&ports, &subject).await, Err(fault));
}

pub async fn a_call_nobody_serves_is_unavailable(ports: Ports) {
    let fault = call(&ports, &unique()).await.expect_err("nobody serves this");
    assert_eq!(fault.code, Code::Absent);
}

pub async fn a_body_of_the_wrong_form_is_invalid(ports: Ports) {
    let subject = unique();
    serve(&ports, &subject, |_: Call<u32>| async move { Ok(((), Bytes::new())) }).await;
    let answer: Result<((), Bytes), Fault> =
        rpc::call(&*ports.bus, &subject, &"text", Bytes::new(), PATIENCE).await;
    assert_eq!(answer.expect_err("text is no number").code, Code::Invalid);
    let answer: Result<((), Bytes), Fault> =
        rpc::call(&*ports.bus, &subject, &7, Bytes::new(), PATIENCE).await;
    assert_eq!(answer, Ok(((), Bytes::new())), "the server goes on");
}

pub async fn calls_are_served_side_by_side(ports: Ports) {
    let subject = unique();
    let both_here = Arc::new(Barrier::new(2));
    serve(&ports, &subject, move |_: Call<()>| {
        let both_here = both_here.clone();
        async move {
            both_here.wait().await;
            Ok(((), Bytes::new()))
        }
    })
    .await;
    let (one, other) = tokio::join!(call(&ports, &subject), call(&ports, &subject));
    assert_eq!((one, other), (Ok(()), Ok(())));
}

async fn serve<Q, A, H, F>(ports: &Ports, pattern: &str, handler: H)
where
    Q: serde::de::DeserializeOwned + Send + 'static,
    A: serde::Serialize + Send + 'static,
    H: Fn(Call<Q>) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<(A, Bytes), Fault>> + Send + 'static,
{
    let serving = rpc::serve(ports.bus.clone(), pattern, None, handler).await;
    tokio::spawn(serving.expect("a subscription"));
}

async fn call(ports: &Ports, subject: &str) -> Result<(), Fault> {
    let answer = rpc::call::<(), ()>(&*ports.bus, subject, &(), Bytes::new(), PATIENCE).await;
    answer.map(|((), _)| ())
}
