//! Logs and traces of a role.

use ports::rpc::{Traces, carry_traces};

/// Starts them for the whole process; `service` is its name in traces. Spans are sent until the guard is
/// dropped, which must happen off the runtime.
///
/// # Errors
/// When the level is no filter, or the collector's address is none.
pub fn start(service: &'static str, level: &str, json: bool) -> anyhow::Result<telemetry::Guard> {
    start_towards(None, service, level, json)
}

/// The same with a collector (`http://host:port`) that counts before the one of the environment.
///
/// # Errors
/// As [`start`].
pub fn start_towards(
    collector: Option<String>,
    service: &'static str,
    level: &str,
    json: bool,
) -> anyhow::Result<telemetry::Guard> {
    let guard = telemetry::init(&telemetry::Config { level: level.to_owned(), json, service, collector })?;
    carry_traces(Traces { current: telemetry::current_traceparent, adopt: telemetry::adopt });
    Ok(guard)
}
