//! Logs, traces and counters.
//!
//! Logs: lines on standard error, as text or JSON, at the level the environment asks for. Traces (feature
//! `otlp`): spans to a collector, by the standard `OTEL_*` variables. Nothing here knows a secret, a prompt or
//! a body; callers name identifiers and durations.

mod logs;
pub mod metrics;
mod traces;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use traces::{Guard, adopt, collector_of_environment, current_traceparent};

pub struct Config {
    /// A level (`info`) or a filter (`gateway=debug,info`).
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
    /// What collectors call this process where `OTEL_SERVICE_NAME` does not say.
    pub service: &'static str,
    /// `http://host:port` of a collector that counts before those of the environment.
    pub collector: Option<String>,
    /// What a collector wants to be told with each batch, such as a key of its own: `name=value,name=value`,
    /// values percent-encoded. The process does not show it in its environment, where the SDK would look.
    pub collector_headers: Option<String>,
    /// Whether the environment may name a collector and the service, or says nothing that counts.
    pub hears_environment: bool,
}

/// Starts logging, and tracing if a collector is named, for the whole process. Must not be called on an
/// asynchronous runtime.
///
/// # Errors
/// When `level` is no filter, the collector's address is none, or logging was started before.
pub fn init(config: &Config) -> anyhow::Result<Guard> {
    let (layer, guard) = traces::layer(config)?;
    tracing_subscriber::registry().with(layer).with(logs::layer(config)?).try_init()?;
    Ok(guard)
}
