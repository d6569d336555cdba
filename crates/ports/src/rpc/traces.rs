//! How a trace goes on from the caller's process to the answerer's.

use std::sync::OnceLock;

use tracing::Span;

/// How calls carry traces from process to process. Without it they carry none.
pub struct Traces {
    /// The running span, as W3C `traceparent`; `None` outside of a trace.
    pub current: fn() -> Option<String>,
    /// Makes a span that was not entered yet part of the caller's trace.
    pub adopt: fn(&Span, &str),
}

static TRACES: OnceLock<Traces> = OnceLock::new();

/// Has all calls of this process carry traces. The first one to say how is obeyed.
pub fn carry_traces(traces: Traces) {
    // Who comes later would say the same.
    let _ = TRACES.set(traces);
}

pub(super) fn current() -> Option<String> {
    TRACES.get().and_then(|traces| (traces.current)())
}

pub(super) fn adopt(span: &Span, caller: Option<&str>) {
    if let (Some(traces), Some(caller)) = (TRACES.get(), caller) {
        (traces.adopt)(span, caller);
    }
}
