//! What somebody kept of a log, and what the log keeps of itself: checkpoints and receipts that must all be of one history.

use std::path::Path;

use cleanroom_format::{CHECKPOINTS_FILE, NOTE_LIMIT, PROOF_HEADER};
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
/// Bytes of the longest record.
const RECORD_LIMIT: usize = NOTE_LIMIT + 1;

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

    /// The signed note in it.
    pub(crate) fn note(&self) -> &str {
        &self.note
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
#[derive(Default)]
pub(crate) struct History {
    records: Vec<Kept>,
    /// What stands behind the last record, and is none.
    rest: Vec<u8>,
    /// Whether more stands there than was read.
    cut: bool,
}

impl History {
    /// Reads the records up to the first that is none.
    pub(crate) fn read(directory: &Path) -> Result<Self, VerifyError> {
        Self::read_at_most(directory, LONGEST)
    }

    pub(crate) fn read_at_most(directory: &Path, limit: u64) -> Result<Self, VerifyError> {
        let mut records = Vec::new();
        let Some(mut bytes) = read_most(&directory.join(CHECKPOINTS_FILE), limit + 1)? else {
            return Ok(Self::default());
        };
        let cut = bytes.len() as u64 > limit;
        if cut {
            bytes.pop();
        }
        // One byte that is no text is in one record, and the ones before are whole.
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default()
            }
        };
        // Each record is a note, which has one empty line in it, and an empty line after it.
        let mut rest = text;
        while !rest.is_empty() {
            let name = format!("record {} of `{CHECKPOINTS_FILE}`", records.len());
            let end = rest.match_indices("\n\n").nth(1).map(|(at, _)| at + 1);
            let record = end.and_then(|end| rest.split_at_checked(end));
            let kept = record.and_then(|(note, after)| {
                let kept = Kept::read("", note).ok().filter(|kept| kept.entry.is_none())?;
                Some((kept, after.strip_prefix('\n')?))
            });
            let Some((kept, after)) = kept else { break };
            records.push(Kept { name, ..kept });
            rest = after;
        }
        let rest = bytes.get(text.len() - rest.len()..).unwrap_or_default().to_vec();
        Ok(Self { records, rest, cut })
    }

    /// Says what stands behind the last record: what a crash left of the `newest` checkpoint's, or of a file too long to be read,
    /// is a notice, everything else is damage.
    pub(crate) fn whole(self, newest: &str, findings: &mut Findings) -> Self {
        let torn = format!("{newest}\n");
        // Two empty lines end a record, whatever stands in it.
        let ended = self.rest.windows(2).filter(|pair| pair == b"\n\n").count() > 1;
        if self.cut && !ended && self.rest.len() <= RECORD_LIMIT {
            let message =
                format!("`{CHECKPOINTS_FILE}` is longer than what is read of it: {} records were", self.records.len());
            findings.add(None, Code::PartialHistory, &message);
        } else if !self.rest.is_empty() && torn.as_bytes().starts_with(&self.rest) {
            let message = format!("the last record of `{CHECKPOINTS_FILE}` is not whole; the next one replaces it");
            findings.add(None, Code::PartialHistory, &message);
        } else if !self.rest.is_empty() {
            let message = format!("record {} of `{CHECKPOINTS_FILE}` is not a checkpoint", self.records.len());
            findings.add(None, Code::DamagedFile, &message);
        }
        self
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
        (kept, policies): (&[&Kept], &[&WitnessPolicy]),
        findings: &mut Findings,
    ) {
        let (checkpoint, note) = newest;
        let own = self.records.iter();
        // What was kept counts as what the log itself keeps: that it is of this history was looked at before.
        let all =
            own.chain(kept.iter().copied()).map(|kept| (kept.name.as_str(), kept.claimed.size, kept.note.as_str()));
        let all: Vec<_> = std::iter::once(("`checkpoint`", checkpoint.size, note)).chain(all).collect();
        // Whom somebody else asked, who keeps a checkpoint, says nothing about the log.
        let mut strangers = vec![usize::MAX; 1 + self.records.len()];
        for policy in policies {
            let mut covered = None;
            for (number, (name, size, note)) in all.iter().enumerate() {
                match policy.cosigned(note, keys) {
                    Ok(cosigned) => {
                        if let Some(strangers) = strangers.get_mut(number) {
                            *strangers = (*strangers).min(cosigned.unknown);
                        }
                        // What was signed over more than there is counts as nothing: it is a finding by itself.
                        if cosigned.quorum && *size <= checkpoint.size {
                            covered = covered.max(Some(*size));
                        }
                    }
                    Err(error) => findings.add(None, Code::Cosignature, &format!("{name}: {error}")),
                }
            }
            if covered.unwrap_or(0) < checkpoint.size {
                let message = "no checkpoint that enough witnesses cosigned covers this entry and those after it";
                findings.add(Some(covered.unwrap_or(0)), Code::Unwitnessed, message);
            }
        }
        // A server may ask whom it likes, and policies change: no fault of the log. One notice, however many there are.
        let unknown = all.iter().zip(strangers).filter(|(_, strangers)| (1..usize::MAX).contains(strangers));
        let unknown: Vec<&str> = unknown.map(|((name, ..), _)| *name).collect();
        if let Some(first) = unknown.first() {
            let message = format!(
                "{first} carries a signature of nobody that a policy names, as {} of the log's checkpoints do",
                unknown.len()
            );
            findings.add(None, Code::UnknownCosigner, &message);
        }
    }
}
