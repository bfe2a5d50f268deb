//! What each tenant uses, beside what it may: read from the line whenever the metrics are.

use super::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::{Arc, Weak};
use tollgate_runtime::{Line, TenantStatus, Used};

/// A figure by its name, what it is, and where it stands.
type Figure = (&'static str, &'static str, fn(&TenantStatus<'_>) -> Used);

/// What of a figure is shown.
type Part = fn(Used) -> u64;

const FIGURES: [Figure; 7] = [
    ("tenant_running", "Requests of a tenant that run now", |tenant| Used {
        used: tenant.running as u64,
        limit: tenant.totals.concurrent_requests as u64,
    }),
    ("tenant_waiting", "Requests of a tenant that wait for a place now", |tenant| Used {
        used: tenant.waiting as u64,
        limit: tenant.totals.queued_requests as u64,
    }),
    ("tenant_memory_bytes", "Memory that a tenant's instances hold", |tenant| tenant.memory_bytes),
    ("tenant_instances", "Instances of a tenant, idle ones included", |tenant| tenant.instances),
    ("tenant_egress_bytes_this_hour", "Bytes that a tenant's outgoing requests moved", |tenant| {
        tenant.egress_bytes
    }),
    ("tenant_gas_this_hour", "Gas that a tenant's requests used", |tenant| tenant.gas),
    ("tenant_storage_bytes", "Bytes that a tenant's key-value stores hold", |tenant| tenant.storage_bytes),
];

/// Adds, for each figure of each tenant, what is used (`tollgate_tenant_memory_bytes`) and what may be
/// (`tollgate_tenant_memory_bytes_limit`).
pub fn observe_tenants(metrics: &Metrics, line: &Arc<Line>) {
    metrics.collect(Box::new(Tenants(Arc::downgrade(line))));
}

/// The line whose tenants are shown; not kept by it.
struct Tenants(Weak<Line>);

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tenants")
    }
}

impl Collector for Tenants {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(line) = self.0.upgrade() else { return Ok(()) };
        let house = line.house();
        let tenants: Vec<_> = house.tenants().collect();
        for (name, help, figure) in FIGURES {
            let parts: [(&str, Part); 2] = [("", |figure| figure.used), ("_limit", |figure| figure.limit)];
            for (suffix, part) in parts {
                let name = format!("{name}{suffix}");
                let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
                for tenant in &tenants {
                    metric
                        .encode_family(&[("tenant", tenant.name.as_str())])?
                        .encode_gauge(&part(figure(tenant)))?;
                }
            }
        }
        Ok(())
    }
}
