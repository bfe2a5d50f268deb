//! Metrics for Prometheus. Labels come from the configuration and from closed sets, never from a client: a path or a
//! header would give a metric as many time series as a client likes.

use dashmap::DashSet;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use tollgate_runtime::{Entry, Outcome};

/// How many routes have series of their own. Reloads may bring ever new names; from here on they share one.
const MAX_ROUTES: usize = 5_000;

const OTHER: &str = "_other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    tenant: String,
    app: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    tenant: String,
    app: String,
    route: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    tenant: String,
    app: String,
    fault: String,
}

type Read = Box<dyn Fn() -> i64 + Send + Sync>;

/// The host's metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    routes: DashSet<RouteLabels>,
    requests: Family<RequestLabels, Counter>,
    faults: Family<FaultLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    gas: Family<RouteLabels, Counter>,
    cpu_microseconds: Family<RouteLabels, Counter>,
    bytes_in: Family<RouteLabels, Counter>,
    bytes_out: Family<RouteLabels, Counter>,
    read: Mutex<Vec<(Gauge, Read)>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// No figures yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tollgate");
        let requests = Family::default();
        registry.register("requests", "Requests that have a record, by how they ended", requests.clone());
        let faults = Family::default();
        registry.register(
            "faults",
            "Runs that ended badly, and requests that a bound refused",
            faults.clone(),
        );
        // 100 microseconds to about 100 seconds.
        let seconds = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_1, 2.0, 21))
        });
        registry.register("request_seconds", "Time from admission to the end of the run", seconds.clone());
        let gas = Family::default();
        registry.register("gas", "Gas that runs took", gas.clone());
        let cpu_microseconds = Family::default();
        registry.register("cpu_microseconds", "CPU time that runs took", cpu_microseconds.clone());
        let bytes_in = Family::default();
        registry.register("request_bytes", "Bytes of request bodies", bytes_in.clone());
        let bytes_out = Family::default();
        registry.register("response_bytes", "Bytes of response bodies", bytes_out.clone());
        Self {
            registry: Mutex::new(registry),
            routes: DashSet::new(),
            requests,
            faults,
            seconds,
            gas,
            cpu_microseconds,
            bytes_in,
            bytes_out,
            read: Mutex::new(Vec::new()),
        }
    }

    /// Adds a figure that is read whenever the metrics are.
    pub fn observe(&self, name: &str, help: &str, read: impl Fn() -> i64 + Send + Sync + 'static) {
        let gauge = Gauge::default();
        self.registry.lock().register(name, help, gauge.clone());
        self.read.lock().push((gauge, Box::new(read)));
    }

    /// Adds figures that tell themselves whenever the metrics are read.
    pub(super) fn collect(&self, figures: Box<dyn Collector>) {
        self.registry.lock().register_collector(figures);
    }

    /// Counts a request by its record.
    pub fn record(&self, entry: &Entry) {
        let labels = self.labels(entry);
        let RouteLabels { tenant, app, route } = labels.clone();
        let outcome = class(&entry.outcome);
        self.requests.get_or_create(&RequestLabels { tenant, app, route, outcome }).inc();
        if let Outcome::Failed(fault) | Outcome::Refused(fault) = &entry.outcome {
            let (tenant, app) = (labels.tenant.clone(), labels.app.clone());
            self.faults.get_or_create(&FaultLabels { tenant, app, fault: fault.clone() }).inc();
        }
        let usage = &entry.usage;
        // A request that never ran took no time worth a place in the histogram.
        if usage.wall > 0 {
            self.seconds
                .get_or_create(&labels)
                .observe(std::time::Duration::from_nanos(usage.wall).as_secs_f64());
        }
        self.gas.get_or_create(&labels).inc_by(usage.gas);
        self.cpu_microseconds.get_or_create(&labels).inc_by(usage.cpu / 1_000);
        self.bytes_in.get_or_create(&labels).inc_by(usage.bytes_in);
        self.bytes_out.get_or_create(&labels).inc_by(usage.bytes_out);
    }

    /// The names in a record, or one name for all that are too many.
    fn labels(&self, entry: &Entry) -> RouteLabels {
        // `tenant/app/route host path`; none of the three has a `/` or a space.
        let place = entry.resource.split(' ').next().unwrap_or_default();
        let mut names = place.split('/');
        let (_, app, route) = (names.next(), names.next(), names.next());
        let labels = RouteLabels {
            tenant: entry.tenant.clone(),
            app: app.unwrap_or_default().to_owned(),
            route: route.unwrap_or_default().to_owned(),
        };
        if self.routes.contains(&labels) {
            return labels;
        }
        if self.routes.len() >= MAX_ROUTES {
            return RouteLabels { tenant: OTHER.to_owned(), app: OTHER.to_owned(), route: OTHER.to_owned() };
        }
        self.routes.insert(labels.clone());
        labels
    }

    /// Everything in the text format of OpenMetrics 1.0.
    ///
    /// # Errors
    /// When a figure can't be formatted.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        for (gauge, read) in self.read.lock().iter() {
            gauge.set(read());
        }
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }
}

/// The class of an outcome.
fn class(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(status) => match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
        other => tollgate_runtime::outcome_name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_runtime::{Actor, ActorKind, Usage};

    fn entry(resource: &str, outcome: Outcome) -> Entry {
        Entry {
            request_id: "1".to_owned(),
            time: 0,
            tenant: resource.split('/').next().unwrap().to_owned(),
            actor: Actor { id: "anonymous".to_owned(), kind: ActorKind::Anonymous, groups: Vec::new() },
            action: "GET".to_owned(),
            resource: resource.to_owned(),
            outcome,
            client_address: "192.0.2.1".to_owned(),
            metadata: Vec::new(),
            trace_id: String::new(),
            usage: Usage {
                gas: 70,
                fuel: 60,
                memory_bytes: 1,
                cpu: 5_000,
                wall: 1_000_000,
                host_calls: 1,
                bytes_in: 3,
                bytes_out: 4,
            },
            limits: Vec::new(),
            policies: Vec::new(),
        }
    }

    #[test]
    fn a_record_becomes_figures_with_the_configured_names_and_no_path() {
        let metrics = Metrics::new();
        metrics.record(&entry("acme/shop/front shop.example /cart/secret", Outcome::Answered(204)));
        metrics.record(&entry("acme/shop/front shop.example /x", Outcome::Failed("out-of-fuel".to_owned())));
        metrics.observe("audit_waiting", "Records that wait", || 7);
        let text = metrics.encode().unwrap();
        for line in [
            "tollgate_requests_total{tenant=\"acme\",app=\"shop\",route=\"front\",outcome=\"2xx\"} 1",
            "tollgate_requests_total{tenant=\"acme\",app=\"shop\",route=\"front\",outcome=\"failed\"} 1",
            "tollgate_faults_total{tenant=\"acme\",app=\"shop\",fault=\"out-of-fuel\"} 1",
            "tollgate_gas_total{tenant=\"acme\",app=\"shop\",route=\"front\"} 140",
            "tollgate_audit_waiting 7",
        ] {
            assert!(text.contains(line), "no `{line}` in:\n{text}");
        }
        assert!(!text.contains("cart") && !text.contains("shop.example"), "{text}");
    }

    #[test]
    fn names_beyond_the_bound_share_one_series() {
        let metrics = Metrics::new();
        for number in 0..MAX_ROUTES + 50 {
            metrics.record(&entry(&format!("acme/app/route-{number} h /"), Outcome::Denied));
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains("tenant=\"_other\""));
        let series = text.lines().filter(|line| line.starts_with("tollgate_requests_total{")).count();
        assert_eq!(series, MAX_ROUTES + 1);
    }
}
