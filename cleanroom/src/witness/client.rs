//! Asking witnesses to cosign a checkpoint (C2SP tlog-witness), from a log's side.

use std::path::Path;
use std::time::Duration;

use cleanroom_log::{LogDirectory, consistency_proof};
use cleanroom_verify::{ADD_CHECKPOINT, Checkpoint, Cosigner, Key, NOTE_SIGNATURE_LIMIT, WitnessPolicy};
use ureq::Agent;

/// How long a witness may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const ANSWER: u64 = 64 * 1024;
/// Times that a witness is asked: with what it is thought to know, and with what it says to know.
const TRIES: usize = 3;

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCosigned {
    /// No answer, or none that can be read.
    #[error("it cannot be reached")]
    Unreachable,
    /// It does not want to.
    #[error("it answered {0}")]
    Refused(u16),
    /// It saw a log of more entries: this one went back.
    #[error("it saw {0} entries of this log, which has fewer")]
    Behind(u64),
    /// It saw other entries.
    #[error("it saw other entries of this log than these")]
    Forked,
    /// It sent something that is no cosignature of its key over this checkpoint.
    #[error("what it sent is not a cosignature by its key")]
    Forged,
    /// The log's own files do not give the proof.
    #[error("the log's files lack what the proof is made of")]
    Incomplete,
}

impl NotCosigned {
    /// Whether it speaks against the log, and not of the witness's own troubles.
    pub(crate) fn is_against(&self) -> bool {
        matches!(self, Self::Behind(_) | Self::Forked)
    }
}

/// Asks the witness at `url`, whose key is `witness`, to cosign the checkpoint `note` of the log in `directory`. Returns its
/// signature line, which has been verified. `known` is how many entries the witness is thought to have seen, and becomes what it
/// has seen for sure.
pub(crate) fn ask(
    directory: &Path,
    note: &str,
    url: &str,
    witness: &Cosigner,
    known: &mut u64,
) -> Result<String, NotCosigned> {
    let checkpoint = Checkpoint::claimed(note).ok_or(NotCosigned::Incomplete)?;
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        // What is allowed is this address and no other.
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("cleanroom/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    // What it saw of a later checkpoint is no beginning of this one; it says so itself.
    let mut old = (*known).min(checkpoint.size);
    for _ in 0..TRIES {
        let body = format!("old {old}\n{}\n{note}", proof(directory, old, checkpoint.size)?);
        let mut response =
            agent.post(format!("{url}{ADD_CHECKPOINT}")).send(body).map_err(|_| NotCosigned::Unreachable)?;
        let status = response.status().as_u16();
        let answer = response.body_mut().with_config().limit(ANSWER).read_to_string();
        let answer = answer.map_err(|_| NotCosigned::Unreachable)?;
        match status {
            200 => {
                let line = own_line(&answer, note, witness).ok_or(NotCosigned::Forged)?;
                *known = checkpoint.size;
                return Ok(line);
            }
            409 => {
                let seen: u64 = answer.trim_end().parse().map_err(|_| NotCosigned::Unreachable)?;
                if seen > checkpoint.size {
                    return Err(NotCosigned::Behind(seen));
                }
                // Sent with the size that it knows, and still not to its liking.
                if seen == old {
                    return Err(NotCosigned::Forked);
                }
                (old, *known) = (seen, seen);
            }
            422 => return Err(NotCosigned::Forked),
            other => return Err(NotCosigned::Refused(other)),
        }
    }
    Err(NotCosigned::Unreachable)
}

/// Puts a signature line under a note that the log of `key` signed; `false` where the note has as many as anybody reads. Before
/// that, those go that nobody looks for: by neither that key nor a witness of the policy.
pub(crate) fn attach(note: &mut String, line: &str, policy: &WitnessPolicy, key: &Key) -> bool {
    let is_full =
        |note: &str| note.rsplit("\n\n").next().map_or(0, |lines| lines.lines().count()) >= NOTE_SIGNATURE_LIMIT;
    if is_full(note)
        && let Some(left) = policy.without_strangers(note, std::slice::from_ref(key))
    {
        *note = left;
    }
    let fits = !is_full(note);
    if fits {
        note.push_str(line);
    }
    fits
}

fn proof(directory: &Path, old: u64, size: u64) -> Result<String, NotCosigned> {
    let log = LogDirectory::open(directory).map_err(|_| NotCosigned::Incomplete)?;
    let hashes = consistency_proof(&log.tiles(size), old, size).map_err(|_| NotCosigned::Incomplete)?;
    Ok(hashes.iter().map(|hash| format!("{}\n", hash.to_base64())).collect())
}

/// The witness's own line of an answer; whatever else it sent is left behind.
fn own_line(answer: &str, note: &str, witness: &Cosigner) -> Option<String> {
    let lines = answer.strip_suffix('\n')?.split('\n').map(|line| format!("{line}\n"));
    lines.into_iter().find(|line| witness.has_cosigned(&format!("{note}{line}")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_note_takes_no_more_signatures_than_are_read() {
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse::<Key>().unwrap();
        let named: Vec<Cosigner> =
            (1..=20).map(|number| Cosigner::new(&format!("w{number}.example"), [number; 32]).unwrap()).collect();
        let text: String = named.iter().map(|one| format!("witness {} {one}\n", one.name())).collect();
        let policy: WitnessPolicy = format!("{text}quorum w1.example\n").parse().unwrap();
        let log = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let bare = format!("PeterNeumann\n0\n{root}\n\n{log}");
        let lines = |note: &str| note.rsplit("\n\n").next().unwrap().lines().count();
        let mut note = bare.clone();
        for one in named.iter().take(NOTE_SIGNATURE_LIMIT - 1) {
            assert!(attach(&mut note, &one.line(1, &[0; 64]), &policy, &key));
        }
        let last = named.last().unwrap().line(1, &[0; 64]);
        let full = note.clone();
        assert!(!attach(&mut note, &last, &policy, &key));
        assert_eq!((note.as_str(), lines(&note)), (full.as_str(), NOTE_SIGNATURE_LIMIT), "all of them are looked for");
        assert_eq!(Checkpoint::claimed(&note).unwrap().size, 0);

        // Of witnesses that the policy named once there can be so many that none of those it names now has room.
        let mut note = bare;
        for number in 1..NOTE_SIGNATURE_LIMIT {
            let old = Cosigner::new(&format!("old{number}.example"), [99; 32]).unwrap();
            note.push_str(&old.line(1, &[0; 64]));
        }
        assert_eq!(lines(&note), NOTE_SIGNATURE_LIMIT);
        assert!(attach(&mut note, &last, &policy, &key));
        assert_eq!(note, format!("PeterNeumann\n0\n{root}\n\n{log}{last}"));
        note.push_str(&last.repeat(NOTE_SIGNATURE_LIMIT));
        assert_eq!(Checkpoint::claimed(&note), None);
    }
}
