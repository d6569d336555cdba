//! A parcel as one message: the JSON, then the blob; a header tells where the JSON ends if there is a blob.

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use ports::Parcel;

const JSON_LENGTH: &str = "Mh-Json";

pub fn pack(parcel: Parcel) -> (Option<HeaderMap>, Bytes) {
    if parcel.blob.is_empty() {
        return (None, parcel.json);
    }
    let mut headers = HeaderMap::new();
    headers.insert(JSON_LENGTH, parcel.json.len().to_string());
    let mut payload = BytesMut::with_capacity(parcel.json.len() + parcel.blob.len());
    payload.extend_from_slice(&parcel.json);
    payload.extend_from_slice(&parcel.blob);
    (Some(headers), payload.freeze())
}

/// A length that is none, or beyond the end, makes all of it JSON: its reader will refuse it.
pub fn unpack(headers: Option<&HeaderMap>, mut payload: Bytes) -> Parcel {
    let length = headers.and_then(|headers| headers.get(JSON_LENGTH)?.as_str().parse().ok());
    match length {
        Some(length) if length <= payload.len() => {
            let blob = payload.split_off(length);
            Parcel { json: payload, blob }
        }
        _ => Parcel::json(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_come_back() {
        for (json, blob) in [("{}", ""), ("{}", "blob"), ("", "blob"), ("", "")] {
            let parcel = Parcel { json: json.into(), blob: blob.into() };
            let (headers, payload) = pack(parcel.clone());
            assert_eq!(unpack(headers.as_ref(), payload), parcel);
        }
    }

    #[test]
    fn a_false_length_is_no_length() {
        for length in ["3", "-1", "x"] {
            let mut headers = HeaderMap::new();
            headers.insert(JSON_LENGTH, length);
            assert_eq!(unpack(Some(&headers), "{}".into()), Parcel::json("{}"));
        }
    }
}
