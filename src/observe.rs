//! Logs and traces of a role.

use ports::rpc::{Traces, carry_traces};

use crate::settings::Settings;

/// Starts them for the whole process as its settings say; `service` is its name in traces. Spans are sent until
/// the guard is dropped, which must happen off the runtime.
///
/// # Errors
/// When the level is no filter, or the collector's address is none.
pub fn start(service: &'static str, settings: &Settings) -> anyhow::Result<telemetry::Guard> {
    start_with(&telemetry::Config {
        level: settings.log_level.clone(),
        json: settings.log_json,
        service,
        collector: None,
        collector_headers: settings.collector_headers.clone(),
        hears_environment: true,
    })
}

/// The same where there are no settings.
///
/// # Errors
/// As [`start`].
pub fn start_with(config: &telemetry::Config) -> anyhow::Result<telemetry::Guard> {
    let guard = telemetry::init(config)?;
    carry_traces(Traces { current: telemetry::current_traceparent, adopt: telemetry::adopt });
    Ok(guard)
}
