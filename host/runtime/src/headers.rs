//! Which header fields pass, and which are of one connection or the host's alone.

use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};

/// Headers of one connection (RFC 9110, section 7.6.1), which no gateway passes on.
const HOP_BY_HOP: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
const HOP_BY_HOP_OLD: [&str; 4] =
    ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"];

/// Headers that say where a request came from, besides `x-forwarded-…`. A client's are dropped; the host sets its own.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip"];

/// Whatever begins so is for a proxy to say: the prefix of a path, or even who the user is.
const FORWARDED_ALL: &str = "x-forwarded-";

/// Headers that only the host writes begin so.
const OURS: &str = "tollgate-";

/// The length that a message announces; none when it announces none, or not one number.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let (first, None) = (values.next()?, values.next()) else { return None };
    first.to_str().ok()?.parse().ok()
}

/// Drops the fields of one connection (RFC 9110, section 7.6.1), those that `connection` names included.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_OLD {
        headers.remove(name);
    }
}

/// Drops what neither the gate nor the app may see of a client's headers: those of its connection, and those that
/// pretend to come from the host.
pub(crate) fn clean_request_headers(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    drop_ours(headers);
    drop_all(headers, FORWARDED_ALL);
    for name in FORWARDED {
        headers.remove(name);
    }
}

/// Drops from trailers what no header may be either, and what belongs before a body: its length, and who asks whom (RFC
/// 9110, section 6.5.1). The gate has decided by then.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    clean_request_headers(trailers);
    for name in [CONTENT_LENGTH, HOST, AUTHORIZATION, COOKIE] {
        trailers.remove(name);
    }
}

/// Drops what only the host writes.
pub(crate) fn drop_ours(headers: &mut HeaderMap) {
    drop_all(headers, OURS);
}

/// Drops the headers whose names begin so.
fn drop_all(headers: &mut HeaderMap, start: &str) {
    let named: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(start)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}
