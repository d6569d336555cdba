//! Traces to a collector.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use types::percent_decoded;

use crate::Config;

/// Any of these names the collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Our own spans; the exporter's are not exported.
const OURS: &str = "manyhands";

const TRACEPARENT: &str = "traceparent";

/// Dropping it sends the spans that are left; that blocks for some seconds at most, and must not be done on
/// an asynchronous runtime.
pub struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

pub fn layer<S>(config: &Config) -> anyhow::Result<(impl Layer<S> + use<S>, Guard)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let collector = config.collector.as_deref();
    let is_named = config.hears_environment && is_wanted(|name| std::env::var(name).ok());
    let provider = if collector.is_some() || is_named {
        let headers = config.collector_headers.as_deref().map(headers).unwrap_or_default();
        let exporter = SpanExporter::builder().with_http().with_headers(headers);
        let exporter = match collector {
            Some(address) => exporter.with_endpoint(format!("{address}/v1/traces")).build()?,
            None => exporter.build()?,
        };
        // Sampler, limits and batch sizes: the SDK's, by their variables.
        let builder = SdkTracerProvider::builder().with_batch_exporter(exporter);
        builder.with_resource(resource(config)).build()
    } else {
        passing_on()
    };
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(OURS))
        .with_location(false)
        .with_threads(false)
        .with_filter(filter_fn(is_ours));
    Ok((layer, Guard(provider)))
}

/// The headers of `name=value,name=value`, as the OpenTelemetry specification writes them.
fn headers(text: &str) -> HashMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = |value: &str| String::from_utf8_lossy(&percent_decoded(value.as_bytes())).into_owned();
    pairs.map(|(name, value)| (name.trim().to_owned(), decoded(value.trim()))).collect()
}

/// Sends nothing and begins no trace, but goes on with those of callers: a worker without a network calls back
/// within the trace it was called in.
fn passing_on() -> SdkTracerProvider {
    let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
    SdkTracerProvider::builder().with_sampler(sampler).build()
}

fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let off = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let endpoint = ENDPOINTS.iter().any(|name| variable(name).is_some_and(|value| !value.is_empty()));
    endpoint && !disabled && !off
}

fn resource(config: &Config) -> Resource {
    let builder = Resource::builder();
    match std::env::var_os("OTEL_SERVICE_NAME").filter(|_| config.hears_environment) {
        Some(_) => builder.build(),
        None => builder.with_service_name(config.service).build(),
    }
}

/// For another process that is told and does not look itself: `http://host:port`.
#[must_use]
pub fn collector_of_environment() -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok();
    let named = ENDPOINTS.iter().filter_map(|name| variable(name)).find(|address| !address.is_empty())?;
    let address = named.strip_suffix("/v1/traces").unwrap_or(&named).trim_end_matches('/');
    is_wanted(variable).then(|| address.to_owned())
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with(OURS)
}

/// Where the running span stands, for a call to another process; `None` outside of a trace.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::with_capacity(2);
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span`, which must not have been entered, part of the caller's trace.
pub fn adopt(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    // Without a layer that traces there is nothing to belong to.
    let _ = span.set_parent(context);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};
    use tracing::{info_span, subscriber};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let read = headers("authorization=Basic%20YTpi, x-team=blue,broken,odd=100%");
        let wanted = [("authorization", "Basic YTpi"), ("x-team", "blue"), ("odd", "100%")];
        assert_eq!(read, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[derive(Clone, Debug, Default)]
    struct Collector(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Collector {
        async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().append(&mut batch);
            Ok(())
        }
    }

    #[test]
    fn nothing_is_sent_unless_a_collector_is_named() {
        let with = |set: &'static [(&str, &str)]| {
            is_wanted(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(!with(&[]));
        assert!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]));
        assert!(with(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]));
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_SDK_DISABLED", "true")]));
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
    }

    #[test]
    fn who_cannot_send_spans_passes_the_callers_trace_on_and_begins_none() {
        let layer = tracing_opentelemetry::layer().with_tracer(passing_on().tracer(OURS));
        subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let callers = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let span = info_span!("served");
            adopt(&span, callers);
            let passed_on = span.in_scope(current_traceparent).unwrap();
            assert_eq!((&passed_on[..35], &passed_on[52..]), (&callers[..35], "-01"));
            let own = info_span!("of its own").in_scope(current_traceparent).unwrap();
            assert!(own.ends_with("-00"), "{own}");
        });
    }

    #[test]
    fn a_trace_goes_on_in_another_process() {
        let collector = Collector::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(collector.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(OURS));
        let registry = tracing_subscriber::registry().with(layer);
        subscriber::with_default(registry, || {
            assert_eq!(current_traceparent(), None);
            let sent = info_span!("caller").in_scope(current_traceparent).unwrap();
            let span = info_span!("served");
            adopt(&span, &sent);
            span.in_scope(|| ());
        });
        let spans = collector.0.lock().unwrap().clone();
        let [caller, served] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(served.span_context.trace_id(), caller.span_context.trace_id());
        assert_eq!(served.parent_span_id, caller.span_context.span_id());
    }
}
