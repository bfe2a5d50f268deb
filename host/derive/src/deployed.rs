//! What lies somewhere, held against what was recorded: what was made, and nothing else.

use crate::record::Record;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use tollgate_trust::Sha256;

/// A file that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum Difference {
    /// It is not there.
    Missing {
        /// Its path in the deployment.
        path: String,
        /// The digest that the record has.
        recorded: Sha256,
    },
    /// It has other bytes.
    Changed {
        /// Its path in the deployment.
        path: String,
        /// The digest that the record has.
        recorded: Sha256,
        /// The digest of what is there.
        found: Sha256,
    },
    /// Nobody recorded it.
    Extra {
        /// Its path in the deployment.
        path: String,
        /// The digest of what is there.
        found: Sha256,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path, recorded } => {
                write!(f, "`{path}` is missing: its sha256 in the record is {recorded}")
            }
            Self::Changed { path, recorded, found } => {
                write!(f, "`{path}` was changed: its sha256 is {found}, and in the record {recorded}")
            }
            Self::Extra { path, found } => {
                write!(f, "`{path}` is not in the record: its sha256 is {found}")
            }
        }
    }
}

/// Holds the digests of all files that are there against a record. None when they are what was recorded.
pub fn differences(record: &Record, there: &BTreeMap<String, Sha256>) -> Vec<Difference> {
    let recorded = record.outputs.iter().filter_map(|output| {
        let (path, recorded) = (output.path.clone(), output.sha256);
        match there.get(&path) {
            None => Some(Difference::Missing { path, recorded }),
            Some(found) if *found != recorded => Some(Difference::Changed { path, recorded, found: *found }),
            Some(_) => None,
        }
    });
    let extra = there.iter().filter(|(path, _)| record.output(path).is_none());
    let extra = extra.map(|(path, found)| Difference::Extra { path: path.clone(), found: *found });
    recorded.chain(extra).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{Recipe, Source};
    use crate::record::{Deriver, Target};

    #[test]
    fn whatever_is_missing_changed_or_too_much_is_named_with_its_digests() {
        let files = ["kept", "changed", "gone"].map(|path| (path.to_owned(), path.as_bytes().to_vec()));
        let recipe = Recipe {
            deriver: Deriver { name: "tests".into(), version: "1.0.0".into() },
            target: Target::Server,
            gas: None,
            options: BTreeMap::new(),
            sources: vec![Source::other("source", b"")],
        };
        let derived = recipe.made(files.into()).unwrap();
        let there = [("kept", "kept"), ("changed", "other"), ("more", "more")];
        let there = there.map(|(path, bytes)| (path.to_owned(), Sha256::of(bytes.as_bytes()))).into();
        let found = differences(derived.record(), &there);
        let [changed, gone] = ["changed", "gone"].map(|path| Sha256::of(path.as_bytes()));
        let [other, more] = ["other", "more"].map(|path| Sha256::of(path.as_bytes()));
        assert_eq!(
            found,
            [
                Difference::Changed { path: "changed".into(), recorded: changed, found: other },
                Difference::Missing { path: "gone".into(), recorded: gone },
                Difference::Extra { path: "more".into(), found: more },
            ]
        );
        for (difference, digests) in found.iter().zip([vec![changed, other], vec![gone], vec![more]]) {
            let text = difference.to_string();
            assert!(digests.iter().all(|digest| text.contains(&digest.to_string())), "{text}");
        }
    }
}
