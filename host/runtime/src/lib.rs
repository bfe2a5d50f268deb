//! The only room with the engine. It loads verified components, gives each tenant's app what it was granted and
//! no more, holds the limits, asks the gate, runs, and settles.
//!
//! Read [`line`] first: it is the whole way of a request, top to bottom. Sockets, disks and listeners are not here;
//! an adapter supplies them through [`Bucket`], [`Transport`], [`Book`] and [`Signer`].

mod audit;
mod bindings;
mod body;
mod book;
mod cache;
mod clock;
mod compile;
mod egress;
mod engine;
mod facts;
mod fault;
mod gas;
mod gate;
mod grants;
mod handles;
mod headers;
mod http;
mod idle;
mod inspect;
mod instance;
mod keyvalue;
mod limits;
mod line;
mod link;
mod load;
mod meter;
mod names;
mod place;
mod problem;
mod record;
mod route;
mod run;
mod runtime;
mod seams;
mod state;
mod stdio;
mod store;
mod wire;

pub use audit::{AuditError, AuditLog};
pub use bindings::{Actor, ActorKind, Entry, Facts, Outcome, Usage};
pub use body::{Cut, RequestBody, ResponseBody};
pub use book::{Book, BookError};
pub use cache::CacheError;
pub use compile::{CompileError, Compiler, compile_alone};
pub use egress::{Egress, EgressError, HttpFailure, Origin, OriginPattern};
pub use facts::Peer;
pub use fault::Fault;
pub use gas::{CallPrice, Interface, Schedule, ScheduleError};
pub use gate::{
    BucketSetting, COUNTS, FailureMode, Gate, GateParts, GateSetting, KeyField, NotAdmitted, Permit, Refusal,
    Unit,
};
pub use grants::{Access, Backend, Files, Grants};
pub use inspect::{Import, Inspection, MAX_COMPONENT_BYTES, MalformedError};
pub use limits::{Capacity, Limits, LimitsError, RawLimits, TenantTotals};
pub use line::{Counters, Line};
pub use load::{App, AppSpec, LoadError, Manifest, Mode};
pub use names::{Name, NameError};
pub use route::{Client, HostPattern, House, Route, RouteError, Tenant, TenantStatus};
pub use runtime::{Runtime, RuntimeOptions, StartError};
pub use seams::{Bucket, BucketError, Buckets, Keys, Signer, Swap, Transport, Upstream};
pub use wire::{outcome_detail, outcome_name};
