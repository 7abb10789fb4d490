//! A server's witnesses: whom it shows its checkpoints, by the operator's policy and at no other address than those in it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cleanroom_log::VerifierKey;
use cleanroom_registry::{Asked, Doubt, Witnesses};
use cleanroom_verify::{Key, NOTE_SIGNATURE_LIMIT, WitnessPolicy};

use super::client::{NotCosigned, ask, attach};
use crate::fault::{Fault, Result as Checked};

/// How long the others are waited for once enough have cosigned.
const GRACE: Duration = Duration::from_millis(200);

/// The witnesses of a policy.
pub(crate) struct Asker {
    policy: WitnessPolicy,
    known: Known,
}

/// How many entries of a log each witness is known to have seen, by log and witness. Forgotten with the process: then a witness says
/// itself, in a second turn.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<HashMap<(String, String), u64>>>);

impl Known {
    fn of(&self, log: &str, witness: &str) -> u64 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(log.to_owned(), witness.to_owned())).copied().unwrap_or_default()
    }

    fn is(&self, log: &str, witness: &str, size: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((log.to_owned(), witness.to_owned()), size);
    }
}

impl Asker {
    /// Takes a policy, `file` by name, by which a server can ask.
    pub(crate) fn new(policy: WitnessPolicy, file: &Path) -> Checked<Self> {
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
        Ok(Self { policy, known: Known::default() })
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

    fn ask(&self, directory: &Path, note: &str, log: &VerifierKey, all: bool, doubt: Doubt) -> Asked {
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
            let (all_known, log) = (self.known.clone(), key.name().to_owned());
            // By itself: one that does not answer in time keeps nobody waiting.
            thread::spawn(move || {
                let url = witness.url.unwrap_or_default();
                let mut known = all_known.of(&log, &witness.name);
                let answer = ask(&directory, &note, url.trim_end_matches('/'), &witness.key, &mut known);
                all_known.is(&log, &witness.name, known);
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
                    if !attach(&mut asked.note, &line, &self.policy, &key) {
                        tracing::error!(
                            log = key.name(),
                            witness = name,
                            "the checkpoint has no room for its signature"
                        );
                    }
                }
                Ok((name, Err(problem))) => {
                    tracing::warn!(log = key.name(), witness = name, %problem, "a witness did not cosign");
                    if problem.is_against() {
                        asked.against.push(format!("witness `{name}` did not cosign, for {problem}"));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return asked,
                Err(RecvTimeoutError::Timeout) => {
                    // What the others say against the log counts, however late they say it.
                    thread::spawn(move || listen(&answers, &doubt));
                    return asked;
                }
            }
        }
    }
}

/// Waits for the answers of those who were not waited for.
fn listen(answers: &Receiver<(String, Result<String, NotCosigned>)>, doubt: &Doubt) {
    while let Ok((witness, answer)) = answers.recv() {
        if let Err(problem) = answer
            && problem.is_against()
        {
            tracing::warn!(witness, %problem, "a witness did not cosign, when enough others had");
            return doubt();
        }
    }
}

/// A log's key as the verifier reads it.
fn verifier(log: &VerifierKey) -> Option<Key> {
    log.to_string().parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::{Next, from_fn};
    use axum::routing::post;
    use cleanroom_keys::SigningKey;
    use cleanroom_log::{LogDirectory, LogKey, Origin};
    use cleanroom_verify::Cosigner;
    use tempfile::TempDir;

    use super::*;
    use crate::witness::{Store, Witness, router};

    /// A log of as many entries as it is told to have.
    struct Log {
        folder: TempDir,
        key: LogKey,
    }

    impl Log {
        fn vkey(&self) -> VerifierKey {
            self.key.vkey(&Origin::for_room("logs.example", "r").unwrap())
        }

        /// Grows by an entry; gives the new checkpoint.
        fn grow(&self) -> String {
            let log = LogDirectory::open(self.folder.path()).unwrap();
            let tree = log.extend(log.size().unwrap(), &[b"entry".to_vec()]).unwrap();
            let origin = self.vkey().origin().clone();
            let note = cleanroom_log::Checkpoint { origin, size: tree.size(), root: tree.root() }.sign(&self.key);
            log.write_checkpoint(&note).unwrap();
            note
        }

        fn ask(&self, asker: &Asker, note: &str, doubt: Doubt) -> Asked {
            Witnesses::ask(asker, self.folder.path(), note, &self.vkey(), false, doubt)
        }
    }

    fn log() -> Log {
        Log { folder: tempfile::tempdir().unwrap(), key: LogKey::generate().unwrap() }
    }

    /// Serves what a witness says; gives its address.
    fn serve(answers: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, answers).await.unwrap();
            });
        });
        format!("http://{address}")
    }

    /// A witness of the log that counts how often it is asked.
    fn honest(log: &Log, folder: &Path, asked: &Arc<AtomicUsize>) -> (Cosigner, String) {
        let key = SigningKey::generate().unwrap();
        let public = Cosigner::new("honest.example", key.public()).unwrap();
        let store = Store::open(folder, vec![verifier(&log.vkey()).unwrap()]).unwrap();
        let counted = Arc::clone(asked);
        let count = from_fn(move |request: axum::extract::Request, next: Next| {
            counted.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        });
        let witness = router(Arc::new(Witness::new(key, public.clone(), store))).layer(count);
        (public, serve(witness))
    }

    #[test]
    fn a_witness_is_asked_once_where_it_is_known_what_it_saw() {
        let (log, folder, asked) = (log(), tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (key, url) = honest(&log, folder.path(), &asked);
        let asker = || {
            let policy = format!("witness w {key} {url}\nquorum w\n");
            Asker::new(policy.parse().unwrap(), Path::new("policy")).unwrap()
        };
        let first = asker();
        let ask = |asker: &Asker| {
            let said = log.ask(asker, &log.grow(), Box::new(|| {}));
            assert!(said.enough && said.against.is_empty() && key.has_cosigned(&said.note), "{said:?}");
            asked.swap(0, Ordering::SeqCst)
        };
        assert_eq!([ask(&first), ask(&first), ask(&first)], [1, 1, 1]);
        // A process that does not know yet is told by the witness.
        let second = asker();
        assert_eq!([ask(&second), ask(&second)], [2, 1]);
        // What was known is behind by now, and is no reason to call it a fork.
        assert_eq!([ask(&first), ask(&first)], [2, 1]);
    }

    #[test]
    fn what_a_witness_says_that_was_not_waited_for_is_heard() {
        let (log, folder) = (log(), tempfile::tempdir().unwrap());
        let (key, url) = honest(&log, folder.path(), &Arc::default());
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let late = serve(Router::new().route(
            "/add-checkpoint",
            post(move || async move {
                let wait = move || held.lock().unwrap().recv().unwrap();
                tokio::task::spawn_blocking(wait).await.unwrap();
                (StatusCode::CONFLICT, "999\n")
            }),
        ));
        let slow = Cosigner::new("slow.example", SigningKey::generate().unwrap().public()).unwrap();
        let policy = format!("witness w {key} {url}\nwitness slow {slow} {late}\ngroup any any w slow\nquorum any\n");
        let asker = Asker::new(policy.parse().unwrap(), Path::new("policy")).unwrap();
        let (send, doubted) = mpsc::channel();
        let said = log.ask(&asker, &log.grow(), Box::new(move || send.send(()).unwrap()));
        assert!(said.enough && said.against.is_empty(), "{said:?}");
        release.send(()).unwrap();
        doubted.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
