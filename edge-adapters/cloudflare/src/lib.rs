//! The Cloudflare adapter: signed components and a checked configuration in, a Worker out.
//!
//! [`bundle`] is a pure function of its inputs. The components are not changed: the worker holds their core modules as
//! they stand in the signed bytes, and glue that is derived from them. The record in the bundle says so, part by part.
//! What runs on the platform is `worker/`, in TypeScript.

mod bundle;
mod derive;
mod imports;
mod plan;
mod platform;
mod record;
mod site;

pub use bundle::{Bundle, BundleError, bundle};
pub use derive::{DeriveError, Tools};
pub use imports::NotMet;
pub use record::{DERIVATION, Derivation};
pub use site::{App, ClientAddress, Options, Route, Site, Source, Tenant};
