//! The text of a checkpoint (C2SP tlog-checkpoint v1.0.0): origin, size and root hash, one a line.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::merkle::Hash;

/// Why a text is not a checkpoint of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct CheckpointError(&'static str);

/// A tree head: which log, how many records, and the root hash over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many records the tree has.
    pub size: u64,
    /// The root hash of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// If it is not a checkpoint in the one way of writing it, or has extension lines: ours have none, and nobody
    /// could audit them.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError("it has fewer than three lines"));
        };
        let size = size.parse().map_err(|_| CheckpointError("the second line is not a size"))?;
        let root = BASE64_STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        let root = root.ok_or(CheckpointError("the third line is not a hash"))?;
        let checkpoint = Self { origin: origin.to_owned(), size, root };
        // Writing it again refuses leading zeros, signs, extension lines and a missing end in one go.
        if origin.is_empty() || checkpoint.text() != text {
            return Err(CheckpointError("it is not written in the one way that is ours"));
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_as_written() {
        let checkpoint = Checkpoint { origin: "log.example/audit".into(), size: 70_000, root: [9; 32] };
        assert_eq!(Checkpoint::parse(&checkpoint.text()), Ok(checkpoint));
    }

    #[test]
    fn other_ways_of_writing_are_refused() {
        let root = BASE64_STANDARD.encode([9; 32]);
        for text in [
            String::new(),
            format!("\n1\n{root}\n"),
            format!("log\n01\n{root}\n"),
            format!("log\n+1\n{root}\n"),
            format!("log\n1\n{root}"),
            format!("log\n1\n{root}\nextension\n"),
            format!("log\n18446744073709551616\n{root}\n"),
            "log\n1\nAAAA\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }
}
