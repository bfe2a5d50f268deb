//! The Cloudflare adapter: signed components and a checked configuration in, a Worker out.
//!
//! [`bundle`] is a pure function of its inputs. The components are not changed, unless they are to count gas: the worker
//! holds their core modules as they stand in the signed bytes, and glue that is derived from them. The record says so,
//! part by part.
//! What runs on the platform is `worker/`, in TypeScript.

mod bundle;
mod derive;
mod imports;
mod plan;
mod platform;
mod site;

pub use bundle::{BundleError, bundle};
pub use derive::{DeriveError, Tools};
pub use imports::NotMet;
pub use site::{App, ClientAddress, Gas, Options, Site, Source, Tenant};
