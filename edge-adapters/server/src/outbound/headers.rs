//! Header fields on their way out and back: those of one connection stay behind, and `host` names the origin.

use http::HeaderMap;
use http::header::{HOST, HeaderValue};
use tollgate_runtime::{EgressError, Origin, drop_hop_by_hop};

/// A request's fields, ready to go out to this origin.
pub(super) fn for_upstream(headers: &mut HeaderMap, origin: &Origin) -> Result<(), EgressError> {
    drop_hop_by_hop(headers);
    let literal = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let own_port = if origin.tls { 443 } else { 80 };
    let host = if origin.port == own_port { literal } else { format!("{literal}:{}", origin.port) };
    let host =
        HeaderValue::from_str(&host).map_err(|_| EgressError::BadTarget("the host name is malformed"))?;
    headers.insert(HOST, host);
    crate::telemetry::inject(headers);
    Ok(())
}

/// A response's fields, as the guest may see them.
pub(super) fn for_guest(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(uri: &str) -> Origin {
        Origin::of(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn fields_of_one_connection_stay_behind_and_so_do_those_it_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic eA=="),
            ("x-kept", "2"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        for_upstream(&mut headers, &origin("http://a.example/")).unwrap();
        let names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["x-kept", "host"]);
    }

    #[test]
    fn host_is_the_origin_and_never_what_the_guest_wrote() {
        for (uri, host) in [
            ("http://a.example/", "a.example"),
            ("http://a.example:8080/", "a.example:8080"),
            ("https://a.example:443/", "a.example"),
            ("https://a.example:80/", "a.example:80"),
            ("http://[2001:db8::1]:81/", "[2001:db8::1]:81"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(HOST, HeaderValue::from_static("other.example"));
            headers.append(HOST, HeaderValue::from_static("third.example"));
            for_upstream(&mut headers, &origin(uri)).unwrap();
            assert_eq!(headers.get_all(HOST).iter().collect::<Vec<_>>(), [host], "{uri}");
        }
    }
}
