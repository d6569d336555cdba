//! What is counted of calls over the bus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The calls over the bus that this process answers.
#[derive(Clone, Debug)]
pub struct Calls {
    under_way: Family<Service, Gauge>,
    failures: Family<Failure, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    service: &'static str,
    why: &'static str,
}

impl Calls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self { under_way: Family::default(), failures: Family::default() };
        registry.register("calls", "Calls of services under way in this process", new.under_way.clone());
        registry.register(
            "call_failures",
            "Calls that were not begun, or not answered as they should have been",
            new.failures.clone(),
        );
        new
    }

    pub fn begun(&self, service: &'static str) {
        self.under_way.get_or_create(&Service { service }).inc();
    }

    pub fn ended(&self, service: &'static str) {
        self.under_way.get_or_create(&Service { service }).dec();
    }

    pub fn failed(&self, service: &'static str, why: &'static str) {
        self.failures.get_or_create(&Failure { service, why }).inc();
    }
}
