//! Proofs that stand for themselves (C2SP tlog-proof): that an entry is in a log, with nothing but the log's public key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError, decimal};
use crate::format::PROOF_HEADER;
use crate::hash::EntryHash;
use crate::note::VerifierKey;
use crate::prove::{ProofError, verify_inclusion};

/// The text of a `.tlog-proof` file, taken apart. [`fmt::Display`] writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Whatever else its reader needs. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The entry's number in the log.
    pub index: u64,
    /// The inclusion path, from the leaf's sibling upwards.
    pub path: Vec<EntryHash>,
    /// The signed checkpoint, word for word.
    pub checkpoint: String,
}

impl InclusionProof {
    /// Checks that `entry` is entry number [`InclusionProof::index`] of the log that `key` signs for, and returns the
    /// checkpoint that says so.
    ///
    /// # Errors
    /// Where the checkpoint is not signed by `key`, or the entry is not in its tree.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofFileError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let leaf = EntryHash::of_entry(entry);
        verify_inclusion(self.index, checkpoint.size, &leaf, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for InclusionProof {
    type Err = ProofFileError;

    fn from_str(text: &str) -> Result<Self, ProofFileError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofFileError::Shape { line: 1 })?;
        let mut lines = head.split('\n').zip(1..).peekable();
        let shape = |line| ProofFileError::Shape { line };
        lines.next_if(|(line, _)| *line == PROOF_HEADER).ok_or(ProofFileError::Header)?;
        let extra = match lines.next_if(|(line, _)| line.starts_with("extra ")) {
            Some((line, number)) => {
                let data = line.strip_prefix("extra ").and_then(|data| STANDARD.decode(data).ok());
                Some(data.ok_or(shape(number))?)
            }
            None => None,
        };
        let (line, number) = lines.next().ok_or(shape(2))?;
        let index = line.strip_prefix("index ").and_then(decimal).ok_or(shape(number))?;
        let path = lines.map(|(line, number)| EntryHash::from_base64(line).ok_or(shape(number)));
        let path = path.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }
}

/// Why a proof file proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// It does not begin as a proof does.
    #[error("line 1: not a proof: the first line must be `c2sp.org/tlog-proof@v1`")]
    Header,
    /// A line that is not what it should be.
    #[error("line {line}: not a line of a proof: `extra`, `index`, hashes in base64, an empty line, a checkpoint")]
    Shape {
        /// Which line, from 1.
        line: usize,
    },
    /// The checkpoint in it is not to be believed.
    #[error("the checkpoint in the proof: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The path does not lead to the signed root.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::key::LogKey;
    use crate::note::Origin;
    use crate::tree::{Tree, inclusion_proof};

    fn proof(extra: Option<Vec<u8>>) -> (InclusionProof, VerifierKey) {
        let leaves: Vec<_> = ["a", "b", "c", "d", "e"].map(|entry| EntryHash::of_entry(entry.as_bytes())).into();
        let key = LogKey::generate().unwrap();
        let origin = Origin::new("logs.example/room/retail").unwrap();
        let root = Tree::from_leaves(leaves.iter().copied()).root();
        let checkpoint = Checkpoint { origin: origin.clone(), size: 5, root }.sign(&key);
        let path = inclusion_proof(leaves.as_slice(), 2, 5).unwrap();
        (InclusionProof { extra, index: 2, path, checkpoint }, key.vkey(&origin))
    }

    #[test]
    fn a_proof_file_proves_its_entry_and_no_other() {
        for extra in [None, Some(b"nonce".to_vec())] {
            let (proof, key) = proof(extra);
            let read: InclusionProof = proof.to_string().parse().unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(b"c", &key).unwrap().size, 5);
            assert_eq!(read.verify(b"d", &key), Err(ProofFileError::Proof(ProofError::Root)));
            let foreign = VerifierKey::new(key.origin().clone(), [7; 32]);
            assert!(matches!(read.verify(b"c", &foreign), Err(ProofFileError::Checkpoint(_))));
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (proof, key) = proof(None);
        let text = proof.to_string();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            *bytes.get_mut(at).unwrap() ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let verified = changed.parse::<InclusionProof>().and_then(|proof| proof.verify(b"c", &key));
            assert!(verified.is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_broken_line_is_named() {
        let text = proof(Some(b"nonce".to_vec())).0.to_string();
        let error = |text: String| text.parse::<InclusionProof>().unwrap_err();
        assert_eq!(error(text.replace("@v1", "@v2")), ProofFileError::Header);
        assert_eq!(error(text.replace("extra ", "extra  ")), ProofFileError::Shape { line: 2 });
        assert_eq!(error(text.replace("index 2", "index 02")), ProofFileError::Shape { line: 3 });
        assert_eq!(error(text.replace("index 2", "index 2\nAAAA")), ProofFileError::Shape { line: 4 });
    }
}
