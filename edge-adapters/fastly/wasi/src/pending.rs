//! A response that an app waits for.

use crate::bindings::wasi::clocks::monotonic_clock as clock;
use std::cell::{Ref, RefCell};
use tollgate_fastly_platform::bindings::fastly::compute::async_io::Pollable;

/// A response that is to come.
pub(crate) struct Pending {
    state: RefCell<State>,
    /// The instant of the monotonic clock when its head is late.
    until: Option<u64>,
}

/// How far it is.
pub(crate) enum State {
    /// The platform waits for it.
    Waiting(Pollable),
    /// The app has it.
    Taken,
}

impl State {
    pub(crate) fn handle(&self) -> Option<&Pollable> {
        match self {
            Self::Waiting(handle) => Some(handle),
            Self::Taken => None,
        }
    }
}

impl Pending {
    pub(crate) fn new(handle: Pollable, until: Option<u64>) -> Self {
        Self { state: RefCell::new(State::Waiting(handle)), until }
    }

    pub(crate) fn until(&self) -> Option<u64> {
        self.until
    }

    pub(crate) fn waiting(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    /// What it was, which it is no more.
    pub(crate) fn take(&self) -> State {
        self.state.replace(State::Taken)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.is_late() || self.waiting().handle().is_none_or(Pollable::is_ready)
    }

    pub(crate) fn is_late(&self) -> bool {
        self.until.is_some_and(|instant| clock::now() >= instant)
    }
}
