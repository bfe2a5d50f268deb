//! What the gate may know of a request: made here, once, in one spelling.

use crate::bindings::{Actor, ActorKind, Facts};
use crate::route::{Client, Route};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Uri};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use unicode_normalization::UnicodeNormalization;

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 8 << 10;

/// How many values of shown headers there may be, and how long each. A request with more is refused: a rule that saw
/// a part would be no rule.
const MAX_SHOWN_HEADERS: usize = 64;
const MAX_SHOWN_BYTES: usize = 8 << 10;

/// Who is at the other end of a connection, as the listener knows it.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The address, without port.
    pub address: IpAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// A request that can't be understood; the text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) &'static str);

/// The host and path of a request, each in one spelling, and the ids that follow it everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) path: String,
    /// What the app gets: scheme, host and port, path and query, all in the spelling that the gate sees.
    pub(crate) uri: Uri,
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) received_at_ns: u64,
}

impl Target {
    /// Reads the target of a request.
    pub(crate) fn of(parts: &Parts, peer: &Peer) -> Result<Self, Unreadable> {
        let (host, port) = host(parts)?;
        let path = path(parts.uri.path())?;
        let query = parts.uri.query();
        if query.is_some_and(|query| !query.is_ascii()) {
            return Err(Unreadable("the query has a character that must be escaped"));
        }
        let uri = Uri::builder()
            .scheme(scheme(peer))
            .authority(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
            .path_and_query(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
            .build()
            .map_err(|_| Unreadable("the target is malformed"))?;
        Ok(Self {
            host,
            path,
            uri,
            request_id: hex::encode(random_id()),
            trace_id: trace_id(&parts.headers).unwrap_or_else(|| hex::encode(random_id())),
            received_at_ns: unix_ns(),
        })
    }
}

fn scheme(peer: &Peer) -> &'static str {
    if peer.tls { "https" } else { "http" }
}

/// The present time, for records.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    // Without a source of randomness the ids would only be less unlike: the time keeps them apart.
    if getrandom::fill(&mut id).is_err() {
        id = u128::from(unix_ns()).to_be_bytes();
    }
    id
}

/// The facts of a request on a route. Its headers are those that the app will get.
pub(crate) fn facts(
    parts: &Parts,
    peer: &Peer,
    target: &Target,
    route: &Route,
    clients: &[Client],
) -> Result<Facts, Unreadable> {
    Ok(Facts {
        request_id: target.request_id.clone(),
        received_at: target.received_at_ns,
        tenant: route.tenant.as_str().into(),
        app: route.app_name.as_str().into(),
        route: route.name.as_str().into(),
        component: route.digest().into(),
        method: parts.method.as_str().into(),
        scheme: scheme(peer).into(),
        host: target.host.clone(),
        path: target.path.clone(),
        query: parts.uri.query().map(str::to_owned),
        client_address: peer.address.to_canonical().to_string(),
        actor: actor(&parts.headers, clients),
        headers: shown(&parts.headers, route)?,
        body_length: parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok()),
        trace_id: target.trace_id.clone(),
    })
}

/// One spelling of the host: lower case, ASCII, without final dot; and the port, if there is one. A request has one
/// host: HTTP/2's authority and the `host` header must not disagree (RFC 9110, section 7.2).
fn host(parts: &Parts) -> Result<(String, Option<u16>), Unreadable> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = hosts
        .next()
        .map(|value| value.to_str().map_err(|_| Unreadable("the host is not ASCII")))
        .transpose()?;
    if hosts.next().is_some() {
        return Err(Unreadable("there is more than one host"));
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let text = match (authority, header) {
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => {
            return Err(Unreadable("the host and the authority disagree"));
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(Unreadable("there is no host")),
    };
    let authority: Authority = text.parse().map_err(|_| Unreadable("the host is malformed"))?;
    if text.contains('@') {
        return Err(Unreadable("the host has user information"));
    }
    let name = authority.host();
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    // With an empty label (`a..b`, or a second final dot) it is no name, and could be spelt in more than one way.
    if name.split('.').any(str::is_empty) || name.len() > 255 {
        return Err(Unreadable("the host is malformed"));
    }
    Ok((name, authority.port_u16()))
}

/// One spelling of the path (RFC 3986, section 6.2.2): unreserved characters decoded, escapes in upper case, dot
/// segments and empty segments removed, no escaped slash. The app gets this spelling too, so that the gate and the app never see different paths.
pub(crate) fn path(text: &str) -> Result<String, Unreadable> {
    if text.len() > MAX_PATH_BYTES {
        return Err(Unreadable("the path is too long"));
    }
    if !text.starts_with('/') {
        return Err(Unreadable("the path does not begin with a slash"));
    }
    let mut plain = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(Unreadable("the path has a malformed escape"));
                };
                push_decoded(&mut plain, (high * 16 + low) as u8)?;
            }
            b'\\' => return Err(Unreadable("the path has a backslash")),
            0x21..=0x7e => plain.push(char::from(byte)),
            _ => return Err(Unreadable("the path has a character that must be escaped")),
        }
    }
    Ok(without_dot_segments(&plain))
}

fn push_decoded(plain: &mut String, byte: u8) -> Result<(), Unreadable> {
    match byte {
        0..=0x1f | 0x7f => Err(Unreadable("the path has a control character")),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            plain.push(char::from(byte));
            Ok(())
        }
        // Second ways to write a slash: a rule for `/admin/` would not see them, and the app might.
        b'\\' => Err(Unreadable("the path has a backslash")),
        b'/' => Err(Unreadable("the path has an escaped slash")),
        _ => {
            plain.push_str(&format!("%{byte:02X}"));
            Ok(())
        }
    }
}

/// RFC 3986, section 5.2.4; and several slashes in a row are one, as most servers have it.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/').skip(1) {
        ends_in_directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_directory || out.is_empty() {
        out.push('/');
    }
    out
}

/// The trace id of a W3C `traceparent` header, if it is well formed and only one.
fn trace_id(headers: &HeaderMap) -> Option<String> {
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

/// Who asks, by the bearer token (RFC 6750). A token that the tenant does not know may be meant for the app, so it
/// makes the caller anonymous and not refused.
fn actor(headers: &HeaderMap, clients: &[Client]) -> Actor {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let client = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|text| Client::known(clients, text)),
        _ => None,
    };
    match client {
        Some(client) => Actor {
            id: client.name.as_str().into(),
            kind: ActorKind::Client,
            groups: client.groups.iter().map(|group| group.as_str().into()).collect(),
        },
        None => Actor { id: "anonymous".into(), kind: ActorKind::Anonymous, groups: Vec::new() },
    }
}

/// The headers that the route's policies may see: all of them, whole, in normal form C.
fn shown(headers: &HeaderMap, route: &Route) -> Result<Vec<(String, String)>, Unreadable> {
    let mut shown = Vec::new();
    for name in &route.headers {
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
    use proptest::prelude::*;

    #[test]
    fn two_ways_to_write_a_path_become_one() {
        for (written, one) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/%61", "/a"),
            ("/%2e%2e/x", "/x"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a%3fb", "/a%3Fb"),
            ("/a//b///c", "/a/b/c"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/../../x", "/x"),
            ("//a", "/a"),
        ] {
            assert_eq!(path(written).unwrap(), one, "{written}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_refused() {
        for bad in ["", "a", "/%", "/%0", "/%zz", "/%00", "/a\\b", "/%5c", "/a%2fb", "/a b", "/ä"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    fn parts(build: http::request::Builder) -> Parts {
        build.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_has_one_spelling() {
        for (written, one) in
            [("A.Example", "a.example"), ("a.example:80", "a.example"), ("a.example.", "a.example")]
        {
            assert_eq!(host(&parts(http::Request::get("/").header(HOST, written))).unwrap().0, one);
        }
    }

    #[test]
    fn two_hosts_none_malformed_or_disagreeing_ones_are_refused() {
        assert!(host(&parts(http::Request::get("/"))).is_err());
        assert!(host(&parts(http::Request::get("/").header(HOST, "a").header(HOST, "a"))).is_err());
        assert!(host(&parts(http::Request::get("http://a/").header(HOST, "b"))).is_err());
        for bad in ["u@a", ".", "..", "a..", "a..b", ".a"] {
            assert!(host(&parts(http::Request::get("/").header(HOST, bad))).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_well_formed_trace_id_is_taken_over() {
        let good = "0af7651916cd43dd8448eb211c80319c";
        let with =
            |value: String| trace_id(&parts(http::Request::get("/").header("traceparent", value)).headers);
        assert_eq!(with(format!("00-{good}-b7ad6b7169203331-01")).as_deref(), Some(good));
        assert_eq!(with(format!("ff-{good}-b7ad6b7169203331-01")), None);
        assert_eq!(with(format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))), None);
        assert_eq!(with(format!("00-{}-b7ad6b7169203331-01", good.to_uppercase())), None);
    }

    proptest! {
        #[test]
        fn a_path_is_normal_after_one_pass(text in "/[a-z%0-9A-F./]{0,40}") {
            if let Ok(once) = path(&text) {
                prop_assert_eq!(path(&once), Ok(once.clone()));
                prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
            }
        }
    }
}
