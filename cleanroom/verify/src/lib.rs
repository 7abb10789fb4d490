//! Offline verification: recomputes everything that a log's directory or a receipt claims, from nothing but files and a public
//! key.
//!
//! It shares constants with what writes logs, and no code, so that no mistake can vouch for itself; of budgets it shares the
//! arithmetic. The program `cleanroom-verify` is this crate alone.

mod budget;
mod cosignature;
mod entry;
mod finding;
mod hash;
mod json;
mod kept;
mod marks;
mod merkle;
mod note;
mod policy;
mod receipt;
mod replay;
mod signed;
mod stored;
mod witness;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use self::cosignature::Cosigner;
use self::finding::Findings;
pub use self::finding::{Code, Finding, Report};
pub use self::hash::Hash;
pub use self::json::read_json;
use self::kept::History;
pub use self::kept::Kept;
use self::marks::Marks;
pub use self::note::{Checkpoint, Key, KeyError, NoteError};
pub use self::policy::{Cosigned, PolicyError, Witness, WitnessPolicy};
pub use self::receipt::{Covers, Verified, verify_receipt, verify_receipt_witnessed};
use self::replay::Replay;
use self::signed::Signers;
use self::stored::Stored;
pub use self::witness::{Acceptable, NotAccepted, SUBMISSION_LIMIT, Submission};
pub use cleanroom_format::{ADD_CHECKPOINT, NOTE_SIGNATURE_LIMIT, TREE_SIZE_MEDIA};
use cleanroom_format::{
    CHECKPOINT_FILE, CHECKPOINTS_FILE, KEY_FILE, LOGS_FOLDER, NOTE_LIMIT, TILE_FOLDER, WITHHELD_FILE,
};

/// What a log is verified against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// Public keys of logs; a log that none of them names is verified with the key that lies beside it.
    pub keys: &'a [Key],
    /// Public keys of partners: each policy of such a partner must be signed by one of its keys, whatever the log says that its
    /// key is.
    pub members: &'a [Key],
    /// Who must have cosigned. The keys of logs in them count as given.
    pub witnesses: &'a [WitnessPolicy],
    /// Checkpoints and receipts that somebody kept.
    pub kept: &'a [Kept],
}

/// Verifies one log: signature, every tile, bundle and blob, the root, and that the entries tell a story that can be true.
/// One of `keys` must be the log's.
///
/// # Errors
/// Where nothing can be verified: the directory cannot be read. Everything else is a finding.
pub fn verify_directory(directory: &Path, keys: &[Key]) -> Result<Report, VerifyError> {
    verify_one(directory, Whose::Log, keys, &Against::default())
}

/// Verifies a copy of one log as somebody got it, with `known` as keys of the log besides those of `against`. Where none of them
/// all is given, the key beside the copy is believed.
///
/// # Errors
/// As [`verify_directory`]; and where something of `against` is of another log, and nothing else is wrong with this one.
pub fn verify_copy(directory: &Path, known: &[Key], against: &Against<'_>) -> Result<RoomReport, VerifyError> {
    let origin = claimed_origin(directory)?;
    let about = |key: &&Key| Some(key.name()) == origin.as_deref();
    // A key that was known before is the log's, whatever the name it goes by now.
    let mut keys: Vec<Key> = known.iter().chain(against.keys).cloned().collect();
    if keys.is_empty() {
        keys.extend(against.witnesses.iter().flat_map(WitnessPolicy::logs).filter(about).cloned());
    }
    let report = match keys.as_slice() {
        [] => verify_on_trust(directory, Whose::Copy, against)?,
        keys => verify_one(directory, Whose::Copy, keys, against)?,
    };
    if report.passed() {
        must_be_here(origin.as_slice(), against)?;
    }
    Ok(RoomReport { directory: directory.to_owned(), key_on_trust: keys.is_empty(), report })
}

/// Who holds the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The log itself, which has everything.
    Log,
    /// Somebody who was perhaps not shown every schema.
    Copy,
}

impl Whose {
    /// A copy that was made to be verified is a log's directory by itself, without the checkpoints that a log keeps of itself.
    fn of(directory: &Path, named: &Path) -> Self {
        if directory == named && !directory.join(CHECKPOINTS_FILE).exists() { Self::Copy } else { Self::Log }
    }
}

fn verify_one(directory: &Path, whose: Whose, keys: &[Key], against: &Against<'_>) -> Result<Report, VerifyError> {
    let mut findings = Findings::default();
    // Beside a running server, what is read later can only be newer: the history first, then what it must not be ahead of.
    let history = History::read(directory)?;
    let Some((checkpoint, note)) = signed_checkpoint(directory, keys, &mut findings)? else {
        return Ok(Report { size: 0, root: merkle::nothing(), strict: None, findings: findings.into_vec() });
    };
    let history = history.whole(&note, &mut findings);
    let kept: Vec<&Kept> = against.kept.iter().filter(|kept| kept.origin() == checkpoint.origin).collect();
    let mut marks = Marks::default();
    history.want(&mut marks);
    kept.iter().for_each(|kept| kept.want(&mut marks));
    let withheld = if whose == Whose::Copy { withheld(directory)? } else { HashSet::new() };
    let signers = Signers::knowing(against.members, &checkpoint.origin);
    let mut replay = Replay::new(directory, checkpoint.room(), signers).withholding(withheld);
    let root = Stored::new(directory, checkpoint.size).check(&mut replay, &mut marks, &mut findings)?;
    // Without every entry there is no root to compare, and the missing ones are findings already.
    if root.is_some_and(|root| root != checkpoint.root) {
        findings.add(None, Code::RootMismatch, "the entries have another root than the checkpoint signs");
    }
    let strict = replay.finish(&mut findings);
    history.check(keys, checkpoint.size, &marks, &mut findings);
    kept.iter().for_each(|kept| kept.check(keys, checkpoint.size, &marks, &mut findings));
    let policies: Vec<_> = against.witnesses.iter().filter(|policy| policy.is_about(&checkpoint.origin)).collect();
    if policies.is_empty() && note.trim_end().rsplit("\n\n").next().is_some_and(|lines| lines.lines().count() > 1) {
        let message = "others signed the checkpoint, too, which was not verified: give a policy of witnesses";
        findings.add(None, Code::NoPolicy, message);
    }
    if policies.iter().any(|policy| !policy.knows(&note)) {
        findings.add(
            None,
            Code::KeyMismatch,
            "a policy of witnesses gives another key for this log than the one that signed",
        );
    }
    history.check_witnesses((&checkpoint, &note), keys, (&kept, &policies), &mut findings);
    Ok(Report { size: checkpoint.size, root: checkpoint.root, strict, findings: findings.into_vec() })
}

/// Verifies the log in `directory`, or every log in it where it is a data directory. A log that none of `keys` names is
/// verified with the key that lies beside it, and its report says so.
///
/// # Errors
/// Where there is no log, a directory cannot be read, or a given key is that of none of the logs.
pub fn verify_tree(directory: &Path, keys: &[Key]) -> Result<Vec<RoomReport>, VerifyError> {
    verify_against(directory, &Against { keys, ..Against::default() })
}

/// As [`verify_tree`], by someone who knows more.
///
/// # Errors
/// As [`verify_tree`]; and where a policy of witnesses or something kept is of none of the logs.
pub fn verify_against(directory: &Path, against: &Against<'_>) -> Result<Vec<RoomReport>, VerifyError> {
    let policy_keys = against.witnesses.iter().flat_map(WitnessPolicy::logs);
    let keys: Vec<_> = against.keys.iter().chain(policy_keys).cloned().collect();
    let mut origins = Vec::new();
    let mut reports = Vec::new();
    for log in logs(directory)? {
        let (directory, whose) = (log.clone(), Whose::of(&log, directory));
        let origin = claimed_origin(&directory)?;
        let named: Vec<_> = keys.iter().filter(|key| Some(key.name()) == origin.as_deref()).cloned().collect();
        let key_on_trust = named.is_empty();
        let report = match key_on_trust {
            true => verify_on_trust(&directory, whose, against)?,
            false => verify_one(&directory, whose, &named, against)?,
        };
        origins.extend(origin);
        reports.push(RoomReport { directory, key_on_trust, report });
    }
    if reports.is_empty() {
        return Err(VerifyError::NotALog { path: directory.to_owned() });
    }
    must_be_here(&origins, against)?;
    Ok(reports)
}

/// What was given for a log that is not among `origins` would otherwise be looked at by nobody.
fn must_be_here(origins: &[String], against: &Against<'_>) -> Result<(), VerifyError> {
    let here = |origin: &str| origins.iter().any(|known| known == origin);
    let keys = against.keys.iter().map(Key::name).find(|origin| !here(origin));
    let kept = against.kept.iter().map(Kept::origin).find(|origin| !here(origin));
    let policy = against.witnesses.iter().find(|policy| !origins.iter().any(|origin| policy.is_about(origin)));
    let policy = policy.map(|policy| policy.logs().first().map_or("", Key::name));
    match keys.or(kept).or(policy) {
        Some(origin) => Err(VerifyError::NoSuchLog { origin: origin.to_owned() }),
        None => Ok(()),
    }
}

/// The public key that lies beside a log. Whoever could write the log could write it too.
///
/// # Errors
/// Where there is none, or it is not a key.
pub fn published_key(directory: &Path) -> Result<Key, VerifyError> {
    let path = directory.join(KEY_FILE);
    let text = fs::read_to_string(&path).map_err(|source| VerifyError::io(&path, source))?;
    text.trim_end().parse().map_err(|source| VerifyError::Key { path, source })
}

/// The report on one log of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomReport {
    /// The log's directory.
    pub directory: PathBuf,
    /// Whether the key was taken from the directory itself, which proves nothing about who wrote it.
    pub key_on_trust: bool,
    /// What was found.
    pub report: Report,
}

impl RoomReport {
    /// Reports as text for people, a few lines a log.
    pub fn for_people(reports: &[Self]) -> String {
        let mut out = String::new();
        for room in reports {
            let verdict = if room.report.passed() { "verified" } else { "NOT verified" };
            out.push_str(&format!(
                "{verdict}: {} ({} entries, root {})\n",
                room.directory.display(),
                room.report.size,
                room.report.root.to_base64()
            ));
            match room.report.strict {
                Some(true) => out.push_str("  the room is strict: its answers wait for witnesses\n"),
                Some(false) => out.push_str("  the room is not strict: its answers wait for no witness\n"),
                None => {}
            }
            for finding in &room.report.findings {
                out.push_str(&format!("  {finding}\n"));
            }
            if room.key_on_trust {
                out.push_str(
                    "  the key was taken from the directory itself: this shows that the log is whole, not who wrote it; \
                     give the key you were told by `--key`\n",
                );
            }
        }
        out
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The system refused to read.
    #[error("cannot read `{}`; look at its permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The public key beside the log is not one.
    #[error("`{}`: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// There is no log there.
    #[error("`{}` holds no log; name a data directory, or a log's directory with its file `checkpoint`", path.display())]
    NotALog {
        /// The folder.
        path: PathBuf,
    },
    /// Something was given whose log is not there.
    #[error(
        "there is no log `{origin}` here, for which a key, policy, checkpoint or receipt was given; look at that and at the directory"
    )]
    NoSuchLog {
        /// The log's name.
        origin: String,
    },
}

impl VerifyError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

fn verify_on_trust(directory: &Path, whose: Whose, against: &Against<'_>) -> Result<Report, VerifyError> {
    let nothing = |code, message: &str| {
        let mut findings = Findings::default();
        findings.add(None, code, message);
        Report { size: 0, root: merkle::nothing(), strict: None, findings: findings.into_vec() }
    };
    if read(&directory.join(CHECKPOINT_FILE))?.is_none() && stored::is_first_write(directory)? {
        return Ok(nothing(Code::NotStarted, "nothing has been signed in this log yet"));
    }
    match published_key(directory) {
        Ok(key) => verify_one(directory, whose, &[key], against),
        Err(VerifyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(nothing(Code::MissingFile, "`log.pub` is missing and no key was given"))
        }
        Err(VerifyError::Io { path, source }) if source.kind() != io::ErrorKind::InvalidData => {
            Err(VerifyError::Io { path, source })
        }
        Err(_) => Ok(nothing(Code::KeyMismatch, "`log.pub` does not hold a log's public key")),
    }
}

fn signed_checkpoint(
    directory: &Path,
    keys: &[Key],
    findings: &mut Findings,
) -> Result<Option<(Checkpoint, String)>, VerifyError> {
    let Some(note) = read(&directory.join(CHECKPOINT_FILE))? else {
        findings.add(None, Code::MissingFile, "`checkpoint` is missing");
        return Ok(None);
    };
    let Some(note) = text(&note) else {
        findings.add(None, Code::Checkpoint, "`checkpoint` is not text, or is longer than any checkpoint");
        return Ok(None);
    };
    let opened = keys.iter().map(|key| (key, Checkpoint::open(note, key)));
    let mut error = NoteError::Unsigned;
    for (key, opened) in opened {
        match opened {
            Ok(checkpoint) => {
                check_published_key(directory, key, findings)?;
                return Ok(Some((checkpoint, note.to_owned())));
            }
            Err(NoteError::Unsigned) => {}
            Err(other) => error = other,
        }
    }
    let code = match error {
        NoteError::Unsigned | NoteError::Signature | NoteError::Origin => Code::Signature,
        NoteError::Shape => Code::Checkpoint,
    };
    findings.add(None, code, &format!("`checkpoint`: {error}"));
    Ok(None)
}

// A reader who trusts the published key must not be led to another one.
fn check_published_key(directory: &Path, key: &Key, findings: &mut Findings) -> Result<(), VerifyError> {
    match read(&directory.join(KEY_FILE))? {
        None => findings.add(None, Code::MissingFile, "`log.pub` is missing"),
        Some(bytes) if bytes != format!("{key}\n").as_bytes() => {
            findings.add(None, Code::KeyMismatch, "`log.pub` holds another key than the one that signed");
        }
        Some(_) => {}
    }
    Ok(())
}

// Schemas that whoever made this copy was not shown: hidden columns stand in them, and nothing else follows from them. A log
// itself has them all, whatever it says.
fn withheld(directory: &Path) -> Result<HashSet<String>, VerifyError> {
    let listed = read(&directory.join(WITHHELD_FILE))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect())
}

fn text(bytes: &[u8]) -> Option<&str> {
    (bytes.len() <= NOTE_LIMIT).then(|| std::str::from_utf8(bytes).ok()).flatten()
}

fn claimed_origin(directory: &Path) -> Result<Option<String>, VerifyError> {
    let note = read(&directory.join(CHECKPOINT_FILE))?;
    let checkpoint = note.as_deref().and_then(text).and_then(Checkpoint::claimed);
    Ok(checkpoint.map(|checkpoint| checkpoint.origin))
}

fn logs(directory: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    if is_log(directory) {
        return Ok(vec![directory.to_owned()]);
    }
    let nested = directory.join(LOGS_FOLDER);
    let parent = if nested.is_dir() { nested } else { directory.to_owned() };
    if !parent.is_dir() {
        return Err(VerifyError::NotALog { path: directory.to_owned() });
    }
    let mut logs: Vec<_> = list(&parent)?.into_iter().filter(|path| is_log(path)).collect();
    logs.sort();
    Ok(logs)
}

fn is_log(directory: &Path) -> bool {
    [CHECKPOINT_FILE, KEY_FILE, TILE_FOLDER].iter().any(|name| directory.join(name).exists())
}

// The beginning of a file; `None` where there is no such file. No honest file is longer than what is read of it, and no
// other one shall fill the memory.
fn read(path: &Path) -> Result<Option<Vec<u8>>, VerifyError> {
    read_most(path, 64 << 20)
}

fn read_most(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, VerifyError> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content));
    match read {
        Ok(_) => Ok(Some(content)),
        // A file where a folder should be: what is looked for is not there either.
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(VerifyError::io(path, source)),
    }
}

// What lies in a folder; nothing where there is no such folder. Hidden files are left over from interrupted writing.
fn list(folder: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(source) => return Err(VerifyError::io(folder, source)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<Result<Vec<_>, _>>().map_err(|source| VerifyError::io(folder, source))?;
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    Ok(paths.into_iter().filter(|path| !hidden(path)).collect())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

type Hashes = Vec<Hash>;
