//! What one request, one tenant and the whole host may take: checked values, made in one piece.

use std::time::Duration;

/// What a run may take. One checked value without setters: to set one limit can't clear another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Fuel: weighted wasm operators, as priced by the gas schedule's operator table.
    pub fuel: u64,
    /// Gas: fuel, host calls, bytes and memory, all priced.
    pub gas: u64,
    /// Thread CPU time of the guest and of the host on its behalf.
    pub cpu: Duration,
    /// Wall clock from admission to the last byte of the response, also while the guest waits.
    pub deadline: Duration,
    /// How much of the deadline the guest may spend waiting for the host.
    pub host_wait: Duration,
    /// The sum over all memories and tables of the store, plus what the host holds for it.
    pub memory_bytes: usize,
    /// Component-model handles of one store.
    pub handles: usize,
    /// Bytes that one call may bring from the guest into the host, and a batch of values back.
    pub host_call_bytes: usize,
    /// Calls into the host.
    pub host_calls: u64,
    /// Bytes of request body.
    pub request_body_bytes: u64,
    /// Bytes of response body.
    pub response_body_bytes: u64,
    /// Outgoing requests of one run.
    pub outgoing_requests: u32,
    /// Lines to the log, in one run, from stdout and stderr.
    pub log_lines: u32,
    /// Bytes of one line to the log; the rest of a longer line is dropped and counted.
    pub log_line_bytes: usize,
    /// Bytes of one set of header fields.
    pub header_bytes: usize,
}

/// Limits as a plan writes them, every key optional; what is left out has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each key is the field of `Limits` with the same name")]
pub struct RawLimits {
    pub fuel: Option<u64>,
    pub gas: Option<u64>,
    pub cpu_ms: Option<u64>,
    pub deadline_ms: Option<u64>,
    pub host_wait_ms: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub handles: Option<u64>,
    pub host_call_bytes: Option<u64>,
    pub host_calls: Option<u64>,
    pub request_body_bytes: Option<u64>,
    pub response_body_bytes: Option<u64>,
    pub outgoing_requests: Option<u64>,
    pub log_lines: Option<u64>,
    pub log_line_bytes: Option<u64>,
    pub header_bytes: Option<u64>,
}

/// A limit that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key} = {value}` is out of range: use {least} to {most}")]
pub struct LimitsError {
    /// The key as written in the configuration.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// The least value.
    pub least: u64,
    /// The greatest value.
    pub most: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl RawLimits {
    /// Checks every key, and sets what is left out.
    pub fn check(&self) -> Result<Limits, LimitsError> {
        let pick = |key, value: Option<u64>, default: u64, least: u64, most: u64| match value {
            None => Ok(default),
            Some(value) if (least..=most).contains(&value) => Ok(value),
            Some(value) => Err(LimitsError { key, value, least, most }),
        };
        let millis = Duration::from_millis;
        let deadline = pick("deadline-ms", self.deadline_ms, 30_000, 10, 600_000)?;
        Ok(Limits {
            fuel: pick("fuel", self.fuel, 1_000_000_000, 1_000, u64::MAX / 2)?,
            gas: pick("gas", self.gas, 2_000_000_000, 1_000, u64::MAX / 2)?,
            // One tick of the epoch is the least that can be told apart.
            cpu: millis(pick("cpu-ms", self.cpu_ms, 1_000, 10, 600_000)?),
            deadline: millis(deadline),
            host_wait: millis(pick("host-wait-ms", self.host_wait_ms, deadline, 10, 600_000)?),
            memory_bytes: pick("memory-bytes", self.memory_bytes, 128 * MIB, 64 * KIB, 4096 * MIB)? as usize,
            handles: pick("handles", self.handles, 1_000, 16, 100_000)? as usize,
            host_call_bytes: pick("host-call-bytes", self.host_call_bytes, 4 * MIB, KIB, 128 * MIB)? as usize,
            host_calls: pick("host-calls", self.host_calls, 1_000_000, 16, u64::MAX / 2)?,
            request_body_bytes: pick("request-body-bytes", self.request_body_bytes, 10 * MIB, 0, u64::MAX)?,
            response_body_bytes: pick(
                "response-body-bytes",
                self.response_body_bytes,
                100 * MIB,
                0,
                u64::MAX,
            )?,
            outgoing_requests: pick("outgoing-requests", self.outgoing_requests, 32, 0, 10_000)? as u32,
            log_lines: pick("log-lines", self.log_lines, 1_000, 0, 1_000_000)? as u32,
            log_line_bytes: pick("log-line-bytes", self.log_line_bytes, 4 * KIB, 16, 64 * KIB)? as usize,
            header_bytes: pick("header-bytes", self.header_bytes, 64 * KIB, KIB, MIB)? as usize,
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        // The defaults lie within their own bounds; a test holds that.
        RawLimits::default().check().unwrap_or_else(|_| std::process::abort())
    }
}

/// What one tenant may take in all, over its apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantTotals {
    /// Requests that run at the same time.
    pub concurrent_requests: usize,
    /// Requests that wait for one of those places; more are refused with 503.
    pub queued_requests: usize,
    /// How long a request waits for a place before it is refused.
    pub queue_wait: Duration,
    /// Outgoing connections, pooled ones included.
    pub outgoing_connections: usize,
    /// Bytes that its instances hold at one time: the same sum as each run's, over all of them, idle ones included.
    pub memory_bytes: u64,
    /// Instances that live at one time, idle ones included.
    pub instances: u64,
    /// Bytes that outgoing requests and their responses move in each hour of UTC. Counted from the start of the host.
    pub egress_bytes_per_hour: u64,
    /// Gas that its requests use in each hour of UTC, counted when a request ends: those that run when it is spent go on,
    /// each within its own gas. A host without a state directory counts from its start.
    pub gas_per_hour: u64,
    /// Bytes that its key-value stores hold together: keys, values, and something for each entry.
    pub storage_bytes: u64,
}

impl Default for TenantTotals {
    fn default() -> Self {
        Self {
            concurrent_requests: 100,
            queued_requests: 100,
            queue_wait: Duration::from_secs(1),
            outgoing_connections: 64,
            memory_bytes: 4 << 30,
            instances: 200,
            egress_bytes_per_hour: 10 << 30,
            // 50,000 runs that use all the gas that a run has by default.
            gas_per_hour: 100_000_000_000_000,
            // Four stores that are full.
            storage_bytes: 1 << 30,
        }
    }
}

/// What the whole host may take. The pooling allocators follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Instances of tenants' apps that live at the same time.
    pub instances: u32,
    /// The largest memory that any app may have, in bytes; the pool reserves address space for it.
    pub memory_bytes: usize,
    /// Warm instances of each gate.
    pub gate_instances: u32,
    /// Bytes of each slot that stay resident between uses.
    pub resident_bytes: usize,
    /// Memory of the whole process. Near it idle instances go, at it requests are refused.
    pub process_bytes: u64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            instances: 1_000,
            memory_bytes: 128 << 20,
            gate_instances: 8,
            resident_bytes: 1 << 20,
            process_bytes: u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        assert_eq!(RawLimits::default().check().unwrap(), Limits::default());
    }

    #[test]
    fn a_limit_out_of_range_is_named_with_its_range() {
        let raw = RawLimits { cpu_ms: Some(1), ..RawLimits::default() };
        assert_eq!(raw.check().unwrap_err().to_string(), "`cpu-ms = 1` is out of range: use 10 to 600000");
    }

    #[test]
    fn to_set_one_limit_leaves_the_others() {
        let one = RawLimits { memory_bytes: Some(1 << 20), ..RawLimits::default() }.check().unwrap();
        assert_eq!(Limits { memory_bytes: Limits::default().memory_bytes, ..one }, Limits::default());
    }
}
