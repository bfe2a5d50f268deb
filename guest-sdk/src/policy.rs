//! A tenant's own policy: a component that decides which requests may run.
//!
//! The gate asks it before each request of the tenant. It sees the configuration that it was given and the
//! [`Facts`] of one request, and nothing else: no clock (the time is a fact), no network, no store.
//!
//! ```
//! use tollgate_sdk::policy::{self, Diagnostic, Facts, Policy, Verdict};
//!
//! /// Denies every path below the configured one.
//! struct Closed(String);
//!
//! impl Policy for Closed {
//!     fn configure(config: &[u8]) -> Result<Self, Vec<Diagnostic>> {
//!         let prefix = std::str::from_utf8(config).map_err(|_| vec![Diagnostic::new("not UTF-8")])?;
//!         Ok(Self(prefix.trim().to_owned()))
//!     }
//!
//!     fn decide(&self, facts: &Facts) -> Verdict {
//!         if facts.path.starts_with(&self.0) { policy::deny("closed") } else { policy::allow("open") }
//!     }
//! }
//!
//! tollgate_sdk::policy!(Closed);
//! # fn main() {}
//! ```

pub use crate::bindings::exports::tollgate::gate::policy::{Reasons, Verdict};
pub use crate::bindings::tollgate::gate::types::{Actor, ActorKind, Diagnostic, Facts};

/// A policy, made from its configuration.
///
/// Both functions must depend on their arguments alone: the host may keep an instance or make a new one at any time.
pub trait Policy: Sized + 'static {
    /// Makes the policy from the configured bytes. Their format is the policy's own.
    ///
    /// # Errors
    /// Everything that is wrong with them. The policy in force before, if any, stays.
    fn configure(config: &[u8]) -> Result<Self, Vec<Diagnostic>>;

    /// Decides on one request. A trap or an overrun here denies it.
    fn decide(&self, facts: &Facts) -> Verdict;
}

/// Lets the request run; `policy` is the id of the rule that says so, for the audit record.
///
/// ```
/// let verdict = tollgate_sdk::policy::allow("office-hours");
/// ```
pub fn allow(policy: impl Into<String>) -> Verdict {
    Verdict::Allow(Reasons { policies: vec![policy.into()], errors: Vec::new() })
}

/// Denies the request; `policy` is the id of the rule that says so, for the audit record.
///
/// ```
/// let verdict = tollgate_sdk::policy::deny("denied-path");
/// ```
pub fn deny(policy: impl Into<String>) -> Verdict {
    Verdict::Deny(Reasons { policies: vec![policy.into()], errors: Vec::new() })
}

/// Denies the request because a rule could not be evaluated; the text goes into the log, never to the client.
///
/// ```
/// let verdict = tollgate_sdk::policy::fail("the header `x-team` is not a number");
/// ```
pub fn fail(error: impl Into<String>) -> Verdict {
    Verdict::Deny(Reasons { policies: Vec::new(), errors: vec![error.into()] })
}

impl Diagnostic {
    /// One thing wrong with the configuration as a whole: one line, what is wrong and what to do.
    ///
    /// ```
    /// let diagnostic = tollgate_sdk::policy::Diagnostic::new("no rules: give at least one");
    /// ```
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, line: None }
    }

    /// The same, at a line of the configured text, from 1.
    ///
    /// ```
    /// let diagnostic = tollgate_sdk::policy::Diagnostic::new("`25:00` is no time of day").at_line(3);
    /// ```
    #[must_use]
    pub fn at_line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }
}

impl Facts {
    /// The first value of a header that the route shows to the gate; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Exports a [`Policy`](policy::Policy) as the component's `tollgate:gate/policy`. Once per component.
///
/// Before the first configuration every request is denied.
#[macro_export]
macro_rules! policy {
    ($policy:ty) => {
        const _: () = {
            use $crate::__private::bindings;
            use $crate::__private::bindings::exports::tollgate::gate::policy::{Guest, Verdict};

            ::std::thread_local! {
                static IN_FORCE: ::std::cell::RefCell<::std::option::Option<$policy>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Component;

            impl Guest for Component {
                fn configure(
                    config: ::std::vec::Vec<u8>,
                ) -> ::std::result::Result<(), ::std::vec::Vec<$crate::policy::Diagnostic>> {
                    let policy = <$policy as $crate::policy::Policy>::configure(&config)?;
                    IN_FORCE.set(::std::option::Option::Some(policy));
                    ::std::result::Result::Ok(())
                }

                fn decide(facts: $crate::policy::Facts) -> Verdict {
                    IN_FORCE.with_borrow(|policy| match policy {
                        ::std::option::Option::Some(policy) => $crate::policy::Policy::decide(policy, &facts),
                        ::std::option::Option::None => $crate::policy::fail("the policy was not configured"),
                    })
                }
            }

    bindings::export!(Component with_types_in bindings);
        };
    };
}
