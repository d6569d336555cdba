//! Streams and buckets: made once, brought up to date later.

use async_nats::HeaderMap;
use serde_json::{Map, Value, json};
use types::buckets::{self, CLUSTER};
use types::subjects;
use types::subjects::store::{self, BODY_STREAM};

use crate::error::Error;
use crate::jetstream::{JetStream, STREAM_NOT_FOUND};
use crate::layout::{LAYOUT_VERSION, Layout, MARK, PARTITIONS, VERSION, key_subject};
use crate::streams::Streams;

const DEFAULT_PARTITIONS: u64 = 4;
const STREAM_NAME_IN_USE: u16 = 10_058;
/// On no server, or not for this account.
const NOT_ENABLED: [u16; 2] = [10_076, 10_039];
/// How long the server's own mark of a value whose time is over stays.
const MARK_SECONDS: u64 = 60;

pub async fn set_up(
    jetstream: &JetStream,
    partitions: Option<u64>,
    replicas: Option<u64>,
) -> Result<(), Error> {
    check(jetstream).await?;
    let ensure = async |name: String, wanted| ensure(jetstream, &name, wanted, replicas).await;
    ensure(store::bucket_stream(CLUSTER), bucket(CLUSTER)).await?;
    check_version(jetstream).await?;
    let asked = partitions.unwrap_or(DEFAULT_PARTITIONS).max(1);
    fix(jetstream, PARTITIONS, asked).await?;
    fix(jetstream, MARK, uuid::Uuid::new_v4().as_u64_pair().1).await?;
    let layout = layout(jetstream).await?;
    if let Some(asked) = partitions.filter(|asked| *asked != layout.partitions) {
        return Err(Error::Partitions { found: layout.partitions, asked });
    }
    for partition in 0..layout.partitions {
        ensure(store::event_stream(partition), events(partition)).await?;
    }
    for name in buckets::ALL {
        ensure(store::bucket_stream(name), bucket(name)).await?;
    }
    ensure(BODY_STREAM.to_owned(), bodies()).await?;
    // The last of all: who was cut off before does it all again.
    raise(jetstream, LAYOUT_VERSION, VERSION).await
}

/// What was fixed when the cluster was set up.
pub async fn layout(jetstream: &JetStream) -> Result<Layout, Error> {
    check(jetstream).await?;
    check_version(jetstream).await?;
    let (_, partitions) = fixed(jetstream, PARTITIONS).await?.ok_or(Error::NotSetUp)?;
    Ok(Layout { partitions })
}

/// What was chosen at random when the cluster was set up.
pub async fn mark(jetstream: &JetStream) -> Result<u64, Error> {
    let (_, mark) = fixed(jetstream, MARK).await?.ok_or(Error::NotSetUp)?;
    Ok(mark)
}

async fn check(jetstream: &JetStream) -> Result<(), Error> {
    match jetstream.api(store::API_INFO, &Value::Null).await {
        Ok(Ok(_)) => Ok(()),
        Err(ports::Error::NotFound) => Err(Error::NoJetStream),
        Ok(Err(error)) if NOT_ENABLED.contains(&error.err_code) => Err(Error::NoJetStream),
        // Servers that have no leader yet say so, too.
        Ok(Err(error)) => Err(Error::Storage(error.into())),
        Err(error) => Err(error.into()),
    }
}

async fn check_version(jetstream: &JetStream) -> Result<(), Error> {
    match fixed(jetstream, LAYOUT_VERSION).await? {
        Some((_, found)) if found > VERSION => Err(Error::Newer { found }),
        _ => Ok(()),
    }
}

/// Makes the stream, or changes it where it differs in what `wanted` names or has fewer `replicas`. The rest is the operator's.
async fn ensure(
    jetstream: &JetStream,
    name: &str,
    wanted: Value,
    replicas: Option<u64>,
) -> Result<(), Error> {
    let Value::Object(mut wanted) = wanted else { return Ok(()) };
    wanted.insert("name".to_owned(), name.into());
    let info = jetstream.api(&store::stream_info(name), &Value::Null).await?;
    let mut config = match info {
        Ok(mut info) => info.get_mut("config").map(Value::take).unwrap_or_default(),
        Err(error) if error.err_code == STREAM_NOT_FOUND => {
            wanted.insert("num_replicas".to_owned(), replicas.unwrap_or(1).into());
            return create(jetstream, name, wanted).await;
        }
        Err(error) => return Err(Error::Storage(error.into())),
    };
    let Some(config) = config.as_object_mut() else { return Ok(()) };
    let known = config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1);
    if let Some(more) = replicas.filter(|replicas| *replicas > known) {
        wanted.insert("num_replicas".to_owned(), more.into());
    }
    let differs = wanted.iter().any(|(key, value)| config.get(key) != Some(value));
    if !differs {
        return Ok(());
    }
    config.extend(wanted);
    tracing::info!(stream = name, "bringing a stream up to date");
    let updated = jetstream.api(&format!("STREAM.UPDATE.{name}"), &Value::Object(config.clone())).await?;
    updated.map(|_| ()).map_err(|error| Error::Storage(error.into()))
}

async fn create(jetstream: &JetStream, name: &str, config: Map<String, Value>) -> Result<(), Error> {
    tracing::info!(stream = name, "making a stream");
    match jetstream.api(&format!("STREAM.CREATE.{name}"), &Value::Object(config)).await? {
        Ok(_) => Ok(()),
        // Somebody else made it at the same moment.
        Err(error) if error.err_code == STREAM_NAME_IN_USE => Ok(()),
        Err(error) => Err(Error::Storage(error.into())),
    }
}

fn events(partition: u64) -> Value {
    let source = store::events_in(partition);
    json!({
        "subjects": [source],
        "republish": { "src": source, "dest": subjects::ALL_STORED },
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "allow_direct": true,
        "deny_delete": true,
    })
}

fn bucket(name: &str) -> Value {
    let source = store::keys(name);
    let mut config = json!({
        "subjects": [source],
        "republish": { "src": source, "dest": store::changes(name) },
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "allow_direct": true,
        "allow_rollup_hdrs": true,
        "allow_msg_ttl": true,
    });
    if let (Some(lifetime), Some(config)) = (buckets::lifetime(name), config.as_object_mut()) {
        let nanoseconds = |seconds: u64| Value::from(seconds * 1_000_000_000);
        config.insert("max_age".to_owned(), nanoseconds(lifetime.as_secs()));
        config.insert("subject_delete_marker_ttl".to_owned(), nanoseconds(MARK_SECONDS));
    }
    config
}

fn bodies() -> Value {
    json!({
        "subjects": [store::ALL_BODIES],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "allow_direct": true,
    })
}

/// A number of the cluster's bucket, and its position.
async fn fixed(jetstream: &JetStream, key: &str) -> Result<Option<(u64, u64)>, Error> {
    let (stream, subject) = (store::bucket_stream(CLUSTER), key_subject(CLUSTER, key)?);
    let found = match jetstream.told(&stream, &json!({ "last_by_subj": subject })).await? {
        Ok(found) => found,
        Err(error) if error.err_code == STREAM_NOT_FOUND => None,
        Err(error) => return Err(Error::Storage(error.into())),
    };
    let Some(raw) = found else { return Ok(None) };
    let number = std::str::from_utf8(&raw.payload).ok().and_then(|text| text.parse().ok());
    let number =
        number.ok_or_else(|| ports::Error::Internal(format!("{key} of the cluster is no number")))?;
    Ok(Some((raw.seq, number)))
}

/// Writes a number unless there is one.
async fn fix(jetstream: &JetStream, key: &str, value: u64) -> Result<(), Error> {
    let subject = key_subject(CLUSTER, key)?;
    let streams: &dyn Streams = jetstream;
    match streams.store(&subject, Some(0), HeaderMap::new(), value.to_string().into()).await {
        Ok(_) | Err(ports::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a number in the place of a lower one, or of none.
async fn raise(jetstream: &JetStream, key: &str, value: u64) -> Result<(), Error> {
    let (streams, subject): (&dyn Streams, _) = (jetstream, key_subject(CLUSTER, key)?);
    loop {
        let last = match fixed(jetstream, key).await? {
            Some((_, found)) if found >= value => return Ok(()),
            found => found.map_or(0, |(at, _)| at),
        };
        let stored = streams.store(&subject, Some(last), HeaderMap::new(), value.to_string().into()).await;
        match stored {
            // Somebody else was faster.
            Err(ports::Error::Conflict { .. }) => {}
            stored => return stored.map(|_| ()).map_err(Error::from),
        }
    }
}
