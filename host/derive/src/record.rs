//! What was derived from what: the record that travels with a deployment, and its signature.
//!
//! A record is JSON in canonical form (RFC 8785), so the same derivation always gives the same bytes; and only canonical
//! bytes are read. That leaves nothing to two readers' taste: no key twice, no other order, no `null`, no unknown key.
//!
//! It is signed as an in-toto Statement v1 whose subjects are the outputs and whose predicate is the record, in a DSSE
//! envelope like a component's release, with a predicate type of its own: neither can be passed off as the other.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use tollgate_trust::statement::STATEMENT_TYPE;
use tollgate_trust::{Blake3, Sha256};

/// `predicateType` of a derivation record.
pub const PREDICATE_TYPE: &str = "https://tollgate.dev/attestations/derivation/v1";

/// The largest record or statement, in bytes.
pub const MAX_BYTES: usize = 512 << 10;

const MAX_INPUTS: usize = 64;
const MAX_OUTPUTS: usize = 1_024;
const MAX_OPTIONS: usize = 64;
const MAX_NAME: usize = 256;

/// The greatest number that every JSON reader keeps exact (RFC 7493).
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Where something is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Cloudflare Workers.
    Cloudflare,
    /// Fastly Compute.
    Fastly,
    /// The host of this repository.
    Server,
}

impl Target {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Cloudflare, Self::Fastly, Self::Server];

    /// Its name in commands and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Fastly => "fastly",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no target of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no target: there are `cloudflare`, `fastly` and `server`")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        Self::ALL
            .into_iter()
            .find(|target| target.name() == text)
            .ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

/// Signed bytes that something was derived from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it is called in the deployment.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest in signatures.
    pub sha256: Sha256,
    /// Its digest in our own stores.
    pub blake3: Blake3,
}

impl Input {
    /// The input that these bytes are.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        let (sha256, blake3) = (Sha256::of(bytes), Blake3::of(bytes));
        Self { name: name.to_owned(), bytes: bytes.len() as u64, sha256, blake3 }
    }
}

/// A file that was derived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Where it lies in the deployment, with `/` between folders.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
}

impl Output {
    /// The output that these bytes are.
    pub fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.len() as u64, sha256: Sha256::of(bytes) }
    }
}

/// The program that derived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deriver {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Deriver {
    /// This crate.
    pub fn this() -> Self {
        Self { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// The gas schedule whose charges are in the outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gas {
    /// The schedule's id.
    pub schedule: String,
    /// The blake3 digest of its file.
    pub blake3: Blake3,
}

/// One derivation: the outputs are a function of all the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What it was derived from, sorted by name.
    pub inputs: Vec<Input>,
    /// What derived it.
    pub deriver: Deriver,
    /// Where it is to run.
    pub target: Target,
    /// Whose charges are inside; left out where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas: Option<Gas>,
    /// What else was asked for.
    pub options: BTreeMap<String, String>,
    /// What came out, sorted by path.
    pub outputs: Vec<Output>,
}

/// Bytes that are no record, or a record that can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// More bytes than a record may have.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON of this shape; the text says where.
    #[error("it is not a derivation record: {0}")]
    Shape(String),
    /// The shape is right, and the bytes are not the canonical ones (RFC 8785).
    #[error("it is not in canonical form: write it anew with `tollgate build`")]
    NotCanonical,
    /// A field holds what it may not hold.
    #[error("`{field}` must be {want}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// The statement around the record is of another kind, or speaks of other files than the record.
    #[error("`{0}` of the statement does not fit its record")]
    Statement(&'static str),
}

impl Record {
    /// Reads a record. Only what [`Record::to_json`] would write is read.
    ///
    /// # Errors
    /// [`RecordError`] for anything else.
    pub fn parse(json: &[u8]) -> Result<Self, RecordError> {
        let record: Self = read(json)?;
        record.check()?;
        Ok(record)
    }

    /// Writes the record in canonical form: the same bytes for the same record.
    ///
    /// # Errors
    /// [`RecordError::Field`] when it holds what no reader would take.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        canonical(self)
    }

    /// The in-toto statement that is signed: its subjects are the outputs.
    ///
    /// # Errors
    /// [`RecordError::Field`] when the record holds what no reader would take.
    pub fn to_statement(&self) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        canonical(&Statement {
            kind: STATEMENT_TYPE.to_owned(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            subject: self.subjects(),
            predicate: self.clone(),
        })
    }

    /// Reads the record in a statement whose signature was verified.
    ///
    /// # Errors
    /// [`RecordError`] when the statement is of another kind, or names other files than its record.
    pub fn from_statement(payload: &[u8]) -> Result<Self, RecordError> {
        let statement: Statement = read(payload)?;
        statement.predicate.check()?;
        if statement.kind != STATEMENT_TYPE {
            return Err(RecordError::Statement("_type"));
        }
        if statement.predicate_type != PREDICATE_TYPE {
            return Err(RecordError::Statement("predicateType"));
        }
        if statement.subject != statement.predicate.subjects() {
            return Err(RecordError::Statement("subject"));
        }
        Ok(statement.predicate)
    }

    fn subjects(&self) -> Vec<Subject> {
        let subject =
            |output: &Output| Subject { name: output.path.clone(), digest: Digest { sha256: output.sha256 } };
        self.outputs.iter().map(subject).collect()
    }

    /// Checks what the types of the fields can't hold.
    fn check(&self) -> Result<(), RecordError> {
        let field = |field, want| Err(RecordError::Field { field, want });
        if self.inputs.is_empty() || self.inputs.len() > MAX_INPUTS {
            return field("inputs", "a list of 1 to 64");
        }
        if self.outputs.is_empty() || self.outputs.len() > MAX_OUTPUTS {
            return field("outputs", "a list of 1 to 1024");
        }
        if self.options.len() > MAX_OPTIONS {
            return field("options", "a table of at most 64");
        }
        if !rises(self.inputs.iter().map(|input| &input.name)) {
            return field("inputs", "sorted by name, each name once");
        }
        if !rises(self.outputs.iter().map(|output| &output.path)) {
            return field("outputs", "sorted by path, each path once");
        }
        let mut names = self.inputs.iter().map(|input| &input.name).chain(self.options.keys());
        if !names.all(|name| is_name(name)) || !is_name(&self.deriver.name) || !is_name(&self.deriver.version)
        {
            return field("name", "1 to 256 printable ASCII characters");
        }
        if !self.options.values().all(|value| value.is_empty() || is_name(value)) {
            return field("options", "values of at most 256 printable ASCII characters");
        }
        if self.gas.as_ref().is_some_and(|gas| !is_name(&gas.schedule)) {
            return field("schedule", "1 to 256 printable ASCII characters");
        }
        if !self.outputs.iter().all(|output| is_path(&output.path)) {
            return field("path", "a relative path with `/` between names, and no `.` or `..` among them");
        }
        let sizes =
            self.inputs.iter().map(|input| input.bytes).chain(self.outputs.iter().map(|output| output.bytes));
        if sizes.max().is_some_and(|size| size > MAX_NUMBER) {
            return field("bytes", "at most 9007199254740991");
        }
        Ok(())
    }
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    sha256: Sha256,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
    predicate: Record,
}

fn read<T: Serialize + for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, RecordError> {
    if json.len() > MAX_BYTES {
        return Err(RecordError::TooLarge);
    }
    let value: T = serde_json::from_slice(json).map_err(|error| RecordError::Shape(error.to_string()))?;
    if canonical(&value)? != json {
        return Err(RecordError::NotCanonical);
    }
    Ok(value)
}

fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, RecordError> {
    serde_jcs::to_vec(value).map_err(|error| RecordError::Shape(error.to_string()))
}

fn rises<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let names: Vec<&String> = names.collect();
    names.is_sorted_by(|one, other| one < other)
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn is_path(text: &str) -> bool {
    is_name(text)
        && !text.contains(['\\', ':'])
        && text.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
