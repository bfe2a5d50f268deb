//! Verification: bytes, an envelope and a trust root in; the same bytes out, as [`Verified`].

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;
use jiff::Timestamp;

use crate::digest::{Blake3, Sha256};
use crate::envelope::{Envelope, EnvelopeError};
use crate::package::PackageName;
use crate::root::{KeyName, Rule, TrustRoot, TrustedKey};
use crate::statement::{Mismatch, Release, Statement, StatementError};
use crate::text::listed;
use crate::validity::Validity;

/// A component that may be loaded: the bytes that were checked, and what their signers said of them.
///
/// Invariant: made only by [`verify`], and it owns the bytes, so that what is loaded is what was verified
/// and no file is read twice.
#[derive(Clone)]
pub struct Verified {
    bytes: Bytes,
    sha256: Sha256,
    blake3: Blake3,
    release: Release,
    signers: Vec<KeyName>,
    envelope: Envelope,
}

impl Verified {
    /// The component's bytes. Cloning the handle does not copy them.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Their sha256, as the statement has it.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Their blake3, for our own stores and caches.
    #[must_use]
    pub fn blake3(&self) -> Blake3 {
        self.blake3
    }

    /// What was signed of them.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// What they were signed with, to be asked about again when whom one trusts has changed: see [`still_trusted`].
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The keys whose signatures counted, sorted by name: at least as many as the threshold.
    #[must_use]
    pub fn signers(&self) -> &[KeyName] {
        &self.signers
    }
}

/// Shows everything but the bytes.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("sha256", &self.sha256)
            .field("release", &self.release)
            .field("signers", &self.signers)
            .finish_non_exhaustive()
    }
}

/// Why a component may not be loaded. Exhaustive on purpose: a new reason must be handled everywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no envelope.
    #[error(
        "it is not signed, there is no `{envelope}`: sign it with `tollgate sign {component} --key KEY --package NAMESPACE:NAME@VERSION`"
    )]
    Unsigned {
        /// The component file.
        component: PathBuf,
        /// Where its envelope would be.
        envelope: PathBuf,
    },
    /// The envelope or its statement cannot be read.
    #[error("its signature cannot be read: sign it again with `tollgate sign`")]
    Malformed(#[source] Malformed),
    /// No key of the trust file made any of the signatures.
    #[error(
        "none of its {signatures} signatures matches a key of the trust file: its signer is not trusted, or the envelope was changed; add the signer's public key to the trust file, or sign again with a key that is in it"
    )]
    Untrusted {
        /// How many signatures the envelope holds.
        signatures: usize,
    },
    /// Trusted keys signed, and none of them may sign this package.
    #[error(
        "package `{package}` is signed by {}, which may not sign it: {}",
        listed(signers),
        to_allow(package, allowed)
    )]
    NotAllowed {
        /// The package.
        package: PackageName,
        /// Who signed.
        signers: Vec<KeyName>,
        /// Who may sign it; nobody when the trust file has no rule for it.
        allowed: Vec<KeyName>,
    },
    /// Too few different keys signed.
    #[error(
        "package `{package}` needs signatures by {need} different keys and has {have} ({}): add one by {} with `tollgate sign`",
        listed(signers),
        listed(missing)
    )]
    BelowThreshold {
        /// The package.
        package: PackageName,
        /// How many keys signed that may.
        have: usize,
        /// How many the trust file asks for.
        need: usize,
        /// Those that signed.
        signers: Vec<KeyName>,
        /// Those that could.
        missing: Vec<KeyName>,
    },
    /// The release, or a key that is needed, does not count at this time.
    #[error("{what} is {validity}, and now is {now}: {}", to_renew(what))]
    OutsideValidity {
        /// What does not count.
        what: Limited,
        /// When it would.
        validity: Validity,
        /// The time that was asked about.
        now: Timestamp,
    },
    /// The bytes are not those that were signed.
    #[error(
        "the file was changed after it was signed: `{subject}` was signed with {} `{}`, and the file has `{}`; put the signed file back, or sign this one",
        mismatch.algorithm, mismatch.signed, mismatch.found
    )]
    Changed {
        /// What was signed, `namespace:name@version`.
        subject: String,
        /// The digests that differ.
        mismatch: Mismatch,
    },
}

impl Refused {
    /// A short name for logs and metrics; it never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsigned { .. } => "unsigned",
            Self::Malformed(_) => "malformed-signature",
            Self::Untrusted { .. } => "untrusted-signer",
            Self::NotAllowed { .. } => "signer-not-allowed",
            Self::BelowThreshold { .. } => "below-threshold",
            Self::OutsideValidity { .. } => "outside-validity",
            Self::Changed { .. } => "changed-after-signing",
        }
    }
}

/// What could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The statement in it. A trusted key did sign it.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl From<EnvelopeError> for Refused {
    fn from(error: EnvelopeError) -> Self {
        Self::Malformed(error.into())
    }
}

/// Something that counts for a limited time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limited {
    /// A key of the trust file.
    Key(KeyName),
    /// A release, by the name of its subject.
    Release(String),
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key `{name}`"),
            Self::Release(subject) => write!(f, "release `{subject}`"),
        }
    }
}

fn to_allow(package: &PackageName, allowed: &[KeyName]) -> String {
    if allowed.is_empty() {
        let namespace = package.namespace();
        return format!("add a `[[packages]]` entry for `{package}` or `{namespace}:*` to the trust file");
    }
    format!("have it signed by {}, or list the key for this package in the trust file", listed(allowed))
}

fn to_renew(what: &Limited) -> &'static str {
    match what {
        Limited::Key(_) => "sign with a key that is valid now, or correct the clock or the trust file",
        Limited::Release(_) => "sign it again for a time that includes now, or correct the clock",
    }
}

/// Checks that `component` may be loaded at the time `now`, and hands it out as [`Verified`].
///
/// In this order: who signed these very payload bytes; what they said; whether they may say it of this
/// package, with enough different keys that are valid now; whether the release is valid now; whether the
/// component has the digests that were signed. `keyid`s are hints that anyone can write, so none is read.
///
/// # Errors
/// [`Refused`] says why not, and what to do.
pub fn verify(
    component: impl Into<Bytes>,
    envelope: &Envelope,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<Verified, Refused> {
    let bytes = component.into();
    let (statement, signers) = examine(envelope, root, now)?;
    let (sha256, blake3) = statement
        .match_bytes(&bytes)
        .map_err(|mismatch| Refused::Changed { subject: statement.release.subject(), mismatch })?;
    let (release, envelope) = (statement.release, envelope.clone());
    Ok(Verified { bytes, sha256, blake3, release, signers, envelope })
}

/// Whether what was loaded with this envelope may still be, by this trust root and at this time. Its bytes are those
/// that were verified then, so they are not needed again.
///
/// # Errors
/// Why it may not.
pub fn still_trusted(envelope: &Envelope, root: &TrustRoot, now: Timestamp) -> Result<(), Refused> {
    examine(envelope, root, now).map(drop)
}

/// What enough keys that may say so say.
fn examine(
    envelope: &Envelope,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<(Statement, Vec<KeyName>), Refused> {
    let signed_by = signing_keys(envelope, root);
    if signed_by.is_empty() {
        return Err(Refused::Untrusted { signatures: envelope.signatures().len() });
    }
    let statement = Statement::parse(envelope.payload()).map_err(|error| Refused::Malformed(error.into()))?;
    let package = &statement.release.package;
    let rule = root.rule_for(package);
    let signers = count_signers(package, rule, &signed_by, now)?;
    let validity = statement.release.validity();
    if !validity.contains(now) {
        let what = Limited::Release(statement.release.subject());
        return Err(Refused::OutsideValidity { what, validity, now });
    }
    Ok((statement, signers))
}

/// The keys of the trust file that signed the envelope, each once, in the order of the file.
fn signing_keys<'a>(envelope: &Envelope, root: &'a TrustRoot) -> Vec<&'a TrustedKey> {
    let message = envelope.pae();
    let signed = |key: &&TrustedKey| {
        envelope.signatures().iter().any(|signature| key.key.verifies(&message, &signature.sig))
    };
    root.keys().iter().filter(signed).collect()
}

/// The names of the keys that signed, may sign this package and are valid now, when they are enough.
fn count_signers(
    package: &PackageName,
    rule: Option<&Rule>,
    signed_by: &[&TrustedKey],
    now: Timestamp,
) -> Result<Vec<KeyName>, Refused> {
    let allowed = |key: &&&TrustedKey| rule.is_some_and(|rule| rule.keys.contains(&key.name));
    let (valid, stale): (Vec<&TrustedKey>, Vec<&TrustedKey>) =
        signed_by.iter().filter(allowed).partition(|key| key.validity.contains(now));
    let rule = match rule {
        Some(rule) if !(valid.is_empty() && stale.is_empty()) => rule,
        _ => {
            return Err(Refused::NotAllowed {
                package: package.clone(),
                signers: signed_by.iter().map(|key| key.name.clone()).collect(),
                allowed: rule.map(|rule| rule.keys.clone()).unwrap_or_default(),
            });
        }
    };
    // A set: whatever the envelope repeats, a key counts once.
    let names: BTreeSet<&KeyName> = valid.iter().map(|key| &key.name).collect();
    if names.len() >= rule.threshold {
        return Ok(names.into_iter().cloned().collect());
    }
    match stale.first() {
        Some(key) => Err(Refused::OutsideValidity {
            what: Limited::Key(key.name.clone()),
            validity: key.validity,
            now,
        }),
        None => Err(Refused::BelowThreshold {
            package: package.clone(),
            have: names.len(),
            need: rule.threshold,
            missing: rule.keys.iter().filter(|key| !names.contains(key)).cloned().collect(),
            signers: names.into_iter().cloned().collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
