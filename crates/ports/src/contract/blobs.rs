//! What every store of blobs must do.

use bytes::Bytes;

use super::unique;
use crate::{Error, Ports};

pub async fn a_blob_comes_back_whole_and_in_ranges(ports: Ports) {
    let name = unique();
    let body: Bytes = (0..600_000_u32).map(|number| number.to_le_bytes()[0]).collect::<Vec<u8>>().into();
    assert_eq!(ports.blobs.put(&name, body.clone()).await, Ok(()));
    let length = body.len() as u64;
    assert_eq!(ports.blobs.size(&name).await, Ok(length));
    for (asked, given) in [
        (0..length, 0..body.len()),
        (0..u64::MAX, 0..body.len()),
        (0..1, 0..1),
        (1_000..300_000, 1_000..300_000),
        (length - 1..length + 10, body.len() - 1..body.len()),
        (length..length + 10, 0..0),
        (length + 5..length + 10, 0..0),
        (7..7, 0..0),
    ] {
        let part = ports.blobs.get(&name, asked.clone()).await;
        assert_eq!(part, Ok(body.slice(given)), "{asked:?}");
    }
}

pub async fn an_empty_blob_is_a_blob(ports: Ports) {
    let name = unique();
    assert_eq!(ports.blobs.put(&name, Bytes::new()).await, Ok(()));
    assert_eq!(ports.blobs.size(&name).await, Ok(0));
    assert_eq!(ports.blobs.get(&name, 0..10).await, Ok(Bytes::new()));
}

pub async fn a_blob_can_be_replaced(ports: Ports) {
    let name = unique();
    for body in ["a longer one", "short"] {
        assert_eq!(ports.blobs.put(&name, body.into()).await, Ok(()));
        assert_eq!(ports.blobs.get(&name, 0..100).await, Ok(body.into()));
        assert_eq!(ports.blobs.size(&name).await, Ok(body.len() as u64));
    }
}

pub async fn an_absent_blob_is_not_found(ports: Ports) {
    let name = unique();
    assert_eq!(ports.blobs.get(&name, 0..1).await, Err(Error::NotFound));
    assert_eq!(ports.blobs.size(&name).await, Err(Error::NotFound));
    assert_eq!(ports.blobs.delete(&name).await, Ok(()));
}

pub async fn a_deleted_blob_is_gone(ports: Ports) {
    let (name, other) = (unique(), unique());
    for name in [&name, &other] {
        assert_eq!(ports.blobs.put(name, "body".into()).await, Ok(()));
    }
    assert_eq!(ports.blobs.delete(&name).await, Ok(()));
    assert_eq!(ports.blobs.get(&name, 0..1).await, Err(Error::NotFound));
    assert_eq!(ports.blobs.size(&other).await, Ok(4));
}
