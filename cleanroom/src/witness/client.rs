//! Asking witnesses to cosign a checkpoint (C2SP tlog-witness), from a log's side.

use std::path::Path;
use std::time::Duration;

use cleanroom_log::{LogDirectory, consistency_proof};
use cleanroom_verify::{ADD_CHECKPOINT, Checkpoint, Cosigner, NOTE_SIGNATURE_LIMIT};
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

/// Asks the witness at `url`, whose key is `witness`, to cosign the checkpoint `note` of the log in `directory`. Returns its
/// signature line, which has been verified.
pub(crate) fn ask(directory: &Path, note: &str, url: &str, witness: &Cosigner) -> Result<String, NotCosigned> {
    let checkpoint = Checkpoint::claimed(note).ok_or(NotCosigned::Incomplete)?;
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        // What is allowed is this address and no other.
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("cleanroom/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let mut old = 0;
    for _ in 0..TRIES {
        let body = format!("old {old}\n{}\n{note}", proof(directory, old, checkpoint.size)?);
        let mut response =
            agent.post(format!("{url}{ADD_CHECKPOINT}")).send(body).map_err(|_| NotCosigned::Unreachable)?;
        let status = response.status().as_u16();
        let answer = response.body_mut().with_config().limit(ANSWER).read_to_string();
        let answer = answer.map_err(|_| NotCosigned::Unreachable)?;
        match status {
            200 => return own_line(&answer, note, witness).ok_or(NotCosigned::Forged),
            409 => {
                let known: u64 = answer.trim_end().parse().map_err(|_| NotCosigned::Unreachable)?;
                if known > checkpoint.size {
                    return Err(NotCosigned::Behind(known));
                }
                // Sent with the size that it knows, and still not to its liking.
                if known == old {
                    return Err(NotCosigned::Forked);
                }
                old = known;
            }
            422 => return Err(NotCosigned::Forked),
            other => return Err(NotCosigned::Refused(other)),
        }
    }
    Err(NotCosigned::Unreachable)
}

/// Puts a signature line under a note; `false` where the note has as many as anybody reads.
pub(crate) fn attach(note: &mut String, line: &str) -> bool {
    let signatures = note.rsplit("\n\n").next().map_or(0, |lines| lines.lines().count());
    let fits = signatures < NOTE_SIGNATURE_LIMIT;
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
        let mut note = format!("logs.example/room/r\n0\n{root}\n\n\u{2014} logs.example/room/r AAAAAAAA\n");
        for number in 1..NOTE_SIGNATURE_LIMIT {
            assert!(attach(&mut note, &format!("\u{2014} w{number}.example AAAAAAAA\n")));
        }
        assert!(!attach(&mut note, "\u{2014} w.example AAAAAAAA\n"));
        assert_eq!(Checkpoint::claimed(&note).unwrap().size, 0);
        note.push_str("\u{2014} w.example AAAAAAAA\n");
        assert_eq!(Checkpoint::claimed(&note), None);
    }
}
