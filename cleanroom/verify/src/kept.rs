//! What somebody kept of a log, and what the log keeps of itself: checkpoints and receipts that must all be of one history.

use std::path::Path;

use cleanroom_format::{CHECKPOINTS_FILE, PROOF_HEADER};
use serde_json::Value;

use crate::finding::{Code, Findings};
use crate::hash::Hash;
use crate::json::read_json;
use crate::marks::Marks;
use crate::merkle::root_from;
use crate::note::{Checkpoint, Key, NoteError};
use crate::policy::WitnessPolicy;
use crate::receipt::Proof;
use crate::{VerifyError, read_most};

/// Bytes of the history that are read: millions of checkpoints.
const LONGEST: u64 = 1 << 30;

/// A checkpoint or receipt that somebody kept, to be held against the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    name: String,
    note: String,
    claimed: Checkpoint,
    entry: Option<KeptEntry>,
}

/// What a receipt says besides its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeptEntry {
    index: u64,
    path: Vec<Hash>,
    /// The entry itself, where the receipt carries it.
    leaf: Option<Hash>,
}

impl Kept {
    /// Reads a signed checkpoint or a `tlog-proof`; `name` stands for it in findings.
    ///
    /// # Errors
    /// Where it is neither, in a sentence.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        let (note, entry) = if text.starts_with(PROOF_HEADER) {
            let proof = Proof::read(text)?;
            let extra = proof.extra.as_deref().and_then(|extra| read_json(extra).ok());
            let entry = extra.as_ref().and_then(|extra| extra.get("entry")).and_then(Value::as_str);
            let leaf = entry.map(|entry| Hash::leaf(entry.as_bytes()));
            (proof.checkpoint, Some(KeptEntry { index: proof.index, path: proof.path, leaf }))
        } else {
            (text, None)
        };
        let claimed = Checkpoint::claimed(note).ok_or_else(|| NoteError::Shape.to_string())?;
        Ok(Self { name: format!("`{name}`"), note: note.to_owned(), claimed, entry })
    }

    /// The log that it says to be of.
    pub fn origin(&self) -> &str {
        &self.claimed.origin
    }

    pub(crate) fn want(&self, marks: &mut Marks) {
        marks.want_root(self.claimed.size);
        if let Some(entry) = &self.entry {
            marks.want_leaf(entry.index);
        }
    }

    /// Holds it against the log of `size` entries of which `marks` were taken.
    pub(crate) fn check(&self, keys: &[Key], size: u64, marks: &Marks, findings: &mut Findings) {
        let name = &self.name;
        let signed = match open(&self.note, keys) {
            Ok(signed) => signed,
            Err(error) => return findings.add(None, Code::Signature, &format!("{name}: {error}")),
        };
        if let Some(entry) = &self.entry {
            entry.check(name, &signed, marks, findings);
        }
        if signed.size > size {
            let message = format!(
                "{name} was signed over {} entries; of those, this one and the later ones are gone",
                signed.size
            );
            return findings.add(Some(size), Code::RolledBack, &message);
        }
        if marks.root_at(signed.size).is_some_and(|root| root != signed.root) {
            let message = format!("{name} was signed over other entries up to this one");
            findings.add(signed.size.checked_sub(1), Code::Forked, &message);
        }
    }
}

impl KeptEntry {
    fn check(&self, name: &str, signed: &Checkpoint, marks: &Marks, findings: &mut Findings) {
        let leads = |leaf| root_from(self.index, signed.size, leaf, &self.path) == Some(signed.root);
        if !self.leaf.is_none_or(leads) {
            let message = format!("{name}: its entry is not in the log that was signed");
            return findings.add(Some(self.index), Code::Receipt, &message);
        }
        let Some(ours) = marks.leaf_at(self.index) else { return };
        if self.leaf.is_some_and(|leaf| leaf != ours) || !leads(ours) {
            let message = format!("{name} is of another entry in this place");
            findings.add(Some(self.index), Code::Forked, &message);
        }
    }
}

/// The checkpoint of a note that one of `keys` signed.
pub(crate) fn open(note: &str, keys: &[Key]) -> Result<Checkpoint, NoteError> {
    let mut error = NoteError::Unsigned;
    for key in keys {
        match Checkpoint::open(note, key) {
            Ok(checkpoint) => return Ok(checkpoint),
            Err(NoteError::Unsigned) => {}
            Err(other) => error = other,
        }
    }
    Err(error)
}

/// The checkpoints that a log keeps of itself.
pub(crate) struct History {
    records: Vec<Kept>,
}

impl History {
    /// Reads them; a record that cannot be read is a finding.
    pub(crate) fn read(directory: &Path, findings: &mut Findings) -> Result<Self, VerifyError> {
        let mut records = Vec::new();
        let Some(bytes) = read_most(&directory.join(CHECKPOINTS_FILE), LONGEST)? else {
            return Ok(Self { records });
        };
        if bytes.is_empty() {
            // A crash before the very first record.
            return Ok(Self { records });
        }
        let text = String::from_utf8(bytes).unwrap_or_default();
        // Each record is a note, which has one empty line in it, and an empty line after it.
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let number = records.len();
            let name = format!("record {number} of `{CHECKPOINTS_FILE}`");
            let end = rest.match_indices("\n\n").nth(1).map(|(at, _)| at + 1);
            let record = end.and_then(|end| rest.split_at_checked(end));
            let kept = record.and_then(|(note, after)| {
                let kept = Kept::read("", note).ok().filter(|kept| kept.entry.is_none())?;
                Some((kept, after.strip_prefix('\n')?))
            });
            let Some((kept, after)) = kept else {
                findings.add(None, Code::DamagedFile, &format!("{name} is not a checkpoint"));
                return Ok(Self { records });
            };
            records.push(Kept { name, ..kept });
            rest = after;
        }
        if records.is_empty() {
            findings.add(None, Code::DamagedFile, &format!("`{CHECKPOINTS_FILE}` holds no checkpoint"));
        }
        Ok(Self { records })
    }

    pub(crate) fn want(&self, marks: &mut Marks) {
        self.records.iter().for_each(|kept| kept.want(marks));
    }

    pub(crate) fn check(&self, keys: &[Key], size: u64, marks: &Marks, findings: &mut Findings) {
        self.records.iter().for_each(|kept| kept.check(keys, size, marks, findings));
    }

    /// Looks who cosigned: everything here must be by the log or a witness of `policies`, and for each of these a checkpoint with
    /// its quorum must cover the log's `size` entries. `newest` is the checkpoint itself.
    pub(crate) fn check_witnesses(
        &self,
        newest: (&Checkpoint, &str),
        keys: &[Key],
        policies: &[&WitnessPolicy],
        findings: &mut Findings,
    ) {
        let (checkpoint, note) = newest;
        let all = self.records.iter().map(|kept| (kept.name.as_str(), kept.claimed.size, kept.note.as_str()));
        let all: Vec<_> = std::iter::once(("`checkpoint`", checkpoint.size, note)).chain(all).collect();
        let mut strangers = vec![usize::MAX; all.len()];
        for policy in policies {
            let mut covered = None;
            for ((name, size, note), strangers) in all.iter().zip(&mut strangers) {
                match policy.cosigned(note, keys) {
                    Ok(cosigned) => {
                        *strangers = (*strangers).min(cosigned.unknown);
                        // What was signed over more than there is counts as nothing: it is a finding by itself.
                        if cosigned.quorum && *size <= checkpoint.size {
                            covered = covered.max(Some(*size));
                        }
                    }
                    Err(error) => findings.add(None, Code::Cosignature, &format!("{name}: {error}")),
                }
            }
            if covered.is_none_or(|covered| covered < checkpoint.size) {
                let message = "no checkpoint that enough witnesses cosigned covers this entry and those after it";
                findings.add(Some(covered.unwrap_or(0)), Code::Unwitnessed, message);
            }
        }
        for ((name, ..), strangers) in all.iter().zip(strangers) {
            if (1..usize::MAX).contains(&strangers) {
                let message = format!("{name} carries a signature of nobody that a policy names");
                findings.add(None, Code::Cosignature, &message);
            }
        }
    }
}
