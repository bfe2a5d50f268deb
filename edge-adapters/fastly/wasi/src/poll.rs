//! `wasi:io/poll`, and the clock that can be waited for.

use crate::Wasi;
use crate::bindings::exports::wasi::clocks::monotonic_clock;
use crate::bindings::exports::wasi::io::poll::{self, GuestPollable, Pollable, PollableBorrow};
use crate::bindings::wasi::clocks::monotonic_clock as clock;
use crate::pending::Pending;
use crate::run;
use std::rc::Rc;
use tollgate_fastly_platform::bindings::fastly::compute::async_io;

const NANOS_PER_MS: u64 = 1_000_000;

/// Something to wait for.
pub(crate) enum Wait {
    /// It is there: reading and writing wait themselves.
    Ready,
    /// This instant of the monotonic clock.
    Until(u64),
    /// The head of a response.
    Response(Rc<Pending>),
}

pub(crate) fn ready() -> Pollable {
    Pollable::new(Wait::Ready)
}

pub(crate) fn response(pending: Rc<Pending>) -> Pollable {
    Pollable::new(Wait::Response(pending))
}

impl Wait {
    fn is_over(&self) -> bool {
        match self {
            Self::Ready => true,
            Self::Until(instant) => clock::now() >= *instant,
            Self::Response(pending) => pending.is_ready(),
        }
    }

    /// When it is over at the latest.
    fn until(&self) -> Option<u64> {
        match self {
            Self::Ready => None,
            Self::Until(instant) => Some(*instant),
            Self::Response(pending) => pending.until(),
        }
    }

    fn pending(&self) -> Option<&Pending> {
        match self {
            Self::Response(pending) => Some(pending.as_ref()),
            Self::Ready | Self::Until(_) => None,
        }
    }
}

/// Waits for the first of these, none of which is over.
fn wait(all: &[&Wait]) {
    run::flow();
    let soonest = all.iter().filter_map(|wait| wait.until()).min();
    let left = soonest.map(|instant| instant.saturating_sub(clock::now()));
    let waiting: Vec<_> = all.iter().filter_map(|wait| wait.pending()).map(Pending::waiting).collect();
    let handles: Vec<&async_io::Pollable> = waiting.iter().filter_map(|state| state.handle()).collect();
    match left {
        Some(nanos) if handles.is_empty() => clock::subscribe_duration(nanos).block(),
        Some(nanos) => {
            let ms = u32::try_from(nanos.div_ceil(NANOS_PER_MS)).unwrap_or(u32::MAX);
            async_io::select_with_timeout(&handles, ms.max(1));
        }
        None if handles.is_empty() => {}
        None => {
            async_io::select(&handles);
        }
    }
}

impl poll::Guest for Wasi {
    type Pollable = Wait;

    fn poll(list: Vec<PollableBorrow<'_>>) -> Vec<u32> {
        let all: Vec<&Wait> = list.iter().map(|pollable| pollable.get::<Wait>()).collect();
        if all.is_empty() {
            // There is nothing that this could wait for: the contract has it trap.
            std::process::abort();
        }
        loop {
            let over = (0..).zip(&all).filter(|(_, wait)| wait.is_over());
            let places: Vec<u32> = over.map(|(place, _)| place).collect();
            if !places.is_empty() {
                return places;
            }
            wait(&all);
        }
    }
}

impl GuestPollable for Wait {
    fn ready(&self) -> bool {
        self.is_over()
    }

    fn block(&self) {
        while !self.is_over() {
            wait(&[self]);
        }
    }
}

impl monotonic_clock::Guest for Wasi {
    fn now() -> u64 {
        clock::now()
    }

    fn resolution() -> u64 {
        clock::resolution()
    }

    fn subscribe_instant(when: u64) -> Pollable {
        Pollable::new(Wait::Until(when))
    }

    fn subscribe_duration(when: u64) -> Pollable {
        Pollable::new(Wait::Until(clock::now().saturating_add(when)))
    }
}
