//! Every unsafe call of the host, each with its argument.
#![expect(unsafe_code, reason = "nothing safe loads native code, or asks the system for a slice")]

use std::io;
use std::path::Path;
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps compiled code into this process.
///
/// The caller has seen to it that the file is what `precompile_component` wrote, by its MAC or because this process has
/// just written it, and that it lies in a directory which is the host's alone.
pub(crate) fn map_code(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is the engine's own output, as the caller promises, and its directory is the host's alone, so
    // nobody changes it between that check and the mapping or later.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Asks for a core for so long at a stretch, for this thread; its policy and priority stay. From Linux 6.12 on, a thread
/// that wakes and has had less than its part goes before one that runs with a longer slice (`PREEMPT_SHORT`), and one of
/// low priority has its part of a core in smaller pieces and sooner; before, this changes nothing.
///
/// # Errors
///
/// The system does not know the call, or a filter forbids it.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for_slices(slice: Duration) -> io::Result<()> {
    // Whoever started this process may have chosen another policy, and the call sets the priority, too.
    let nice = rustix::process::getpriority_process(None)?;
    let keep = libc::SCHED_FLAG_KEEP_POLICY as u64;
    schedule(Attributes { flags: keep, nice, runtime_ns: slice.as_nanos() as u64, ..Attributes::default() })
}

/// Has everybody else go before this thread, at once when they wake (`SCHED_IDLE`, sched(7)). The lowest priority alone
/// does not do that: one that wakes may wait until the system next looks, which is milliseconds.
///
/// # Errors
///
/// A filter forbids the call.
#[cfg(target_os = "linux")]
pub(crate) fn give_way() -> io::Result<()> {
    schedule(Attributes { policy: libc::SCHED_IDLE as u32, ..Attributes::default() })
}

/// `struct sched_attr` of the kernel, first version (sched_setattr(2)).
#[cfg(target_os = "linux")]
#[derive(Default)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

#[cfg(target_os = "linux")]
fn schedule(attributes: Attributes) -> io::Result<()> {
    let attributes = Attributes { size: size_of::<Attributes>() as u32, ..attributes };
    // SAFETY: the kernel reads `size` bytes of `attributes`, which is that large, lives through the call and is not
    // written to; thread 0 is this one. It changes this thread's scheduling and nothing in this program's memory.
    let changed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if changed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Elsewhere there is nothing to ask.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for_slices(_slice: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Elsewhere there is nobody to tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_way() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
