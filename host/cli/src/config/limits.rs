//! Plans: what the apps of a tenant may take, each and all together.

use super::read::{Table, or};
use std::time::Duration;
use tollgate_runtime::{RawLimits, TenantTotals};

/// `[plans.<name>]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What one run may take; an app may override single keys.
    pub limits: RawLimits,
    /// What a tenant's apps may take together.
    pub totals: TenantTotals,
}

/// How a limit may be written.
#[derive(Clone, Copy)]
enum Form {
    Count,
    Bytes,
    Millis,
}

type Setter = fn(&mut RawLimits, u64);

/// Every limit: a test holds this list against the runtime's.
const LIMITS: [(&str, Form, Setter); 15] = [
    ("fuel", Form::Count, |raw, n| raw.fuel = Some(n)),
    ("gas", Form::Count, |raw, n| raw.gas = Some(n)),
    ("cpu-ms", Form::Millis, |raw, n| raw.cpu_ms = Some(n)),
    ("deadline-ms", Form::Millis, |raw, n| raw.deadline_ms = Some(n)),
    ("host-wait-ms", Form::Millis, |raw, n| raw.host_wait_ms = Some(n)),
    ("memory-bytes", Form::Bytes, |raw, n| raw.memory_bytes = Some(n)),
    ("handles", Form::Count, |raw, n| raw.handles = Some(n)),
    ("host-call-bytes", Form::Bytes, |raw, n| raw.host_call_bytes = Some(n)),
    ("host-calls", Form::Count, |raw, n| raw.host_calls = Some(n)),
    ("request-body-bytes", Form::Bytes, |raw, n| raw.request_body_bytes = Some(n)),
    ("response-body-bytes", Form::Bytes, |raw, n| raw.response_body_bytes = Some(n)),
    ("outgoing-requests", Form::Count, |raw, n| raw.outgoing_requests = Some(n)),
    ("log-lines", Form::Count, |raw, n| raw.log_lines = Some(n)),
    ("log-line-bytes", Form::Bytes, |raw, n| raw.log_line_bytes = Some(n)),
    ("header-bytes", Form::Bytes, |raw, n| raw.header_bytes = Some(n)),
];

/// Reads every limit that a table sets, over those of `base`.
pub(super) fn read_limits(table: &Table<'_>, base: &RawLimits) -> Option<RawLimits> {
    let (mut limits, mut whole) = (base.clone(), true);
    for (key, form, set) in LIMITS {
        let Some(value) = table.get(key) else { continue };
        let number = match form {
            Form::Count => value.integer(0, u64::MAX),
            Form::Bytes => value.size(),
            Form::Millis => value.milliseconds(),
        };
        let Some(number) = number else {
            whole = false;
            continue;
        };
        let mut alone = RawLimits::default();
        set(&mut alone, number);
        if let Err(error) = alone.check() {
            value.error(error.to_string(), None);
            whole = false;
        }
        set(&mut limits, number);
    }
    whole.then_some(limits)
}

/// Reads `[plans.<name>]`.
pub(super) fn read_plan(table: &Table<'_>) -> Option<Plan> {
    let limits = read_limits(table, &RawLimits::default());
    let totals = or(table.get("totals"), TenantTotals::default(), |value| value.table(read_totals));
    Some(Plan { limits: limits?, totals: totals? })
}

fn read_totals(table: &Table<'_>) -> Option<TenantTotals> {
    let default = TenantTotals::default();
    let count = |key, default: usize, least, most| {
        or(table.get(key), default, |value| value.integer(least, most).and_then(|n| usize::try_from(n).ok()))
    };
    let concurrent_requests = count("concurrent-requests", default.concurrent_requests, 1, 100_000);
    let queued_requests = count("queued-requests", default.queued_requests, 0, 100_000);
    let queue_wait = or(table.get("queue-wait"), default.queue_wait, |value| {
        value.duration(Duration::ZERO, Duration::from_secs(60))
    });
    let outgoing_connections = count("outgoing-connections", default.outgoing_connections, 1, 10_000);
    let bytes = |key, default: u64, least: u64| {
        or(table.get(key), default, |value| {
            let size = value.size()?;
            if size < least {
                value.error(format!("`{key}` is too small: use at least {least}"), None);
                return None;
            }
            Some(size)
        })
    };
    let memory_bytes = bytes("memory-bytes", default.memory_bytes, 64 << 10);
    let instances = count("instances", default.instances as usize, 1, 100_000);
    let egress_bytes_per_hour = bytes("egress-bytes-per-hour", default.egress_bytes_per_hour, 0);
    let gas_per_hour =
        or(table.get("gas-per-hour"), default.gas_per_hour, |value| value.integer(1_000, u64::MAX / 2));
    let storage_bytes = bytes("storage-bytes", default.storage_bytes, 0);
    Some(TenantTotals {
        memory_bytes: memory_bytes?,
        instances: instances? as u64,
        egress_bytes_per_hour: egress_bytes_per_hour?,
        gas_per_hour: gas_per_hour?,
        storage_bytes: storage_bytes?,
        concurrent_requests: concurrent_requests?,
        queued_requests: queued_requests?,
        queue_wait: queue_wait?,
        outgoing_connections: outgoing_connections?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_the_runtime_can_be_written_and_no_other() {
        let error = toml::from_str::<RawLimits>("x = 1").unwrap_err().to_string();
        let known: Vec<&str> =
            error.split("expected one of").nth(1).unwrap().split('`').skip(1).step_by(2).collect();
        assert_eq!(known, LIMITS.map(|(key, _, _)| key));
    }

    #[test]
    fn each_key_sets_the_limit_of_its_name() {
        for (key, _, set) in LIMITS {
            let mut ours = RawLimits::default();
            set(&mut ours, 17);
            assert_eq!(ours, toml::from_str(&format!("{key} = 17")).unwrap(), "{key}");
        }
    }
}
