//! Deployers: from a bundle on disk to traffic on somebody else's platform, step by step, and back again.
//!
//! A platform is a [`Provider`]: it can say what is there, take an [`Artifact`], show a version that has no traffic
//! yet, and share traffic out. [`Cloudflare`] and [`Fastly`] are the two. What is done with them, in which order, and
//! what happens when a version fails its checks, is the same for both: [`Deployer`].
//!
//! Three rules make every step safe to repeat, whenever a deployment was stopped. The journal is written before a
//! step and after it. A step asks the platform what is there before it changes anything. And what the platform shows
//! must be what this deployment left there, or somebody else is at work, and nothing is touched.
//!
//! No sockets and no engine are here: who calls brings a [`Web`].

mod artifact;
mod check;
mod client;
mod cloudflare;
mod deployer;
mod fastly;
mod journal;
mod multipart;
mod provider;
mod token;
mod web;

pub use artifact::{Artifact, ArtifactError};
pub use check::{Check, Failing};
pub use cloudflare::{Cloudflare, CloudflareAccount};
pub use deployer::{DeployError, Deployer, Event, Plan, Stage};
pub use fastly::{Fastly, FastlyService};
pub use journal::{Journal, JournalError, Outcome, Past, Run};
pub use provider::{Known, Preview, Provider, ProviderError, Secret, Standing, Traffic, Vault, Version};
pub use token::{Token, TokenError};
pub use web::{Site, SiteError, Unreachable, Web};
