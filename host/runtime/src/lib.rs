//! The only room with the engine. It loads verified components, gives each tenant's app what it was granted and
//! no more, holds the limits, asks the gate, runs, and settles.
//!
//! Read [`line`] first: it is the whole way of a request, top to bottom. Sockets, disks and listeners are not here;
//! an adapter supplies them through [`Bucket`], [`Transport`], [`Book`] and [`Signer`].

mod account;
mod audit;
mod bindings;
mod body;
mod book;
mod cache;
mod clean;
mod clock;
mod compile;
mod concurrent;
mod egress;
mod engine;
mod facts;
mod fault;
mod gas;
mod gate;
mod gauge;
mod grants;
mod handles;
mod http;
mod idle;
mod inspect;
mod instance;
mod instantiate;
mod kept;
mod keyvalue;
mod limits;
mod line;
mod link;
mod load;
mod meter;
mod names;
mod native;
mod place;
mod pressure;
mod rate;
mod record;
mod reset;
mod route;
mod run;
mod runtime;
mod seams;
mod setting;
mod state;
mod stdio;
mod storage;
mod store;
mod threads;
mod turns;
mod wire;
mod workers;

/// What fuzz targets, benchmarks and the tests of gas ask of single steps. No promise is made of it.
#[doc(hidden)]
pub mod doors {
    use crate::bindings::admission::Ending;
    use crate::{
        Client, Entry, Facts, Gate, House, Outcome, Peer, Permit, Route, Schedule, engine, facts, record,
        wire,
    };
    use http::Method;
    use http::request::Parts;

    /// Settles what a permit let in, as a run does that took nothing; with figures and words as a record has them.
    ///
    /// # Errors
    /// What the gate said.
    pub async fn settle(
        gate: &Gate,
        facts: &Facts,
        permit: Permit,
        limits: Vec<(String, u64, u64)>,
        metadata: Vec<(String, String)>,
    ) -> Result<Entry, String> {
        let Permit { policies, charges, .. } = permit;
        let ending = record::ending(Outcome::Answered(200), policies);
        gate.settle(facts, &Ending { charges, limits, metadata, ..ending }).await
    }

    /// How code is made for apps, by the shipped schedule.
    pub fn engine_of_apps() -> wasmtime::Config {
        engine::config(engine::EngineKind::Apps, Schedule::default().operators())
    }

    /// The one spelling of a path; what is wrong with it otherwise.
    pub fn read_path(text: &str) -> Result<String, &'static str> {
        tollgate_request::path(text).map_err(|unreadable| unreadable.0)
    }

    /// What the gate sees of a request, and the head that the app gets.
    pub fn facts(
        mut parts: Parts,
        peer: &Peer,
        route: &Route,
        clients: &[Client],
    ) -> Result<(Facts, Parts), &'static str> {
        let target = facts::Target::of(&parts, peer).map_err(|unreadable| unreadable.0)?;
        wire::clean_request_headers(&mut parts.headers);
        let facts = facts::facts(&parts, peer, &target, route, clients).map_err(|unreadable| unreadable.0)?;
        parts.uri = target.uri;
        Ok((facts, parts))
    }

    /// The route for a request in one spelling.
    pub fn routed<'a>(house: &'a House, host: &str, path: &str, method: &Method) -> Option<&'a Route> {
        house.route(host, path, method).map(|entry| &entry.route)
    }
}

pub use account::Spent;
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
    BucketSetting, COUNTS, Consistency, FailureMode, Gate, GateParts, GateSetting, KeyField, NotAdmitted,
    Permit, Refusal, Unit,
};
pub use gauge::Used;
pub use grants::{Access, Backend, Files, Grants};
pub use inspect::{Import, Inspection, MAX_COMPONENT_BYTES, MalformedError};
pub use limits::{Capacity, Limits, LimitsError, RawLimits, TenantTotals};
pub use line::{Counters, Line};
pub use load::{App, AppSpec, LoadError, Manifest, Mode};
pub use names::{Name, NameError};
pub use route::{Client, House, Route, RouteError, Tenant, TenantStatus};
pub use runtime::{Runtime, RuntimeOptions, StartError};
pub use seams::{Bucket, BucketError, Buckets, Keys, Signer, Swap, Transport, Upstream};
pub use setting::{RouteSetting, TenantSetting};
pub use storage::Storage;
pub use threads::{in_short_slices, serving_threads};
pub use tollgate_request::{HostPattern, drop_hop_by_hop};
pub use wire::{outcome_detail, outcome_name};
pub use workers::Concurrency;
