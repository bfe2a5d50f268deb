//! What a signature says: an in-toto Statement v1 whose subject is one component and whose predicate
//! describes one release of one package.
//!
//! Readers must ignore fields that they do not know (in-toto, "monotonic" parsing), so a later release of
//! ours may say more. Known fields are read strictly: no duplicates, no `null`, no other type.

use std::fmt;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::{Blake3, Sha256};
use crate::json::{Object, present};
use crate::package::PackageName;
use crate::text::{rfc3339, shown};
use crate::validity::Validity;

/// `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of our release predicate.
pub const PREDICATE_TYPE: &str = "https://tollgate.dev/attestations/component-release/v1";
/// Most imports that a release may list.
pub const MAX_IMPORTS: usize = 1024;
/// Longest name of a world or an import, and longest version, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Greatest sequence number: 2^53 - 1, the greatest integer that every JSON reader keeps exact (RFC 7493).
pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// One release of one package, as its signers vouch for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The package, `namespace:name`.
    pub package: PackageName,
    /// The package's version.
    pub version: Version,
    /// The world that the component was built for, such as `wasi:http/service@0.3.0`.
    pub world: String,
    /// What the component imports, sorted, each name once.
    pub imports: Vec<String>,
    /// The first instant at which the release may be loaded.
    pub not_before: Timestamp,
    /// The last instant at which it may be loaded; absent means that it does not expire by itself.
    pub not_after: Option<Timestamp>,
    /// Grows with each release of a package, so that an old one cannot be passed off as the newest.
    pub sequence: u64,
    /// The statement that this one takes the place of: sha256 of its payload bytes. Not of its envelope
    /// file, which changes when a second signer signs.
    pub supersedes: Option<Sha256>,
}

impl Release {
    /// The span in which the release may be loaded.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity { not_before: Some(self.not_before), not_after: self.not_after }
    }

    /// The name of the release as the statement's subject: `namespace:name@version`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    /// Checks what the types of the fields cannot hold.
    pub(crate) fn check(&self) -> Result<(), StatementError> {
        let field = |field, value: &dyn fmt::Display, want| {
            Err(StatementError::Field { field, value: shown(&value.to_string()), want })
        };
        if self.version.to_string().len() > MAX_NAME_BYTES {
            return field("version", &self.version, "a version of at most 256 bytes");
        }
        if !is_extern_name(&self.world) {
            return field("world", &self.world, NAME_FORM);
        }
        if self.imports.len() > MAX_IMPORTS {
            return field(
                "imports",
                &format!("{} names", self.imports.len()),
                "a list of at most 1024 names",
            );
        }
        if let Some(import) = self.imports.iter().find(|import| !is_extern_name(import)) {
            return field("imports", import, NAME_FORM);
        }
        if let Some([_, second]) = self.imports.windows(2).find(|pair| matches!(pair, [a, b] if a >= b)) {
            return field("imports", second, "a sorted list that holds each name once");
        }
        for (name, time) in [("notBefore", Some(self.not_before)), ("notAfter", self.not_after)] {
            if let Some(time) = time
                && rfc3339(&time.to_string()) != Some(time)
            {
                return field(name, &time, TIME_FORM);
            }
        }
        if self.validity().is_empty() {
            return field(
                "notAfter",
                &self.not_after.unwrap_or_default(),
                "a time that is not before `notBefore`",
            );
        }
        if self.sequence > MAX_SEQUENCE {
            return field("sequence", &self.sequence, "a number of at most 9007199254740991");
        }
        Ok(())
    }
}

const NAME_FORM: &str = "a name of 1 to 256 printable ASCII characters";
const TIME_FORM: &str = "a time such as `2026-11-21T10:00:00Z` (RFC 3339)";

fn is_extern_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A statement cannot be read, or a release cannot be stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The payload is not the JSON that it should be.
    #[error("statement is not well-formed: {detail}")]
    Json {
        /// What the JSON reader found, and where.
        detail: String,
    },
    /// The statement, or its predicate, is of another kind.
    #[error("statement has `{field}` `{found}`, and only `{expected}` is understood")]
    Kind {
        /// The field that names the kind.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// The statement's subjects do not name the one component that the predicate describes.
    #[error("statement has {found}, and it must have one subject, `{expected}`, as its predicate says")]
    Subject {
        /// The subjects found.
        found: String,
        /// The only subject that would fit.
        expected: String,
    },
    /// A field holds what it may not hold.
    #[error("statement has `{field}` `{value}`, and it must be {want}")]
    Field {
        /// The field's name in the JSON.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it must hold.
        want: &'static str,
    },
}

/// A checked statement: a release, and the digests of the component that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What is said of the component.
    pub release: Release,
    /// Names the component. This digest decides.
    pub sha256: Sha256,
    /// Names it once more; where it is present, it must match as well.
    pub blake3: Option<Blake3>,
}

impl Statement {
    /// Reads and checks a payload.
    ///
    /// # Errors
    /// [`StatementError`] says which field is wrong and what it must be.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let kinds: Object<RawKinds> = from_json(payload)?;
        expect_kind("_type", &kinds.0.kind, STATEMENT_TYPE)?;
        expect_kind("predicateType", &kinds.0.predicate_type, PREDICATE_TYPE)?;
        let Object(raw) = from_json::<Object<RawStatement>>(payload)?;
        let release = raw.predicate.0.check()?;
        let expected = release.subject();
        let subject = match raw.subject.as_slice() {
            [Object(only)] if only.name == expected => only,
            [Object(other)] => {
                let found = format!("the subject `{}`", shown(&other.name));
                return Err(StatementError::Subject { found, expected });
            }
            several => {
                let found = format!("{} subjects", several.len());
                return Err(StatementError::Subject { found, expected });
            }
        };
        let RawDigests { sha256, blake3 } = &subject.digest.0;
        Ok(Self { release, sha256: digest("sha256", sha256)?, blake3: optional(digest, "blake3", blake3)? })
    }

    /// Writes the statement as JSON, always the same bytes for the same statement.
    ///
    /// # Errors
    /// [`StatementError`] when the release holds what no reader would take.
    pub fn to_json(&self) -> Result<Vec<u8>, StatementError> {
        self.release.check()?;
        let release = &self.release;
        let digest = RawDigests {
            sha256: self.sha256.to_string(),
            blake3: self.blake3.map(|digest| digest.to_string()),
        };
        let predicate = RawPredicate {
            package: release.package.to_string(),
            version: release.version.to_string(),
            world: release.world.clone(),
            imports: release.imports.clone(),
            not_before: release.not_before.to_string(),
            not_after: release.not_after.map(|time| time.to_string()),
            sequence: release.sequence,
            supersedes: release.supersedes.map(|digest| digest.to_string()),
        };
        let statement = RawStatement {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Object(RawSubject { name: release.subject(), digest: Object(digest) })],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Object(predicate),
        };
        serde_json::to_vec(&statement).map_err(|error| StatementError::Json { detail: error.to_string() })
    }
}

/// The bytes at hand are not those that were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The digest's algorithm, `sha256` or `blake3`.
    pub algorithm: &'static str,
    /// What the statement says.
    pub signed: String,
    /// What the bytes have.
    pub found: String,
}

impl Statement {
    /// Computes both digests of `component` and compares them with the statement's: sha256 decides, and
    /// blake3, where the statement has it, must match as well.
    ///
    /// # Errors
    /// [`Mismatch`] names the first digest that differs.
    pub fn match_bytes(&self, component: &[u8]) -> Result<(Sha256, Blake3), Mismatch> {
        let (sha256, blake3) = (Sha256::of(component), Blake3::of(component));
        if sha256 != self.sha256 {
            let (signed, found) = (self.sha256.to_string(), sha256.to_string());
            return Err(Mismatch { algorithm: "sha256", signed, found });
        }
        if let Some(signed) = self.blake3.filter(|signed| *signed != blake3) {
            let (signed, found) = (signed.to_string(), blake3.to_string());
            return Err(Mismatch { algorithm: "blake3", signed, found });
        }
        Ok((sha256, blake3))
    }
}

fn from_json<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, StatementError> {
    serde_json::from_slice(payload)
        .map_err(|error| StatementError::Json { detail: shown(&error.to_string()) })
}

fn expect_kind(field: &'static str, found: &str, expected: &'static str) -> Result<(), StatementError> {
    if found == expected {
        return Ok(());
    }
    Err(StatementError::Kind { field, found: shown(found), expected })
}

fn digest<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, StatementError> {
    let want = "64 lower-case hexadecimal digits";
    text.parse().map_err(|_| StatementError::Field { field, value: shown(text), want })
}

fn time(field: &'static str, text: &str) -> Result<Timestamp, StatementError> {
    rfc3339(text).ok_or_else(|| StatementError::Field { field, value: shown(text), want: TIME_FORM })
}

fn optional<T>(
    read: impl Fn(&'static str, &str) -> Result<T, StatementError>,
    field: &'static str,
    text: &Option<String>,
) -> Result<Option<T>, StatementError> {
    text.as_deref().map(|text| read(field, text)).transpose()
}

#[derive(Deserialize)]
struct RawKinds {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Serialize, Deserialize)]
struct RawStatement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Object<RawSubject>>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Object<RawPredicate>,
}

#[derive(Serialize, Deserialize)]
struct RawSubject {
    name: String,
    digest: Object<RawDigests>,
}

#[derive(Serialize, Deserialize)]
struct RawDigests {
    sha256: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPredicate {
    package: String,
    version: String,
    world: String,
    imports: Vec<String>,
    not_before: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    sequence: u64,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    supersedes: Option<String>,
}

impl RawPredicate {
    fn check(self) -> Result<Release, StatementError> {
        let field = |field, value: &str, want| StatementError::Field { field, value: shown(value), want };
        let package = self
            .package
            .parse()
            .map_err(|_| field("package", &self.package, "`namespace:name` in lower-case kebab-case"))?;
        let version = Version::parse(&self.version)
            .map_err(|_| field("version", &self.version, "a semantic version such as `1.2.3`"))?;
        let release = Release {
            package,
            version,
            world: self.world,
            imports: self.imports,
            not_before: time("notBefore", &self.not_before)?,
            not_after: optional(time, "notAfter", &self.not_after)?,
            sequence: self.sequence,
            supersedes: optional(digest, "supersedes", &self.supersedes)?,
        };
        release.check()?;
        Ok(release)
    }
}

#[cfg(test)]
mod tests;
