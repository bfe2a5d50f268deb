//! What a deployer asks of the network, and the addresses that it may ask.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Sends requests: the seam to whatever has sockets.
pub trait Web: Send + Sync {
    /// Sends one request and reads the whole answer. The connection goes to `at` if that is given, whatever the name
    /// in the request resolves to; the certificate must be for the name. No redirect is followed.
    fn send(
        &self,
        request: Request<Bytes>,
        at: Option<IpAddr>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Response<Bytes>, Unreachable>>;
}

/// There is no answer. Whether the request got there is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// Where requests go: `https`, or this machine. Tokens and clients' requests don't go over a network in clear text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    base: String,
}

/// A text that is no [`Site`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// It is no URL of that kind.
    #[error("write an address such as \"https://shop.example.com\", without `?`, `#` or a user")]
    Shape,
    /// It is in clear text and elsewhere.
    #[error("`http` is for this machine alone (127.0.0.1, [::1]): write `https`")]
    Clear,
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let uri: Uri = text.parse().map_err(|_| SiteError::Shape)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(SiteError::Shape);
        };
        if uri.query().is_some() || text.contains('#') || authority.as_str().contains('@') {
            return Err(SiteError::Shape);
        }
        let host = authority.host().trim_matches(['[', ']']);
        let near = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match scheme {
            "https" => {}
            "http" if near => {}
            "http" => return Err(SiteError::Clear),
            _ => return Err(SiteError::Shape),
        }
        Ok(Self { base: text.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl Site {
    /// The address of something there; `path` begins with `/`.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The name of the host.
    pub(crate) fn host(&self) -> String {
        let uri: Option<Uri> = self.base.parse().ok();
        uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_stays_on_this_machine() {
        for good in ["https://api.fastly.com", "http://127.0.0.1:9000/client/v4", "http://[::1]:1/"] {
            assert!(good.parse::<Site>().is_ok(), "{good}");
        }
        for clear in ["http://api.fastly.com", "http://127.0.0.1.example.com", "http://10.0.0.1"] {
            assert_eq!(clear.parse::<Site>(), Err(SiteError::Clear), "{clear}");
        }
        for bad in ["ftp://a.b", "api.fastly.com", "https://a@b.c", "https://a.b?c", "https://a.b#c", ""] {
            assert_eq!(bad.parse::<Site>(), Err(SiteError::Shape), "{bad}");
        }
    }

    #[test]
    fn paths_are_joined_with_one_slash() {
        let site: Site = "https://shop.example.com/".parse().unwrap();
        assert_eq!(site.join("/hello"), "https://shop.example.com/hello");
        assert_eq!(site.host(), "shop.example.com");
    }
}
