//! A tenant's own policy: office hours and closed paths.
//!
//! The configuration is text, one rule a line; `#` begins a comment:
//!
//! ```text
//! hours 08:00-18:00      # in UTC; outside of them everything is denied
//! closed /internal       # this path and everything below it is denied
//! group staff            # the rules above do not hold for this group
//! ```
//!
//! Without a rule everything is allowed. The deciding rule's name is in the audit record.

mod rules;

use rules::Rules;
use tollgate_sdk::policy::{self, Diagnostic, Facts, Policy, Verdict};

impl Policy for Rules {
    fn configure(config: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let text =
            std::str::from_utf8(config).map_err(|_| vec![Diagnostic::new("the rules are not UTF-8 text")])?;
        Self::parse(text)
    }

    fn decide(&self, facts: &Facts) -> Verdict {
        if facts.actor.groups.iter().any(|group| self.groups.contains(group)) {
            return policy::allow("group");
        }
        if self.closed.iter().any(|closed| closed.covers(&facts.path)) {
            return policy::deny("closed");
        }
        if self.hours.is_some_and(|hours| !hours.contain(facts.received_at)) {
            return policy::deny("hours");
        }
        policy::allow("default")
    }
}

tollgate_sdk::policy!(Rules);
