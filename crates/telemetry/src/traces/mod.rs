//! Spans to a collector, and the trace's place in calls between processes, as W3C `traceparent`.

#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub use off::{Guard, adopt, collector_of_environment, current_traceparent, layer};
#[cfg(feature = "otlp")]
pub use otlp::{Guard, adopt, collector_of_environment, current_traceparent, layer};
