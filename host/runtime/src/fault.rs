//! Why a run ended badly. The one place where the engine's errors become our own.

use crate::account::TotalReached;
use std::fmt;
use tollgate_request::{Blame, End};
use wasmtime::Trap;
use wasmtime::component::ResourceTableError;

/// A limit that a run broke. Raised as an error through the engine, and found again by [`Fault::of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    Gas,
    Cpu,
    Deadline,
    HostWait,
    HostCalls,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Fault::from(*self).code())
    }
}

impl std::error::Error for Breach {}

/// Why a run ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The fuel ran out.
    OutOfFuel,
    /// The gas ran out.
    OutOfGas,
    /// The CPU time ran out.
    CpuTime,
    /// The wall clock ran out.
    Deadline,
    /// It waited too long for the host.
    HostWait,
    /// It made too many calls into the host.
    HostCalls,
    /// It needed more memory than it may have.
    OutOfMemory,
    /// It held too many handles: resources, streams, futures or tasks.
    Handles,
    /// Its stack overflowed.
    StackOverflow,
    /// The response body is longer than it may be.
    ResponseTooLarge,
    /// It ended without a response.
    NoResponse,
    /// It answered with a `wasi:http` error code.
    ErrorCode,
    /// The response's head is not valid HTTP, or has a status that only the host may send.
    BadResponse,
    /// It left by `wasi:cli/exit`.
    Exit,
    /// Any other trap: an unreachable instruction, an access out of bounds and the like.
    Trap,
    /// Another request, in the same instance at the same time, broke a limit or trapped, and the instance is gone.
    InstanceLost,
    /// The host had no room for another instance, or the tenant's total of memory or instances is reached.
    Saturated,
    /// The host could not make an instance, or lost it by a fault of its own.
    Host,
}

impl Fault {
    /// The name in records, metrics, logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::OutOfFuel => "out-of-fuel",
            Self::OutOfGas => "out-of-gas",
            Self::CpuTime => "cpu-time",
            Self::Deadline => "deadline",
            Self::HostWait => "host-wait",
            Self::HostCalls => "host-calls",
            Self::OutOfMemory => "out-of-memory",
            Self::Handles => "handles",
            Self::StackOverflow => "stack-overflow",
            Self::ResponseTooLarge => "response-too-large",
            Self::NoResponse => "no-response",
            Self::ErrorCode => "error-code",
            Self::BadResponse => "bad-response",
            Self::Exit => "exit",
            Self::Trap => "trap",
            Self::InstanceLost => "instance-lost",
            Self::Saturated => "saturated",
            Self::Host => "host-fault",
        }
    }

    /// Whether it is this host's fault, and not the app's.
    pub fn is_the_hosts(self) -> bool {
        matches!(self, Self::Saturated | Self::Host)
    }

    /// What the engine's error means. `memory_denied` tells that the store was refused memory before: a guest whose
    /// allocator then gives up reports only an unreachable instruction.
    pub(crate) fn of(error: &wasmtime::Error, memory_denied: bool) -> Self {
        if let Some(breach) = cause::<Breach>(error) {
            return (*breach).into();
        }
        if cause::<TotalReached>(error).is_some() {
            return Self::Saturated;
        }
        if cause::<wasmtime_wasi::I32Exit>(error).is_some() {
            return if memory_denied { Self::OutOfMemory } else { Self::Exit };
        }
        if out_of_handles(error) {
            return Self::Handles;
        }
        match cause::<Trap>(error) {
            Some(Trap::OutOfFuel) => Self::OutOfFuel,
            Some(Trap::Interrupt) => Self::CpuTime,
            Some(Trap::StackOverflow) => Self::StackOverflow,
            _ if memory_denied => Self::OutOfMemory,
            Some(_) => Self::Trap,
            None if error
                .downcast_ref::<wasmtime_wasi_http::p3::bindings::http::types::ErrorCode>()
                .is_some() =>
            {
                Self::ErrorCode
            }
            None if error
                .downcast_ref::<wasmtime_wasi_http::p2::bindings::http::types::ErrorCode>()
                .is_some() =>
            {
                Self::ErrorCode
            }
            None if cause::<wasmtime::PoolConcurrencyLimitError>(error).is_some() => Self::Saturated,
            // Whatever else the engine reports while a guest runs was brought about by the guest: a handle that is
            // not there, a string that is not UTF-8, a response set twice.
            None => Self::Trap,
        }
    }
}

/// The engine's text where a store has all the handles that it may. It has no type; the engine is pinned, and a test
/// breaks this limit.
const HANDLES_EXCEEDED: &str = "store handle limit exceeded";

/// Whether there was no room for another resource of the host's, or another handle of the engine's.
fn out_of_handles(error: &wasmtime::Error) -> bool {
    matches!(cause::<ResourceTableError>(error), Some(ResourceTableError::Full))
        || error.chain().any(|cause| cause.to_string().ends_with(HANDLES_EXCEEDED))
}

/// What an error is, or what it was caused by: the engine's handler wraps some in a message of its own.
fn cause<E: std::error::Error + Send + Sync + 'static>(error: &wasmtime::Error) -> Option<&E> {
    error.downcast_ref().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

impl From<Breach> for Fault {
    fn from(breach: Breach) -> Self {
        match breach {
            Breach::Gas => Self::OutOfGas,
            Breach::Cpu => Self::CpuTime,
            Breach::Deadline => Self::Deadline,
            Breach::HostWait => Self::HostWait,
            Breach::HostCalls => Self::HostCalls,
        }
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        let blame = match fault {
            Fault::Saturated => return Self::Saturated,
            Fault::Deadline | Fault::CpuTime | Fault::HostWait => Blame::Slow,
            Fault::InstanceLost => Blame::Other,
            fault if fault.is_the_hosts() => Blame::Host,
            _ => Blame::App,
        };
        Self::Failed(fault.code(), blame)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is_decides_the_status() {
        for (fault, status) in [
            (Fault::OutOfFuel, 502),
            (Fault::OutOfMemory, 502),
            (Fault::CpuTime, 504),
            (Fault::Deadline, 504),
            (Fault::Host, 500),
            (Fault::InstanceLost, 503),
            (Fault::Saturated, 503),
        ] {
            assert_eq!(End::from(fault).response("").status().as_u16(), status, "{fault:?}");
        }
    }
}
