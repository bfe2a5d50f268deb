//! A request's head: facts in one spelling, the same for the gate and the app, or 400.

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request};
use tollgate_runtime::doors::{facts, read_path};
use tollgate_runtime::{Client, FailureMode, HostPattern, Peer, Route};

/// Reads a head as an HTTP/1 client would write it: `METHOD target`, then `name: value` lines.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    if let Ok(path) = std::str::from_utf8(first) {
        one_spelling(path);
    }
    let Some(parts) = head(first, lines) else { return };
    for tls in [false, true] {
        let peer = Peer { address: [203, 0, 113, 7].into(), tls };
        let Ok((seen, given)) = facts(parts.clone(), &peer, &route(), &clients()) else { continue };
        assert_path(&seen.path);
        assert!(!seen.host.is_empty() && seen.host.len() <= 255);
        assert!(
            !seen.host.ends_with('.') && !seen.host.bytes().any(|b| b.is_ascii_uppercase()),
            "{}",
            seen.host
        );
        // The app sees what the gate sees.
        assert_eq!(given.uri.path(), seen.path);
        assert_eq!(given.uri.host(), Some(seen.host.as_str()));
        assert_eq!(given.uri.query(), seen.query.as_deref());
        assert_eq!(given.uri.scheme_str(), Some(if tls { "https" } else { "http" }));
        assert_eq!(given.method.as_str(), seen.method);
        clean(&given.headers);
        for (name, value) in &seen.headers {
            assert!(["accept", "x-shown"].contains(&name.as_str()), "{name}");
            assert!(value.len() <= 3 * (8 << 10), "a value in normal form C is at most three times as long");
        }
        assert!(seen.headers.len() <= 64);
        assert!(seen.actor.id == "anonymous" || seen.actor.id == "ada");
        // Once read, it reads the same.
        let mut again = parts.clone();
        again.uri = given.uri.clone();
        again.headers.remove("host");
        let (same, _) = facts(again, &peer, &route(), &clients()).expect("a request in one spelling");
        assert_eq!((&same.host, &same.path, &same.query), (&seen.host, &seen.path, &seen.query));
        assert_eq!(same.headers, seen.headers);
    }
}

fn one_spelling(path: &str) {
    if let Ok(once) = read_path(path) {
        assert_path(&once);
        assert_eq!(read_path(&once).as_deref(), Ok(once.as_str()));
    }
}

fn assert_path(path: &str) {
    assert!(path.starts_with('/') && path.len() <= 8 << 10, "{path}");
    assert!(!path.contains("//"), "{path}");
    assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path}");
    let upper = path.to_ascii_uppercase();
    for second in ["%2F", "%5C", "%00", "%0A", "%2E", "%41", "%7E", "\\"] {
        assert!(!upper.contains(second), "{second} in {path}");
    }
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
}

/// Nothing of the client's connection, and nothing that only the host writes.
fn clean(headers: &http::HeaderMap) {
    for name in headers.keys() {
        let name = name.as_str();
        assert!(!name.starts_with("tollgate-"), "{name}");
        assert!(!name.starts_with("x-forwarded-") && name != "forwarded" && name != "x-real-ip", "{name}");
        assert!(
            !["connection", "te", "trailer", "transfer-encoding", "upgrade", "keep-alive"].contains(&name)
        );
    }
}

fn head<'a>(first: &[u8], lines: impl Iterator<Item = &'a [u8]>) -> Option<http::request::Parts> {
    let space = first.iter().position(|byte| *byte == b' ')?;
    let (method, target) = first.split_at(space);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = target.get(1..)?.try_into().ok()?;
    for line in lines.filter(|line| !line.is_empty()).take(100) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request.into_parts().0)
}

fn route() -> Route {
    let name = |text| tollgate_runtime::Name::new(text).unwrap();
    Route {
        tenant: name("acme"),
        name: name("web"),
        host: HostPattern::Any,
        path: String::new(),
        methods: Vec::new(),
        app_name: name("web"),
        app: None,
        headers: vec![HeaderName::from_static("x-shown"), HeaderName::from_static("accept")],
        failure: FailureMode::Closed,
    }
}

fn clients() -> Vec<Client> {
    let token_sha256 = *tollgate_trust::Sha256::of(b"secret").as_bytes();
    vec![Client { name: tollgate_runtime::Name::new("ada").unwrap(), token_sha256, groups: Vec::new() }]
}
