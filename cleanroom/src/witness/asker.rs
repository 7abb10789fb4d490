//! A server's witnesses: whom it shows its checkpoints, by the operator's policy and at no other address than those in it.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use cleanroom_log::VerifierKey;
use cleanroom_registry::{Asked, Witnesses};
use cleanroom_verify::{Key, NOTE_SIGNATURE_LIMIT, WitnessPolicy};

use super::client::{NotCosigned, ask, attach};
use crate::fault::{Fault, Result};

/// How long the others are waited for once enough have cosigned.
const GRACE: Duration = Duration::from_millis(200);

/// The witnesses of a policy.
pub(crate) struct Asker {
    policy: WitnessPolicy,
}

impl Asker {
    /// Takes a policy, `file` by name, by which a server can ask.
    pub(crate) fn new(policy: WitnessPolicy, file: &Path) -> Result<Self> {
        let wrong = |what: String, remedy: &str| Err(Fault::usage(format!("`{}`: {what}", file.display()), remedy));
        if policy.asks_nobody() {
            return wrong(
                "its quorum is `none`".to_owned(),
                "name witnesses who are enough, or serve without a policy",
            );
        }
        if let Some(witness) = policy.witnesses().iter().find(|witness| witness.url.is_none()) {
            let what = format!("line {}: witness `{}` has no address", witness.line, witness.name);
            return wrong(what, "write `witness NAME KEY URL`, or take the witness out");
        }
        // One signature is the log's own.
        if policy.witnesses().len() >= NOTE_SIGNATURE_LIMIT {
            let what = format!("it has more than {} witnesses", NOTE_SIGNATURE_LIMIT - 1);
            return wrong(what, "take some out: no checkpoint carries the signatures of more");
        }
        Ok(Self { policy })
    }

    fn enough(&self, note: &str, key: &Key) -> bool {
        self.policy.cosigned(note, std::slice::from_ref(key)).is_ok_and(|cosigned| cosigned.quorum)
    }
}

impl Witnesses for Asker {
    fn follow(&self, log: &VerifierKey) -> bool {
        let logs = self.policy.logs();
        logs.is_empty() || verifier(log).is_some_and(|key| logs.contains(&key))
    }

    fn ask(&self, directory: &Path, note: &str, log: &VerifierKey, all: bool) -> Asked {
        let mut asked = Asked { note: note.to_owned(), enough: false, against: Vec::new() };
        let Some(key) = verifier(log) else { return asked };
        let times = match self.policy.cosigned(note, std::slice::from_ref(&key)) {
            Ok(cosigned) => cosigned.times,
            Err(error) => {
                tracing::error!(log = key.name(), %error, "the checkpoint carries a signature that is not by whom it names");
                return asked;
            }
        };
        let (send, answers) = mpsc::channel();
        for (witness, _) in self.policy.witnesses().iter().zip(times).filter(|(_, time)| time.is_none()) {
            let (send, witness, directory, note) =
                (send.clone(), witness.clone(), directory.to_owned(), asked.note.clone());
            // By itself: one that does not answer in time keeps nobody waiting.
            thread::spawn(move || {
                let url = witness.url.unwrap_or_default();
                let answer = ask(&directory, &note, url.trim_end_matches('/'), &witness.key);
                // Nobody waits any more where enough have answered.
                let _ = send.send((witness.name, answer));
            });
        }
        drop(send);
        let mut until = None;
        loop {
            asked.enough = asked.enough || self.enough(&asked.note, &key);
            if asked.enough && !all && until.is_none() {
                until = Some(Instant::now() + GRACE);
            }
            let next = match until {
                None => answers.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => answers.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok((name, Ok(line))) => {
                    if !attach(&mut asked.note, &line) {
                        tracing::error!(
                            log = key.name(),
                            witness = name,
                            "the checkpoint has no room for its signature"
                        );
                    }
                }
                Ok((name, Err(problem))) => {
                    tracing::warn!(log = key.name(), witness = name, %problem, "a witness did not cosign");
                    if matches!(problem, NotCosigned::Behind(_) | NotCosigned::Forked) {
                        asked.against.push(format!("witness `{name}` did not cosign, for {problem}"));
                    }
                }
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return asked,
            }
        }
    }
}

/// A log's key as the verifier reads it.
fn verifier(log: &VerifierKey) -> Option<Key> {
    log.to_string().parse().ok()
}
