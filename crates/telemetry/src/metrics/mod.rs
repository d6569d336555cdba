//! Counters of one process, and their text for Prometheus. Handles are cheap to clone and given to whoever
//! counts; there is nothing global.
//!
//! Labels are drawn from small sets: routes as templates, never paths, and no identifiers.

mod calls;
mod http;
mod placement;
mod work;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use calls::Calls;
pub use http::Http;
pub use placement::{Placement, SandboxCounts};
pub use work::Work;

/// All that a process counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub http: Http,
    pub work: Work,
    pub calls: Calls,
    pub placement: Placement,
    registry: Arc<Registry>,
}

impl Metrics {
    /// The media type of [`Metrics::text`].
    pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Of a process that shows what a gateway counts, and nothing else.
    #[must_use]
    pub fn of_gateway() -> Self {
        Self::showing(true, false)
    }

    /// Of a process that shows what a supervisor counts, and nothing else.
    #[must_use]
    pub fn of_supervisor() -> Self {
        Self::showing(false, true)
    }

    fn showing(gateways: bool, supervisors: bool) -> Self {
        let (mut shown, mut hidden) = (Registry::with_prefix("manyhands"), Registry::default());
        let of_gateways = if gateways { &mut shown } else { &mut hidden };
        let (http, work) = (Http::register(of_gateways), Work::register(of_gateways));
        let calls = Calls::register(of_gateways);
        let placement = Placement::register(if supervisors { &mut shown } else { &mut hidden });
        Self { http, work, calls, placement, registry: Arc::new(shown) }
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Shows everything.
impl Default for Metrics {
    fn default() -> Self {
        Self::showing(true, true)
    }
}

/// One of what a gauge counts, for as long as it lives.
#[derive(Debug)]
#[must_use]
pub struct Present(Gauge);

impl Present {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use types::stats::TokenUsage;

    use super::*;

    #[test]
    fn a_role_shows_what_it_counts_and_nothing_of_others() {
        let (gateway, supervisor) = (Metrics::of_gateway(), Metrics::of_supervisor());
        for metrics in [&gateway, &supervisor] {
            metrics.work.appended(1);
            metrics.placement.lease_changed();
        }
        let shows =
            |metrics: &Metrics| ["appends", "lease_changes"].map(|name| metrics.text().contains(name));
        assert_eq!((shows(&gateway), shows(&supervisor)), ([true, false], [false, true]));
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        let seen = metrics.clone();
        seen.http.answered("GET", Some("/api/a/{id}"), 204, Duration::from_millis(3));
        seen.http.answered("BREW", None, 404, Duration::ZERO);
        let socket = seen.http.socket();
        drop(seen.http.socket());
        seen.work.appended(2);
        seen.work.stepped(&TokenUsage { prompt_tokens: 5, ..TokenUsage::default() }, 0.25);
        seen.placement.lease_changed();
        seen.placement.started(true, Duration::from_secs(1));
        seen.placement.stand(&SandboxCounts { waiting: 3, runs: 2, ..SandboxCounts::default() });
        let waiting = seen.work.waiting_call();
        seen.work.secret_unopened();
        seen.calls.begun("rec");
        seen.calls.begun("rec");
        seen.calls.ended("rec");
        seen.calls.failed("rec", "busy");
        let text = metrics.text();
        for line in [
            r#"manyhands_http_requests_total{method="GET",route="/api/a/{id}",status="2xx"} 1"#,
            r#"manyhands_http_requests_total{method="other",route="none",status="4xx"} 1"#,
            r#"manyhands_http_request_seconds_count{route="/api/a/{id}"} 1"#,
            "manyhands_sockets 1",
            "manyhands_appends_total 2",
            "manyhands_steps_total 1",
            r#"manyhands_tokens_total{kind="prompt"} 5"#,
            "manyhands_cost_dollars_total 0.25",
            "manyhands_lease_changes_total 1",
            r#"manyhands_sandbox_starts_total{outcome="ok"} 1"#,
            r#"manyhands_sandboxes{state="waiting"} 3"#,
            "manyhands_sandbox_runs 2",
            "manyhands_model_calls_waiting 1",
            "manyhands_unopened_secrets_total 1",
            r#"manyhands_calls{service="rec"} 1"#,
            r#"manyhands_call_failures_total{service="rec",why="busy"} 1"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        let operations = include_str!("../../../../deploy/OPERATIONS.md");
        for metric in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(
                operations.contains(&format!("| `{metric}")) || operations.contains(&format!("`, `{metric}")),
                "{metric} is in no document"
            );
        }
        drop((socket, waiting));
        assert!(metrics.text().contains("\nmanyhands_sockets 0\n"));
    }
}
