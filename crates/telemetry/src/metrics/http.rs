//! What is counted of requests and sockets.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Present;

/// Seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests and sockets of a gateway.
#[derive(Clone, Debug)]
pub struct Http {
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram>,
    sockets: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

impl Http {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            sockets: Gauge::default(),
        };
        registry.register("http_requests", "Requests that were answered", new.requests.clone());
        registry.register("http_request_seconds", "Time until the answer began", new.seconds.clone());
        registry.register("sockets", "Open WebSockets", new.sockets.clone());
        new
    }

    /// `route`: the template, such as `/api/conversations/{id}`; `None` where there is no route.
    pub fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|&known| known == method).unwrap_or("other");
        let status = CLASSES.get(usize::from(status / 100)).copied().unwrap_or("other");
        let route = route.unwrap_or("none").to_owned();
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { method, route, status }).inc();
    }

    /// A socket that is open until this is dropped.
    pub fn socket(&self) -> Present {
        Present::new(&self.sockets)
    }
}
