//! What Fastly gives the parts of a service, in the words of [`http`]: heads, bodies, responses, the log, the time and
//! chance.
//!
//! The parts share these bindings of the platform, so that a body is the same type in all of them; [`bindings!`] makes
//! what a part has besides.

/// The bindings of a part: a module `bindings`, of the visibility that follows the world's name, generated from that
/// world in `wit/`. Whatever else is given goes to `wit_bindgen::generate!`.
#[macro_export]
macro_rules! bindings {
    ($world:tt $visible:vis $(, $($option:tt)*)?) => {
        #[allow(
            missing_docs,
            unreachable_pub,
            unsafe_code,
            dead_code,
            clippy::all,
            clippy::allow_attributes_without_reason,
            reason = "generated from the WIT"
        )]
        $visible mod bindings {
            wit_bindgen::generate!({
                path: [
                    "../../../wit/deps/io",
                    "../../../wit/deps/clocks",
                    "../../../wit/deps/random",
                    "../../../wit/deps/cli",
                    "../../../wit/deps/config",
                    "../../../wit/deps/http",
                    "../../../wit/deps/fastly",
                    "../../../wit/deps/keyvalue",
                    "../../../wit/platform",
                    "../../../wit/gate",
                    "../wit",
                ],
                world: $world,
                generate_all,
                $($($option)*)?
            });
        }
    };
}

// Also types that nothing here uses: the parts do.
bindings!("tollgate:fastly/platform" pub, generate_unused_types: true);

mod body;
mod message;

pub use body::{Body, close, empty, length, read, read_whole, write};
pub use message::{begin, framed, request, request_head, respond, response_head};

use bindings::fastly::compute::log;
use bindings::fastly::compute::types::Error;
use bindings::wasi::clocks::wall_clock;
use bindings::wasi::random::random::get_random_bytes;

/// Something that the platform did not do. It fails the request, never opens it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// What was not done, and why.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Turns the platform's error into what was not done.
pub fn failed(what: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure(format!("{what}: {error:?}"))
}

/// What the platform gave that can't be.
pub fn malformed(what: &'static str) -> Failure {
    Failure(format!("the platform gave a malformed {what}"))
}

/// The present time, Unix nanoseconds.
pub fn now() -> u64 {
    let now = wall_clock::now();
    now.seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(now.nanoseconds))
}

/// A random id.
///
/// # Errors
/// If the platform gives fewer bytes than were asked for.
pub fn id() -> Result<[u8; 16], Failure> {
    get_random_bytes(16).try_into().map_err(|_| Failure::new("the platform gave no randomness"))
}

/// A log endpoint.
#[derive(Debug)]
pub struct Log(log::Endpoint);

impl Log {
    /// Opens an endpoint of the service.
    ///
    /// # Errors
    /// If the platform has none of this name.
    pub fn open(name: &str) -> Result<Self, Failure> {
        let endpoint = log::Endpoint::open(name);
        Ok(Self(endpoint.map_err(|error| Failure(format!("the log can't be opened: {error:?}")))?))
    }

    /// Hands one line to the platform, which says nothing back.
    pub fn write(&self, line: &[u8]) {
        self.0.write(line);
    }
}
