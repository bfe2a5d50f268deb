//! What was derived from what: the record that travels with a deployment, and its signature.
//!
//! A record is JSON in canonical form (RFC 8785), so the same derivation always gives the same bytes; and only canonical
//! bytes are read. That leaves nothing to two readers' taste: no key twice, no other order, no `null`, no unknown key.
//!
//! It is signed as an in-toto Statement v1 whose subjects are the outputs and whose predicate is the record, in a DSSE
//! envelope like a component's release, with a predicate type of its own: neither can be passed off as the other.

mod statement;

pub use statement::PREDICATE_TYPE;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use tollgate_trust::{Blake3, Sha256};

/// The record's file in a deployment. Its signature lies beside it, as a component's does.
pub const DERIVATION: &str = "derivation.json";

/// The largest record or statement, in bytes: what fits into an envelope.
pub const MAX_BYTES: usize = 512 << 10;

const MAX_INPUTS: usize = 4_096;
const MAX_OUTPUTS: usize = 4_096;
const MAX_OPTIONS: usize = 4_096;
const MAX_VERBATIM: usize = 64;
const MAX_NAME: usize = 512;

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

/// Bytes that something was derived from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What it is called in the deployment.
    pub name: String,
    /// What it was signed as, `namespace:name@version`; left out for what nobody signed by itself: a configuration, the
    /// adapter's own program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest in signatures.
    pub sha256: Sha256,
    /// Its digest in our own stores.
    pub blake3: Blake3,
}

impl Input {
    /// The input that these bytes are, signed by nobody.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        let (sha256, blake3) = (Sha256::of(bytes), Blake3::of(bytes));
        Self { name: name.to_owned(), release: None, bytes: bytes.len() as u64, sha256, blake3 }
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
    /// What of it stands in an input, byte for byte, by where it begins; left out where nothing is known to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbatim: Vec<Verbatim>,
}

impl Output {
    /// The output that these bytes are.
    pub fn of(path: &str, bytes: &[u8]) -> Self {
        let sha256 = Sha256::of(bytes);
        Self { path: path.to_owned(), bytes: bytes.len() as u64, sha256, verbatim: Vec::new() }
    }
}

/// A range that an output and an input have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verbatim {
    /// Where it begins in the output.
    pub at: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// The input's name.
    pub input: String,
    /// Where it begins in the input.
    pub offset: u64,
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
    /// [`RecordError`] when it holds what no reader would take.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        canonical(self)
    }

    /// The output at this path.
    pub fn output(&self, path: &str) -> Option<&Output> {
        self.outputs.iter().find(|output| output.path == path)
    }

    /// Checks what the types of the fields can't hold.
    fn check(&self) -> Result<(), RecordError> {
        let field = |field, want| Err(RecordError::Field { field, want });
        if self.inputs.is_empty() || self.inputs.len() > MAX_INPUTS {
            return field("inputs", "a list of 1 to 4096");
        }
        if self.outputs.is_empty() || self.outputs.len() > MAX_OUTPUTS {
            return field("outputs", "a list of 1 to 4096");
        }
        if self.options.len() > MAX_OPTIONS {
            return field("options", "a table of at most 4096");
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
            return field("name", "1 to 512 printable ASCII characters");
        }
        if !self.options.values().all(|value| value.is_empty() || is_name(value)) {
            return field("options", "values of at most 512 printable ASCII characters");
        }
        if !self.inputs.iter().filter_map(|input| input.release.as_deref()).all(is_name) {
            return field("release", "1 to 512 printable ASCII characters");
        }
        if self.gas.as_ref().is_some_and(|gas| !is_name(&gas.schedule)) {
            return field("schedule", "1 to 512 printable ASCII characters");
        }
        if !self.outputs.iter().all(|output| is_path(&output.path)) {
            return field("path", "a relative path with `/` between names, and no `.` or `..` among them");
        }
        let sizes =
            self.inputs.iter().map(|input| input.bytes).chain(self.outputs.iter().map(|output| output.bytes));
        if sizes.max().is_some_and(|size| size > MAX_NUMBER) {
            return field("bytes", "at most 9007199254740991");
        }
        if !self.outputs.iter().all(|output| self.has_verbatim(output)) {
            return field("verbatim", "up to 64 ranges of the output and of an input, sorted");
        }
        Ok(())
    }

    /// Whether the ranges of an output are ranges of it, and of inputs that there are.
    fn has_verbatim(&self, output: &Output) -> bool {
        let within = |from: u64, length: u64, whole: u64| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= whole)
        };
        let fits = |range: &Verbatim| {
            let input = self.inputs.iter().find(|input| input.name == range.input);
            within(range.at, range.bytes, output.bytes)
                && input.is_some_and(|input| within(range.offset, range.bytes, input.bytes))
        };
        let ranges = &output.verbatim;
        ranges.len() <= MAX_VERBATIM
            && ranges.is_sorted_by(|one, other| one < other)
            && ranges.iter().all(fits)
    }
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
    let json = serde_jcs::to_vec(value).map_err(|error| RecordError::Shape(error.to_string()))?;
    if json.len() > MAX_BYTES { Err(RecordError::TooLarge) } else { Ok(json) }
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
