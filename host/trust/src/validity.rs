//! From when until when a key or a release counts.

use std::fmt;

use jiff::Timestamp;

/// A span of time; both ends belong to it, as in X.509 (RFC 5280, section 4.1.2.5). An end that is
/// absent is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first instant.
    pub not_before: Option<Timestamp>,
    /// The last instant.
    pub not_after: Option<Timestamp>,
}

impl Validity {
    /// Whether `now` lies in the span.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|start| start <= now) && self.not_after.is_none_or(|end| now <= end)
    }

    /// Whether no instant lies in the span.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!((self.not_before, self.not_after), (Some(start), Some(end)) if end < start)
    }
}

/// Writes "valid from … until …", without the ends that are open.
impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.not_before, self.not_after) {
            (None, None) => f.write_str("always valid"),
            (Some(start), None) => write!(f, "valid from {start}"),
            (None, Some(end)) => write!(f, "valid until {end}"),
            (Some(start), Some(end)) => write!(f, "valid from {start} until {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_the_span() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let span = Validity { not_before: Some(at(10)), not_after: Some(at(20)) };
        assert!(span.contains(at(10)) && span.contains(at(20)));
        assert!(!span.contains(at(9)) && !span.contains(at(21)));
        assert!(!span.is_empty());
        assert!(Validity { not_before: Some(at(20)), not_after: Some(at(10)) }.is_empty());
        assert!(Validity::default().contains(at(0)));
    }
}
