//! What an app may reach: first the name, by an allow-list, then every address that the name resolves to.
//!
//! A name on the list may resolve to this host, to a neighbour or to a cloud's metadata service. So the transport
//! asks [`Egress::address`] about each address before it connects, at every request: a name that is rebound later
//! gains nothing.

use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The outgoing HTTP that one app was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// Which origins may be asked for.
    pub allow: Vec<OriginPattern>,
    /// Networks that may be connected to although they are not public.
    pub networks: Vec<IpNet>,
}

impl Egress {
    /// Whether the allow-list has this origin.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(origin))
    }

    /// Whether this address may be connected to: it is public, or in a granted network.
    pub fn address(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }
}

/// An IPv6 address that only wraps an IPv4 one, unwrapped: mapped, compatible, NAT64 and 6to4.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] => v4(g, h),
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0x2002, high, low, ..] => v4(high, low),
        _ => IpAddr::V6(v6),
    }
}

/// Whether an address is of the public internet, by the IANA special-purpose registries (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = matches!(
                (a, b, c),
                (0 | 10 | 127, ..)
                    | (100, 64..=127, _)
                    | (169, 254, _)
                    | (172, 16..=31, _)
                    | (192, 0, 0 | 2)
                    | (192, 88, 99)
                    | (192, 168, _)
                    | (198, 18..=19, _)
                    | (198, 51, 100)
                    | (203, 0, 113)
                    | (224..=255, ..)
            );
            !special
        }
        // Only 2000::/3 is routed; in it, documentation, benchmarking, ORCHID and Teredo are not for us.
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            a & 0xe000 == 0x2000
                && !(a == 0x2001 && (b == 0 || b == 2 || b == 0xdb8 || (0x10..=0x3f).contains(&b)))
                && !(a == 0x3fff && b < 0x1000)
                && v6 != Ipv6Addr::UNSPECIFIED
        }
    }
}

/// A scheme, host and port that a request asks for, in one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// The host: lower case, ASCII, without brackets or a final dot.
    pub host: String,
    /// The port, also when it is the scheme's own.
    pub port: u16,
}

impl Origin {
    /// The origin of a request's URI. Refuses what has user information, an empty or overlong host, or a host that
    /// is an address in any but its canonical spelling (`0177.1`, `2130706433`, `0x7f.1`, `127.1`).
    pub fn of(uri: &http::Uri) -> Result<Self, EgressError> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(EgressError::BadTarget("the scheme is neither http nor https")),
        };
        let authority = uri.authority().ok_or(EgressError::BadTarget("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(EgressError::BadTarget("the address has user information"));
        }
        let host = parse_host(authority.host())?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') => {
                return Err(EgressError::BadTarget("the port is empty"));
            }
            None => default_port(tls),
        };
        if port == 0 {
            return Err(EgressError::BadTarget("the port is 0"));
        }
        Ok(Self { tls, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// One spelling of a host, or a refusal.
fn parse_host(text: &str) -> Result<String, EgressError> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let v6: Ipv6Addr =
            inner.parse().map_err(|_| EgressError::BadTarget("the IPv6 address is malformed"))?;
        return Ok(v6.to_string());
    }
    let host = text.strip_suffix('.').unwrap_or(text);
    let host = idna::domain_to_ascii_strict(host)
        .map_err(|_| EgressError::BadTarget("the host name is malformed"))?;
    if host.is_empty() {
        return Err(EgressError::BadTarget("the host is empty"));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|c| c.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()));
    if numeric {
        let v4: Ipv4Addr =
            host.parse().map_err(|_| EgressError::BadTarget("the IPv4 address is not in dotted decimal"))?;
        if v4.to_string() != host {
            return Err(EgressError::BadTarget("the IPv4 address is not in dotted decimal"));
        }
    }
    Ok(host)
}

/// One line of an allow-list: `https://api.example.com`, `http://127.0.0.1:9000`, `https://*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    subdomains: bool,
    origin: Origin,
}

impl OriginPattern {
    /// Reads a pattern. A leading `*.` stands for one or more labels; a port that is left out is the scheme's own.
    pub fn parse(text: &str) -> Result<Self, EgressError> {
        let (subdomains, plain) = match text.split_once("://*.") {
            Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
            None => (false, text.to_owned()),
        };
        let uri: http::Uri = plain.parse().map_err(|_| EgressError::BadTarget("it is not a URL"))?;
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") || text.ends_with('/') {
            return Err(EgressError::BadTarget("it has a path: write scheme, host and port only"));
        }
        Ok(Self { subdomains, origin: Origin::of(&uri)? })
    }

    /// The one origin that it stands for; none for a pattern of many.
    pub fn only(&self) -> Option<&Origin> {
        (!self.subdomains).then_some(&self.origin)
    }

    fn matches(&self, origin: &Origin) -> bool {
        let host = if self.subdomains {
            origin
                .host
                .strip_suffix(self.origin.host.as_str())
                .is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
        } else {
            origin.host == self.origin.host
        };
        host && origin.tls == self.origin.tls && origin.port == self.origin.port
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.origin.to_string();
        if self.subdomains { f.write_str(&text.replacen("://", "://*.", 1)) } else { f.write_str(&text) }
    }
}

/// Why an outgoing request had no response. The guest sees the `wasi:http` error code that fits.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The target is written in a way that is not accepted.
    #[error("{0}")]
    BadTarget(&'static str),
    /// The allow-list does not have the origin.
    #[error("`{0}` is not in the app's `http.allow`")]
    NotAllowed(Origin),
    /// Every address of the host is private, and not granted.
    #[error("`{host}` has no address that may be connected to")]
    Prohibited {
        /// The host asked for.
        host: String,
    },
    /// A bound of the plan: requests of one run, or connections of the tenant.
    #[error("the limit of {limit} {what} is reached")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// No answer in time.
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The network or the peer failed.
    #[error(transparent)]
    Http(#[from] HttpFailure),
}

/// A failure in the words of `wasi:http`.
#[derive(Debug)]
pub struct HttpFailure(pub wasmtime_wasi_http::Error);

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for HttpFailure {}

impl From<wasmtime_wasi_http::Error> for EgressError {
    fn from(error: wasmtime_wasi_http::Error) -> Self {
        Self::Http(HttpFailure(error))
    }
}

impl From<EgressError> for wasmtime_wasi_http::Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::BadTarget(_) => Self::HttpRequestUriInvalid,
            EgressError::NotAllowed(_) => Self::HttpRequestDenied,
            EgressError::Prohibited { .. } => Self::DestinationIpProhibited,
            EgressError::Limit { .. } => Self::ConnectionLimitReached,
            EgressError::Timeout("connect") => Self::ConnectionTimeout,
            EgressError::Timeout(_) => Self::HttpResponseTimeout,
            EgressError::Http(HttpFailure(error)) => error,
        }
    }
}

#[cfg(test)]
mod tests;
