//! What a platform runs, derived from signed components.
//!
//! A component is signed once; what a platform runs may have to be something else: core modules as files, glue, a
//! composition, or code that counts gas by itself. That is derived, never signed in the component's stead: a pure function
//! of the signed bytes, the configuration, the deriver's version, the gas schedule and the options, so that anybody can
//! derive it again and compare.
//!
//! * [`instrument`] puts gas into a component or a core module, [`cores`] finds core modules as byte ranges.
//! * An adapter makes the files. [`derive`](mod@derive) makes a deployment of them, with its [`Record`]: what it was made
//!   of, how, and the digest of each file.
//! * [`record`] reads, writes and signs records; [`deployed`] holds what lies on a platform against one.
//! * [`report`](mod@report) says whether a component can run on a target.
//!
//! No engine is needed here, nothing is compiled, and nothing is read but what is given.

pub mod cores;
pub mod deployed;
pub mod derive;
pub mod instrument;
pub mod record;
pub mod report;
pub mod schedule;

pub use deployed::{Difference, differences};
pub use derive::{Derived, Recipe, Source};
pub use record::{Record, Target};
pub use report::report;
pub use schedule::Schedule;
