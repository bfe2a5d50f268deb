//! The host and path of a request, each in one spelling.

use crate::Unreadable;
use http::Uri;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 8 << 10;

/// What a request is for, in the one spelling that the gate and the app both see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelling {
    /// The host's name: lower case, ASCII, without port and final dot.
    pub host: String,
    /// The path.
    pub path: String,
    /// Scheme, host and port, path and query.
    pub uri: Uri,
}

impl Spelling {
    /// Reads the target of a request that came by this scheme, `http` or `https`.
    ///
    /// # Errors
    /// What could be understood in more than one way.
    pub fn of(parts: &Parts, scheme: &str) -> Result<Self, Unreadable> {
        let (host, port) = host(parts)?;
        let path = path(parts.uri.path())?;
        let query = parts.uri.query();
        if query.is_some_and(|query| !query.is_ascii()) {
            return Err(Unreadable("the query has a character that must be escaped"));
        }
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
            .path_and_query(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
            .build()
            .map_err(|_| Unreadable("the target is malformed"))?;
        Ok(Self { host, path, uri })
    }
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
/// segments and empty segments removed, no escaped slash. The app gets this spelling too, so that the gate and
/// the app never see different paths.
///
/// # Errors
/// What could be understood in more than one way.
pub fn path(text: &str) -> Result<String, Unreadable> {
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
