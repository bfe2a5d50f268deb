//! `ratelimit-policy`, `ratelimit` and `retry-after` (draft-ietf-httpapi-ratelimit-headers; RFC 9651; RFC 9110,
//! section 10.2.3).
//!
//! The draft's quota units come from a registry that does not list gas. A bucket of gas is sent with `qu="gas"` all
//! the same: without it, the unit would read as requests, which is wrong by orders of magnitude.

use crate::{Bucket, RateStatus, Unit};

pub(crate) const POLICY: &str = "ratelimit-policy";
pub(crate) const LIMIT: &str = "ratelimit";
pub(crate) const RETRY: &str = "retry-after";

/// The largest integer of a structured field (RFC 9651, section 3.3.1). Larger figures are sent as this.
const INTEGER_MAX: u64 = 999_999_999_999_999;
const SECOND: u64 = 1_000_000_000;

/// The text of `ratelimit-policy`. Windows are rounded up to whole seconds, which never promises a client more.
pub(crate) fn policy<'b>(buckets: impl Iterator<Item = &'b Bucket>) -> String {
    let mut text = String::new();
    for bucket in buckets {
        item(&mut text, &bucket.name);
        parameter(&mut text, ";q=", bucket.quota);
        parameter(&mut text, ";w=", bucket.window.div_ceil(SECOND));
        if bucket.unit == Unit::Gas {
            text.push_str(";qu=\"gas\"");
        }
    }
    text
}

/// The text of `ratelimit`: what remains, and whole seconds, rounded up, until there is more.
pub(crate) fn limit(statuses: &[RateStatus]) -> String {
    let mut text = String::with_capacity(statuses.len() * 48);
    for status in statuses {
        item(&mut text, &status.bucket);
        parameter(&mut text, ";r=", status.remaining);
        parameter(&mut text, ";t=", status.reset_after.div_ceil(SECOND));
    }
    text
}

/// Whole seconds until a retry, rounded up, at least 1.
pub(crate) fn retry_seconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(SECOND).max(1)
}

/// The names of buckets are letters, digits and dashes: nothing in them needs escaping in a String.
fn item(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push_str(", ");
    }
    text.push('"');
    text.push_str(name);
    text.push('"');
}

fn parameter(text: &mut String, name: &str, value: u64) {
    text.push_str(name);
    decimal(text, value.min(INTEGER_MAX));
}

/// Twenty digits at most; the formatting machinery would cost more than everything else in a header.
pub(crate) fn decimal(text: &mut String, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place += u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    text.extend(digits.iter().skip(20 - used).map(|digit| char::from(*digit)));
}

#[cfg(test)]
pub(crate) mod tests;
