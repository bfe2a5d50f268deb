//! Header fields: which pass, which are of one connection or the host's alone, and what the gate takes from them.

use crate::Unreadable;
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use unicode_normalization::UnicodeNormalization;

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

/// How many values of shown headers there may be, and how long each. A request with more is refused: a rule that saw
/// a part would be no rule.
const MAX_SHOWN_HEADERS: usize = 64;
const MAX_SHOWN_BYTES: usize = 8 << 10;

/// The length that a message announces; none when it announces none, or not one number.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
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
pub fn clean_request_headers(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    drop_ours(headers);
    drop_all(headers, FORWARDED_ALL);
    for name in FORWARDED {
        headers.remove(name);
    }
}

/// Drops from trailers what no header may be either, and what belongs before a body: its length, and who asks whom (RFC
/// 9110, section 6.5.1). The gate has decided by then.
pub fn clean_trailers(trailers: &mut HeaderMap) {
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

/// The trace id of a W3C `traceparent` header, if it is well formed and only one.
pub fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("traceparent").iter();
    let (first, None) = (values.next()?, values.next()) else { return None };
    let mut fields = first.to_str().ok()?.split('-');
    let (version, id) = (fields.next()?, fields.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    (hex(version, 2) && version != "ff" && hex(id, 32) && id.bytes().any(|b| b != b'0'))
        .then(|| id.to_owned())
}

/// The bearer token (RFC 6750) of a request that has one `authorization` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (first, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The headers of these names, which policies may see: all of them, whole, in normal form C.
///
/// # Errors
/// If they are too many or too long, or not UTF-8.
pub fn shown(headers: &HeaderMap, names: &[HeaderName]) -> Result<Vec<(String, String)>, Unreadable> {
    let mut shown = Vec::new();
    for name in names {
        for value in headers.get_all(name) {
            let text = std::str::from_utf8(value.as_bytes())
                .map_err(|_| Unreadable("a header that policies see is not UTF-8"))?;
            if text.len() > MAX_SHOWN_BYTES || shown.len() == MAX_SHOWN_HEADERS {
                return Err(Unreadable("the headers that policies see are too long or too many"));
            }
            shown.push((name.as_str().to_owned(), text.nfc().collect()));
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn one(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_a_well_formed_trace_id_is_taken_over() {
        let good = "0af7651916cd43dd8448eb211c80319c";
        let with = |value: String| trace_id(&one("traceparent", &value));
        assert_eq!(with(format!("00-{good}-b7ad6b7169203331-01")).as_deref(), Some(good));
        assert_eq!(with(format!("ff-{good}-b7ad6b7169203331-01")), None);
        assert_eq!(with(format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))), None);
        assert_eq!(with(format!("00-{}-b7ad6b7169203331-01", good.to_uppercase())), None);
    }

    #[test]
    fn a_token_counts_only_if_there_is_one() {
        assert_eq!(bearer(&one("authorization", "bEaReR  secret ")), Some("secret"));
        assert_eq!(bearer(&one("authorization", "Basic secret")), None);
        let mut two = one("authorization", "Bearer a");
        two.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(bearer(&two), None);
    }

    #[test]
    fn what_policies_see_is_whole_and_normal_or_the_request_is_unreadable() {
        let names = [HeaderName::from_static("x-plan")];
        let decomposed = HeaderValue::from_bytes("a\u{308}".as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(names[0].clone(), decomposed)]);
        assert_eq!(shown(&headers, &names), Ok(vec![("x-plan".to_owned(), "ä".to_owned())]));
        let long = one("x-plan", &"a".repeat(MAX_SHOWN_BYTES + 1));
        assert!(shown(&long, &names).is_err());
    }
}
