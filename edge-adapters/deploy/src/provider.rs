//! What every platform can do, in words that fit all of them.

use crate::artifact::Artifact;
use crate::web::Unreachable;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tollgate_trust::Sha256;
use zeroize::Zeroizing;

/// A platform, at one place there: one worker, one service.
pub trait Provider {
    /// Whether two versions can share the traffic.
    const GRADUAL: bool;

    /// What is there.
    fn look(&self) -> impl Future<Output = Result<Standing, ProviderError>>;

    /// The version that an artifact is: the one that is there, or else one that is made now. Where there is nothing
    /// yet, making it may give it all traffic. Says whether something was uploaded.
    fn upload(
        &self,
        artifact: &Artifact,
        secrets: &[Secret],
        standing: &Standing,
    ) -> impl Future<Output = Result<(Version, bool), ProviderError>>;

    /// Makes a version reachable that no client gets; none where the platform can't. Where traffic can be shared,
    /// it has a share of 0 already.
    fn preview(&self, version: &Version) -> impl Future<Output = Result<Option<Preview>, ProviderError>>;

    /// How a version is reached that has traffic.
    fn reach(&self, version: &Version) -> Preview;

    /// Shares traffic out.
    fn shift(&self, traffic: &Traffic) -> impl Future<Output = Result<(), ProviderError>>;
}

/// A place that keeps secrets for what runs there. Their values can't be read back.
pub trait Vault {
    /// Sets a secret.
    fn put(&self, secret: &Secret) -> impl Future<Output = Result<(), ProviderError>>;

    /// The names of the secrets that are set.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, ProviderError>>;
}

/// A version, by the platform's own name of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who answers clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Traffic {
    /// Nothing was ever deployed.
    Nothing,
    /// One version.
    All(Version),
    /// Two: `percent` of all requests go to the new one.
    Shared {
        /// The one that was there before.
        old: Version,
        /// The one that is tried.
        new: Version,
        /// From 0 to 99.
        percent: u8,
    },
}

impl Traffic {
    /// Whether it is the same, in whichever order a platform names the two.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.shares() == other.shares()
    }

    /// Whether a version has a part in it, be it 0 %.
    pub(crate) fn has(&self, version: &Version) -> bool {
        self.shares().iter().any(|(other, _)| *other == version)
    }

    fn shares(&self) -> Vec<(&Version, u8)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::All(version) => vec![(version, 100)],
            Self::Shared { old, new, percent } => {
                let mut both = vec![(old, 100_u8.saturating_sub(*percent)), (new, *percent)];
                both.sort();
                both
            }
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::All(version) => write!(f, "version {version}"),
            Self::Shared { old, new, percent } => {
                write!(f, "version {old}, and version {new} at {percent} %")
            }
        }
    }
}

/// What a platform says of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who answers.
    pub traffic: Traffic,
    /// Who had all traffic before, where the platform remembers it.
    pub before: Option<Version>,
    /// The versions that could, newest first.
    pub known: Vec<Known>,
}

impl Standing {
    /// Whether a version is this artifact.
    pub(crate) fn is(&self, version: &Version, key: Option<Sha256>) -> bool {
        key.is_some() && self.known.iter().any(|known| known.version == *version && known.key == key)
    }

    /// The newest version that is this artifact.
    pub(crate) fn version_of(&self, key: &Sha256) -> Option<&Version> {
        self.known.iter().find(|known| known.key.as_ref() == Some(key)).map(|known| &known.version)
    }
}

/// A version that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The platform's name of it.
    pub version: Version,
    /// The artifact that it is, so far as that can be relied on; none for what somebody else made.
    pub key: Option<Sha256>,
    /// When it was made, in the platform's words.
    pub made: Option<String>,
}

/// How to reach one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Headers to send.
    pub headers: HeaderMap,
    /// The address to connect to, whatever the name resolves to.
    pub at: Option<IpAddr>,
    /// A header of every answer of that version. Without it, another version has answered.
    pub proof: Option<(HeaderName, HeaderValue)>,
}

/// A secret of the code that runs there.
#[derive(Clone)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Zeroizing<String>,
}

/// Why a platform did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No answer came. The request may have been done.
    #[error("{api} can't be reached")]
    Unreachable {
        /// Which API.
        api: String,
        /// Why.
        source: Unreachable,
    },
    /// It wants to be asked later. The request was not done.
    #[error("{api} takes no more requests at the moment")]
    Busy {
        /// Which API.
        api: String,
        /// After how long; none when it did not say.
        wait: Option<Duration>,
    },
    /// It has a fault of its own. The request may have been done.
    #[error("{api} has a fault (status {status}): {said}")]
    Unwell {
        /// Which API.
        api: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The token is not one for this.
    #[error(
        "{api} refuses the token (status {status}): make one that may change this place, and set {variable} or `token-file`"
    )]
    Denied {
        /// Which API.
        api: String,
        /// The status.
        status: u16,
        /// The variable that tokens for it are in.
        variable: &'static str,
    },
    /// It will not do that.
    #[error("{api} refuses it (status {status}{}): {said}", .code.map(|code| format!(", code {code}")).unwrap_or_default())]
    Refused {
        /// Which API.
        api: String,
        /// The status.
        status: u16,
        /// The platform's own number for it.
        code: Option<u64>,
        /// What it said.
        said: String,
    },
    /// Its answer is not what was agreed.
    #[error("the answer of {api} can't be read: {reason}")]
    Unreadable {
        /// Which API.
        api: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What is to be deployed does not fit what is there.
    #[error("{0}")]
    Unfit(String),
}

impl ProviderError {
    /// How long to wait before it is tried again, if it is worth trying; `before` tries have failed already.
    pub(crate) fn pause(&self, before: u32) -> Option<Duration> {
        let growing = Duration::from_millis(250) * 2_u32.saturating_pow(before.min(8));
        match self {
            Self::Busy { wait, .. } => Some(wait.unwrap_or(growing).min(Duration::from_secs(60))),
            Self::Unreachable { .. } | Self::Unwell { .. } => Some(growing),
            Self::Denied { .. } | Self::Refused { .. } | Self::Unreadable { .. } | Self::Unfit(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_share_are_the_same_in_either_order() {
        let version = |name: &str| Version(name.into());
        let shared = |old, new, percent| Traffic::Shared { old: version(old), new: version(new), percent };
        assert!(shared("a", "b", 10).same(&shared("b", "a", 90)));
        assert!(!shared("a", "b", 10).same(&shared("b", "a", 10)));
        assert!(!Traffic::All(version("a")).same(&Traffic::Nothing));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let api = || "an API".to_owned();
        let busy = |wait| ProviderError::Busy { api: api(), wait };
        assert_eq!(busy(Some(Duration::from_secs(7))).pause(0), Some(Duration::from_secs(7)));
        assert_eq!(busy(Some(Duration::from_secs(7_000))).pause(0), Some(Duration::from_secs(60)));
        assert!(busy(None).pause(1) > busy(None).pause(0));
        let refused =
            ProviderError::Refused { api: api(), status: 400, code: Some(10_211), said: "no".into() };
        assert_eq!(refused.pause(0), None);
        assert_eq!(refused.to_string(), "an API refuses it (status 400, code 10211): no");
    }
}
