//! Counts the calls that are served.

use std::sync::Arc;

use ports::rpc::{Event, Watch};
use telemetry::metrics::Calls;

/// Has `calls` told of what happens to them.
#[must_use]
pub fn watched(calls: Calls) -> Watch {
    Arc::new(move |service, event| match event {
        Event::Begun => calls.begun(service),
        Event::Ended => calls.ended(service),
        Event::Busy => calls.failed(service, "busy"),
        Event::Lagged => calls.failed(service, "lagged"),
        Event::Late => calls.failed(service, "late"),
        Event::Panicked => calls.failed(service, "panicked"),
        Event::Unanswered => calls.failed(service, "unanswered"),
    })
}
