//! What a platform runs, derived from a signed component.
//!
//! A component is signed once; what a platform runs may have to be something else: its core modules as files, or code that
//! counts gas by itself. That is derived, never signed in the component's stead: a pure function of the component's bytes,
//! this crate's version, the gas schedule and the options, so that anybody can derive it again and compare.
//!
//! * [`derive()`] makes the files of a deployment and the [`Record`] of what they were made from.
//! * [`instrument`] puts gas into a component or a core module, [`cores`] finds core modules as byte ranges.
//! * [`record`] reads, writes and signs records; [`report`](mod@report) says whether a component can run on a target.
//!
//! No engine is needed here, nothing is compiled, and nothing is read but what is given.

pub mod cores;
pub mod derive;
pub mod instrument;
pub mod record;
pub mod report;
pub mod schedule;

pub use derive::{Derived, Request, derive};
pub use record::{Record, Target};
pub use report::report;
pub use schedule::Schedule;
