//! The statement that is signed: what lies in the envelope beside a record.

use super::{Output, Record, RecordError, canonical, read};
use serde::{Deserialize, Serialize};
use tollgate_trust::Sha256;
use tollgate_trust::statement::STATEMENT_TYPE;

/// `predicateType` of a derivation record.
pub const PREDICATE_TYPE: &str = "https://tollgate.dev/attestations/derivation/v1";

impl Record {
    /// The in-toto statement that is signed: its subjects are the outputs.
    ///
    /// # Errors
    /// [`RecordError`] when the record holds what no reader would take.
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
