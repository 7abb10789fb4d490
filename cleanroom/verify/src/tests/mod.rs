#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod receipts;
mod signed;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use cleanroom_log::{
    Actor, Charge, Checkpoint, Digest, Door, Entry, EntryHash, EntryTime, Event, LogDirectory, LogKey, Member, Origin,
    OutcomeStatus, PolicyActive, PolicyReference, PricedOutcome, QueryIntent, QueryOutcome, QueryPriced, QueryRefused,
    ResultDelivered, Role, RoomPut, TableReference, TableVersion, TemplatePut, TemplateReference, TokenIssued,
    TokenRevoked, Tree, VerifierKey,
};

const TABLE: &str = "retailer.purchases";
const BLOBS: [&[u8]; 4] = [b"SELECT", b"plan", b"policy 1", b"schema"];

include!("../../../log/src/entry/one_of_each.rs");

/// Entries that follow each other, signed however they are.
struct Story {
    folder: TempDir,
    key: LogKey,
    lines: Vec<Vec<u8>>,
    clock: time::OffsetDateTime,
}

impl Story {
    fn new() -> Self {
        let clock = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        Self { folder: tempfile::tempdir().unwrap(), key: LogKey::generate().unwrap(), lines: Vec::new(), clock }
    }

    /// A room, a policy, data, and nothing asked yet.
    fn begun() -> Self {
        let mut story = Self::new();
        let abilities = vec!["query".to_owned(), "receive".to_owned()];
        let members = vec![Member {
            partner: "agency".to_owned(),
            abilities,
            key: None,
            signature: None,
            since: None,
            rotation: None,
        }];
        story.tell(None, RoomPut { digest: digest("room"), members });
        story.tell(None, policy(1, "policy 1", None));
        story.tell(
            None,
            TableVersion { table: TABLE.to_owned(), version: 1, schema: digest("schema"), content: digest("x") },
        );
        story
    }

    fn tell(&mut self, request: Option<&str>, event: impl Into<Event>) -> u64 {
        let sequence = self.lines.len() as u64;
        let entry = self.entry(sequence, request, event.into());
        self.lines.push(entry.to_line().unwrap());
        sequence
    }

    fn entry(&mut self, sequence: u64, request: Option<&str>, event: Event) -> Entry {
        self.clock += time::Duration::SECOND;
        Entry {
            sequence,
            room: "retail".to_owned(),
            time: EntryTime::new(self.clock),
            request: request.map(str::to_owned),
            actor: Actor { partner: Some("agency".to_owned()), door: Door::Rest, token: None },
            event,
        }
    }

    fn origin(&self) -> Origin {
        Origin::for_room("logs.example", "retail").unwrap()
    }

    fn vkey(&self) -> VerifierKey {
        self.key.vkey(&self.origin())
    }

    /// The same key, as the verifier reads it.
    fn public(&self) -> Key {
        read_key(&self.vkey())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log/retail")
    }

    fn sign(&self, size: u64, root: EntryHash) -> String {
        Checkpoint { origin: self.origin(), size, root }.sign(&self.key)
    }

    /// Writes and signs everything told so far, as the log itself would.
    fn write(&self) -> LogDirectory {
        let log = LogDirectory::open(self.path()).unwrap();
        for blob in BLOBS {
            log.write_blob(blob).unwrap();
        }
        log.write_key(&self.vkey()).unwrap();
        let size = log.size().unwrap();
        let tree = log.extend(size, &self.lines[size as usize..]).unwrap();
        log.write_checkpoint(&self.sign(tree.size(), tree.root())).unwrap();
        log
    }

    /// What is found, but for the notice that the owner has no key: signatures have a file of their own.
    fn verify(&self) -> Report {
        let mut report = verify_directory(&self.path(), &[self.public()]).unwrap();
        report.findings.retain(|finding| finding.code != Code::Unsigned);
        report
    }

    fn findings(&self) -> Vec<(Option<u64>, Code)> {
        self.verify().findings.iter().map(|finding| (finding.index, finding.code)).collect()
    }

    /// What is found in a story that was written and signed without asking what it means.
    fn told(&self) -> Vec<(Option<u64>, Code)> {
        self.write();
        self.findings()
    }

    fn question(&mut self, request: &str) {
        self.tell(Some(request), intent("policy 1", 1));
        let outcome = self.tell(Some(request), released());
        self.tell(
            Some(request),
            ResultDelivered { query: outcome, to: "agency".to_owned(), format: "json".to_owned() },
        );
    }
}

fn read_key(key: &VerifierKey) -> Key {
    key.to_string().parse().unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::sha256_of(text.as_bytes())
}

fn policy(version: u64, text: &str, previous: Option<&str>) -> PolicyActive {
    PolicyActive {
        table: TABLE.to_owned(),
        version,
        digest: digest(text),
        previous: previous.map(digest),
        templates: None,
        signature: None,
    }
}

fn intent(policy: &str, version: u64) -> QueryIntent {
    QueryIntent {
        sql: digest("SELECT"),
        plan: digest("plan"),
        policies: vec![PolicyReference { table: TABLE.to_owned(), digest: digest(policy) }],
        tables: vec![TableReference { table: TABLE.to_owned(), version }],
        charge: vec![],
        replay: None,
        template: None,
        params: None,
    }
}

/// The canonical document of a policy with noise, or what the verifier reads of it.
const NOISY: &[u8] = br#"{"noise":{"budget":{"delta":0.000001,"epsilon":1,"lifetime":2,"per_analyst":0.5,"refresh":"weekly"}},"unit":{"space":"household"}}"#;

fn charge(tenths: u64) -> Charge {
    Charge {
        table: TABLE.to_owned(),
        space: "household".to_owned(),
        // So much that the sum of pure epsilons is what counts.
        rho: "1000000000000".to_owned(),
        delta: "0".to_owned(),
        epsilon: Some((tenths * 100_000_000_000).to_string()),
    }
}

fn noisy(charge: Vec<Charge>) -> QueryIntent {
    let policies = vec![PolicyReference { table: TABLE.to_owned(), digest: Digest::sha256_of(NOISY) }];
    QueryIntent { policies, charge, ..intent("policy 1", 1) }
}

/// A story in which the table has noise: 1 a week, 2 in all, half of a week's for each analyst.
fn with_noise() -> Story {
    let mut story = Story::begun();
    LogDirectory::open(story.path()).unwrap().write_blob(NOISY).unwrap();
    let abilities = vec!["query".to_owned()];
    let members = ["agency", "brand", "retailer"].map(|partner| Member {
        partner: partner.to_owned(),
        abilities: abilities.clone(),
        key: None,
        signature: None,
        since: None,
        rotation: None,
    });
    story.tell(None, RoomPut { digest: digest("room"), members: members.to_vec() });
    story.tell(None, PolicyActive { digest: Digest::sha256_of(NOISY), ..policy(2, "policy 1", Some("policy 1")) });
    story
}

impl Story {
    fn ask(&mut self, partner: &str, intent: QueryIntent) -> u64 {
        let sequence = self.lines.len() as u64;
        let request = format!("q{sequence}");
        let mut entry = self.entry(sequence, Some(&request), intent.into());
        entry.actor.partner = Some(partner.to_owned());
        self.lines.push(entry.to_line().unwrap());
        self.tell(Some(&request), failed());
        sequence
    }
}

fn released() -> QueryOutcome {
    QueryOutcome { status: OutcomeStatus::Released, code: None, result: Some(digest("result")) }
}

fn failed() -> QueryOutcome {
    QueryOutcome { status: OutcomeStatus::Failed, code: Some("CR5001".to_owned()), result: None }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

// ---- the files

#[test]
fn an_honest_log_verifies_at_every_size() {
    let mut story = Story::begun();
    assert_eq!(story.told(), []);
    for number in 0..90 {
        story.question(&format!("q{number}"));
        if number % 7 == 0 || number > 80 {
            assert_eq!(story.told(), [], "{number}");
        }
    }
    let report = story.verify();
    assert_eq!(report.size, 273);
    let tree = Tree::from_leaves(story.lines.iter().map(|line| EntryHash::of_entry(line)));
    assert_eq!(report.root.as_bytes(), tree.root().as_bytes());
}

#[test]
fn one_wrong_byte_anywhere_is_found() {
    let mut story = Story::begun();
    story.question("q1");
    story.write();
    for path in files(&story.path()) {
        let honest = fs::read(&path).unwrap();
        for at in 0..honest.len() {
            flip(&path, at);
            assert!(!story.verify().passed(), "{} byte {at}", path.display());
            fs::write(&path, &honest).unwrap();
        }
        fs::write(&path, [honest.as_slice(), b"x"].concat()).unwrap();
        assert!(!story.verify().passed(), "{} longer", path.display());
        fs::write(&path, &honest[..honest.len() - 1]).unwrap();
        assert!(!story.verify().passed(), "{} shorter", path.display());
        fs::remove_file(&path).unwrap();
        assert!(!story.verify().passed(), "{} gone", path.display());
        fs::write(&path, &honest).unwrap();
    }
    assert_eq!(story.findings(), []);
}

#[test]
fn one_wrong_byte_in_any_file_of_a_large_log_is_found() {
    let mut story = Story::begun();
    (0..90).for_each(|number| story.question(&format!("q{number}")));
    story.write();
    for path in files(&story.path()) {
        let middle = fs::metadata(&path).unwrap().len() as usize / 2;
        flip(&path, middle);
        assert!(!story.verify().passed(), "{}", path.display());
        flip(&path, middle);
    }
    assert_eq!(story.findings(), []);
}

#[test]
fn a_wrong_hash_is_found_where_it_is() {
    let mut story = Story::begun();
    (0..90).for_each(|number| story.question(&format!("q{number}")));
    let log = story.write();
    flip(&log.path().join("tile/0/000"), 32 * 200 + 5);
    assert_eq!(story.findings(), [(Some(200), Code::TileMismatch)]);
    flip(&log.path().join("tile/0/000"), 32 * 200 + 5);
    flip(&log.path().join("tile/1/000.p/1"), 5);
    assert_eq!(story.findings(), [(Some(0), Code::TileMismatch)]);
}

#[test]
fn a_tail_that_was_cut_off_is_missed() {
    let mut story = Story::begun();
    story.write();
    let short = files(&story.path().join("tile"));
    (0..2).for_each(|number| story.question(&format!("q{number}")));
    story.write();
    for path in files(&story.path().join("tile")) {
        if !short.contains(&path) {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(story.findings(), [(Some(0), Code::MissingFile)]);
}

#[test]
fn a_copy_may_lack_the_schemas_that_it_lists_and_nothing_else() {
    let mut story = Story::begun();
    story.question("q1");
    let log = story.write();
    let remove = |text: &str| {
        let hex = Digest::sha256_of(text.as_bytes()).hex();
        fs::remove_file(log.path().join("blobs").join(&hex[..2]).join(&hex)).unwrap();
        hex
    };
    let schema = remove("schema");
    assert_eq!(story.findings(), [(Some(2), Code::MissingFile)]);
    fs::write(story.path().join("withheld"), format!("{schema}\n")).unwrap();
    assert_eq!(story.findings(), [(None, Code::Withheld)]);
    assert!(story.verify().passed());
    let sql = remove("SELECT");
    fs::write(story.path().join("withheld"), format!("{schema}\n{sql}\n")).unwrap();
    assert_eq!(story.findings(), [(Some(3), Code::MissingFile), (None, Code::Withheld)]);
}

#[test]
fn an_entry_that_was_taken_out_or_changed_needs_another_root() {
    let mut story = Story::begun();
    story.question("q1");
    let log = story.write();
    let signed = log.checkpoint().unwrap().unwrap();
    let honest = story.lines.clone();
    story.lines[4] = story.lines[3].clone();
    log.rebuild(&story.lines).unwrap();
    log.write_checkpoint(&signed).unwrap();
    assert!(story.findings().contains(&(None, Code::RootMismatch)));
    log.rebuild(&honest).unwrap();
    assert_eq!(story.findings(), []);
}

#[test]
fn a_checkpoint_must_sign_the_entries_that_are_there() {
    let story = Story::begun();
    let log = story.write();
    log.write_checkpoint(&story.sign(3, EntryHash::of_entry(b"another history"))).unwrap();
    assert_eq!(story.findings(), [(None, Code::RootMismatch)]);
}

#[test]
fn a_checkpoint_must_be_signed_by_the_given_key() {
    let story = Story::begun();
    story.write();
    let foreign = read_key(&LogKey::generate().unwrap().vkey(&story.origin()));
    let report = verify_directory(&story.path(), std::slice::from_ref(&foreign)).unwrap();
    assert_eq!(report.findings[0].code, Code::Signature);
    assert!(!report.passed());
    let report = verify_directory(&story.path(), &[foreign, story.public()]).unwrap();
    assert!(report.passed());
    assert!(!verify_directory(&story.path(), &[]).unwrap().passed());
}

#[test]
fn another_published_key_is_found() {
    let story = Story::begun();
    let log = story.write();
    log.write_key(&LogKey::generate().unwrap().vkey(&story.origin())).unwrap();
    assert_eq!(story.findings(), [(None, Code::KeyMismatch)]);
}

#[test]
fn data_that_was_not_signed_yet_is_a_notice() {
    let mut story = Story::begun();
    let log = story.write();
    let signed = log.checkpoint().unwrap().unwrap();
    (0..90).for_each(|number| story.question(&format!("q{number}")));
    log.extend(3, &story.lines[3..10]).unwrap();
    assert_eq!(story.findings(), [(None, Code::BeyondCheckpoint)]);
    assert!(story.verify().passed());
    // As far as it is signed, it has to agree.
    for name in ["tile/0/000.p/10", "tile/entries/000.p/10"] {
        flip(&story.path().join(name), 40);
        assert!(story.findings().contains(&(None, Code::TileMismatch)));
        flip(&story.path().join(name), 40);
    }
    // Even when the signed partial tile has already given way to a full one.
    log.extend(3, &story.lines[3..]).unwrap();
    log.write_checkpoint(&story.sign(273, EntryHash::of_nothing())).unwrap();
    log.write_checkpoint(&signed).unwrap();
    assert!(!story.path().join("tile/0/000.p").exists());
    assert_eq!(story.findings(), [(None, Code::BeyondCheckpoint)]);
    assert!(story.verify().passed());
}

#[test]
fn narrower_files_of_earlier_checkpoints_must_agree() {
    let mut story = Story::begun();
    story.write();
    story.question("q1");
    story.write();
    for name in ["tile/0/000.p/3", "tile/entries/000.p/3"] {
        flip(&story.path().join(name), 40);
        assert_eq!(story.findings(), [(None, Code::TileMismatch)]);
        flip(&story.path().join(name), 40);
    }
}

// ---- the directories

#[test]
fn a_data_directory_is_verified_log_by_log() {
    let story = Story::begun();
    story.write();
    for directory in [story.folder.path().to_owned(), story.folder.path().join("log"), story.path()] {
        let reports = verify_tree(&directory, &[]).unwrap();
        assert_eq!(reports.len(), 1);
        assert!(reports[0].key_on_trust && reports[0].report.passed());
        let reports = verify_tree(&directory, &[story.public()]).unwrap();
        assert!(!reports[0].key_on_trust && reports[0].report.passed());
    }
    let other = story.key.vkey(&Origin::for_room("logs.example", "health").unwrap());
    assert!(matches!(verify_tree(&story.path(), &[read_key(&other)]), Err(VerifyError::NoSuchLog { .. })));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(verify_tree(empty.path(), &[]), Err(VerifyError::NotALog { .. })));
    assert!(matches!(verify_tree(&empty.path().join("none"), &[]), Err(VerifyError::NotALog { .. })));
}

#[test]
fn a_log_that_was_never_signed_is_a_notice_and_one_that_lost_its_checkpoint_a_failure() {
    let mut story = Story::begun();
    let log = LogDirectory::open(story.path()).unwrap();
    log.write_key(&story.vkey()).unwrap();
    log.extend(0, &story.lines).unwrap();
    let only = |reports: Vec<RoomReport>| reports[0].report.findings[0].code;
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::NotStarted);
    story.write();
    story.question("q1");
    story.write();
    fs::remove_file(story.path().join("checkpoint")).unwrap();
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::MissingFile);
    fs::remove_file(story.path().join("log.pub")).unwrap();
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::MissingFile);
    fs::write(story.path().join("log.pub"), [0xff, 0xfe]).unwrap();
    assert_eq!(only(verify_tree(story.folder.path(), &[]).unwrap()), Code::KeyMismatch);
}

// ---- the meaning: all of these are correctly hashed and signed

#[test]
fn every_kind_of_entry_is_of_the_format_that_the_verifier_knows() {
    let mut story = Story::new();
    for event in one_of_each() {
        let entry = story.entry(7, Some("q1"), event);
        assert!(entry::Entry::read(&entry.to_line().unwrap()).is_ok(), "{}", entry.event.kind());
    }
}

#[test]
fn an_entry_in_another_spelling_is_found() {
    let story = Story::begun();
    let line = String::from_utf8(story.lines[2].clone()).unwrap();
    let changed = |from: &str, to: &str| {
        let mut other = Story::begun();
        other.lines[2] = line.replacen(from, to, 1).into_bytes();
        assert_ne!(other.lines[2], story.lines[2]);
        other.told()
    };
    for (from, to) in [
        (r#""seq":2"#, r#""seq": 2"#),
        (r#""seq":2"#, r#""seq":2.0"#),
        (r#""seq":2"#, r#""seq":2,"seq":2"#),
        ("retailer", "retaile\\u0072"),
    ] {
        assert_eq!(changed(from, to), [(Some(2), Code::NotCanonical)], "{to}");
    }
    for (from, to) in [
        (r#""v":1"#, r#""v":2"#),
        (r#""v":1"#, r#""v":1,"w":1"#),
        ("table.version", "table.forgotten"),
        ("sha256:", "sha512:"),
        ("retailer.purchases", "purchases"),
        ("Z\"", "+00:00\""),
        (r#""door":"rest""#, r#""door":"back""#),
        (r#""door":"rest","#, ""),
        ("{", "["),
    ] {
        assert_eq!(changed(from, to), [(Some(2), Code::Entry)], "{to}");
    }
}

#[test]
fn entries_that_were_put_in_another_order_are_found() {
    let mut story = Story::begun();
    story.lines.swap(1, 2);
    let expected = [(Some(1), Code::Sequence), (Some(2), Code::Sequence), (Some(2), Code::Time)];
    assert_eq!(story.told(), expected);
}

#[test]
fn an_entry_of_another_room_is_found() {
    let mut story = Story::begun();
    let mut entry = story.entry(3, None, policy(2, "policy 1", Some("policy 1")).into());
    entry.room = "health".to_owned();
    story.lines.push(entry.to_line().unwrap());
    assert_eq!(story.told(), [(Some(3), Code::OtherRoom)]);
}

#[test]
fn a_question_without_outcome_is_unfinished_and_after_a_day_missing() {
    let mut story = Story::begun();
    let asked = story.tell(Some("q1"), intent("policy 1", 1));
    assert_eq!(story.told(), [(Some(asked), Code::Unfinished)]);
    assert!(story.verify().passed());
    story.question("q2");
    assert_eq!(story.told(), [(Some(asked), Code::Unfinished)]);
    story.clock += time::Duration::days(2);
    story.question("q3");
    assert_eq!(story.told(), [(Some(asked), Code::MissingOutcome)]);
    story.tell(Some("q1"), failed());
    assert_eq!(story.told(), []);
}

#[test]
fn an_outcome_needs_a_question_and_comes_once() {
    let mut story = Story::begun();
    story.question("q1");
    let second = story.tell(Some("q1"), failed());
    let lost = story.tell(Some("q2"), released());
    story.tell(
        Some("q3"),
        QueryRefused { sql: digest("SELECT"), code: "CR2104".to_owned(), template: None, params: None },
    );
    let refused = story.tell(Some("q3"), released());
    let expected = [(Some(second), Code::SecondOutcome), (Some(lost), Code::NoIntent), (Some(refused), Code::NoIntent)];
    assert_eq!(story.told(), expected);
}

#[test]
fn an_identifier_is_for_one_question() {
    let mut story = Story::begun();
    story.question("q1");
    let again = story.tell(
        Some("q1"),
        QueryPriced { sql: digest("SELECT"), outcome: PricedOutcome::Released, template: None, params: None },
    );
    let nameless = story.tell(None, intent("policy 1", 1));
    assert_eq!(story.told(), [(Some(again), Code::RepeatedRequest), (Some(nameless), Code::Entry)]);
}

#[test]
fn a_question_is_decided_by_the_policy_that_is_active() {
    let mut story = Story::begun();
    let unknown = story.tell(Some("q1"), intent("policy 2", 1));
    story.tell(Some("q1"), failed());
    let mut nothing = intent("policy 1", 1);
    nothing.policies.clear();
    let silent = story.tell(Some("q2"), nothing);
    story.tell(Some("q2"), failed());
    story.tell(None, policy(2, "plan", Some("policy 1")));
    let stale = story.tell(Some("q3"), intent("policy 1", 1));
    story.tell(Some("q3"), failed());
    let expected = [unknown, silent, stale].map(|index| (Some(index), Code::PolicyNotActive));
    assert_eq!(story.told(), expected);
}

#[test]
fn a_policy_never_goes_back() {
    let mut story = Story::begun();
    story.tell(None, policy(3, "plan", Some("policy 1")));
    let back = story.tell(None, policy(2, "policy 1", Some("plan")));
    let other = story.tell(None, policy(2, "plan", Some("policy 1")));
    let forgets = story.tell(None, policy(4, "policy 1", None));
    let expected = [back, other, forgets].map(|index| (Some(index), Code::PolicyVersion));
    assert_eq!(story.told(), expected);
}

#[test]
fn data_that_is_read_was_registered_and_its_version_rises() {
    let mut story = Story::begun();
    let same = story.tell(
        None,
        TableVersion { table: TABLE.to_owned(), version: 1, schema: digest("schema"), content: digest("y") },
    );
    let early = story.tell(Some("q1"), intent("policy 1", 2));
    story.tell(Some("q1"), failed());
    assert_eq!(story.told(), [(Some(same), Code::TableVersion), (Some(early), Code::TableVersion)]);
}

#[test]
fn only_a_member_that_may_ask_has_asked() {
    let mut story = Story::begun();
    story.tell(None, RoomPut { digest: digest("room"), members: vec![] });
    let asked = story.tell(Some("q1"), intent("policy 1", 1));
    story.tell(Some("q1"), failed());
    assert_eq!(story.told(), [(Some(asked), Code::NotAMember)]);
}

#[test]
fn nothing_is_delivered_that_was_not_released() {
    let mut story = Story::begun();
    let delivered = |query| ResultDelivered { query, to: "agency".to_owned(), format: "json".to_owned() };
    let asked = story.tell(Some("q1"), intent("policy 1", 1));
    let early = story.tell(Some("q1"), delivered(asked));
    let outcome = story.tell(Some("q1"), failed());
    let failed = story.tell(Some("q1"), delivered(outcome));
    story.question("q2");
    let other = story.tell(Some("q2"), delivered(outcome));
    let expected = [early, failed, other].map(|index| (Some(index), Code::NoOutcome));
    assert_eq!(story.told(), expected);
}

#[test]
fn a_checkpoint_over_more_entries_than_can_be_does_not_keep_the_verifier_busy() {
    let story = Story::begun();
    story.write();
    let note = story.sign(u64::MAX, EntryHash::of_nothing());
    fs::write(story.path().join("checkpoint"), note).unwrap();
    assert!(!story.verify().passed());
}

#[test]
fn a_log_that_is_wrong_throughout_is_reported_in_little_memory() {
    let mut story = Story::new();
    story.lines = vec![b"{}".to_vec(); 1500];
    story.write();
    let report = story.verify();
    assert_eq!(report.findings.len(), 1001);
    assert_eq!(report.findings[1000].code, Code::More);
}

fn put(content: &str, previous: Option<&str>) -> TemplatePut {
    TemplatePut { name: "reach".to_owned(), digest: digest(content), previous: previous.map(digest) }
}

/// A story with what questions through templates name besides.
fn with_templates() -> Story {
    let story = Story::begun();
    let log = LogDirectory::open(story.path()).unwrap();
    for blob in ["policy 2", "template", "other template"] {
        log.write_blob(blob.as_bytes()).unwrap();
    }
    story
}

fn through(content: &str) -> TemplateReference {
    TemplateReference { name: "reach".to_owned(), digest: digest(content) }
}

#[test]
fn a_question_comes_through_an_approved_template() {
    let mut story = with_templates();
    story.tell(None, put("template", None));
    story.tell(
        None,
        PolicyActive { templates: Some(vec![through("template")]), ..policy(2, "policy 2", Some("policy 1")) },
    );
    story.tell(Some("q1"), QueryIntent { template: Some(through("template")), ..intent("policy 2", 1) });
    story.tell(Some("q1"), released());
    assert_eq!(story.told(), []);
}

#[test]
fn a_question_through_another_template_is_found() {
    let mut story = with_templates();
    story.tell(None, put("template", None));
    story.tell(
        None,
        PolicyActive { templates: Some(vec![through("template")]), ..policy(2, "policy 2", Some("policy 1")) },
    );
    // In SQL, where the policy approves templates alone.
    let plain = story.tell(Some("q1"), intent("policy 2", 1));
    story.tell(Some("q1"), released());
    // Replaced after the approval.
    story.tell(None, put("other template", Some("template")));
    let replaced =
        story.tell(Some("q2"), QueryIntent { template: Some(through("other template")), ..intent("policy 2", 1) });
    story.tell(Some("q2"), released());
    // Approved, and no longer in force.
    let gone = story.tell(Some("q3"), QueryIntent { template: Some(through("template")), ..intent("policy 2", 1) });
    story.tell(Some("q3"), released());
    let forked = story.tell(None, put("template", None));
    assert_eq!(
        story.told(),
        [
            (Some(plain), Code::TemplateNotApproved),
            (Some(replaced), Code::TemplateNotApproved),
            (Some(gone), Code::Template),
            (Some(forked), Code::Template),
        ]
    );
}

#[test]
fn an_approval_of_nothing_is_no_entry() {
    let mut story = with_templates();
    let entry = story.entry(
        3,
        None,
        PolicyActive { templates: Some(vec![]), ..policy(2, "policy 2", Some("policy 1")) }.into(),
    );
    assert!(entry.to_line().is_err());
}

#[test]
fn charges_stay_within_what_the_policy_lets_be_spent() {
    let mut story = with_noise();
    story.ask("agency", noisy(vec![charge(4)]));
    let capped = story.ask("agency", noisy(vec![charge(2)]));
    story.ask("brand", noisy(vec![charge(4)]));
    let period = story.ask("brand", noisy(vec![charge(1)]));
    // What was overspent counts, too: 1.1 by now.
    story.clock += time::Duration::days(7);
    story.ask("agency", noisy(vec![charge(5)]));
    story.ask("brand", noisy(vec![charge(4)]));
    story.clock += time::Duration::days(7);
    let lifetime = story.ask("agency", noisy(vec![charge(1)]));
    let expected = [capped, period, lifetime].map(|index| (Some(index), Code::Overspent));
    assert_eq!(story.told(), expected);
}

#[test]
fn what_has_noise_is_charged_unless_it_is_the_askers_own() {
    let mut story = with_noise();
    let free = story.ask("agency", noisy(vec![]));
    story.ask("retailer", noisy(vec![]));
    assert_eq!(story.told(), [(Some(free), Code::Uncharged)]);
}

#[test]
fn a_charge_belongs_to_its_question() {
    let mut story = with_noise();
    let other = |table: &str, space: &str| Charge { table: table.to_owned(), space: space.to_owned(), ..charge(1) };
    let twice = story.ask("agency", noisy(vec![charge(1), charge(1)]));
    let unread = story.ask("agency", noisy(vec![charge(1), other("retailer.returns", "household")]));
    let space = story.ask("agency", noisy(vec![other(TABLE, "card")]));
    let unequal = story.ask("brand", noisy(vec![charge(1), Charge { rho: "2".to_owned(), ..charge(1) }]));
    story.tell(None, PolicyActive { previous: Some(Digest::sha256_of(NOISY)), ..policy(3, "policy 1", None) });
    let without = story.ask("brand", QueryIntent { charge: vec![charge(1)], ..intent("policy 1", 1) });
    let expected = [twice, unread, unread, space, unequal, unequal, without].map(|index| (Some(index), Code::Charge));
    assert_eq!(story.told(), expected);
}

#[test]
fn what_is_shown_again_was_paid_for_by_who_asks() {
    let mut story = with_noise();
    let paid = story.ask("agency", noisy(vec![charge(1)]));
    let again = |request: u64| QueryIntent { replay: Some(format!("q{request}")), ..noisy(vec![]) };
    story.ask("agency", again(paid));
    let another = story.ask("brand", again(paid));
    let unpaid = story.ask("brand", again(another));
    story.tell(
        None,
        TableVersion { table: TABLE.to_owned(), version: 2, schema: digest("schema"), content: digest("y") },
    );
    let tables = vec![TableReference { table: TABLE.to_owned(), version: 2 }];
    let newer = story.ask("agency", QueryIntent { tables, ..again(paid) });
    let expected = [another, unpaid, newer].map(|index| (Some(index), Code::Uncharged));
    assert_eq!(story.told(), expected);
}

#[test]
fn amounts_have_one_spelling() {
    for (amount, fits) in [
        ("0", true),
        ("9223372036854775807", true),
        ("9223372036854775808", false),
        ("99999999999999999999", false),
        ("007", false),
        ("+7", false),
        ("-7", false),
        ("", false),
        ("1.5", false),
    ] {
        let mut story = with_noise();
        let intent = noisy(vec![Charge { rho: amount.to_owned(), ..charge(1) }]);
        let entry = story.entry(5, Some("q5"), intent.into());
        assert_eq!(entry.to_line().is_ok(), fits, "{amount}");
        let honest = story.entry(5, Some("q5"), noisy(vec![charge(1)]).into()).to_line().unwrap();
        let line =
            String::from_utf8(honest).unwrap().replacen(r#""rho":"1000000000000""#, &format!(r#""rho":"{amount}""#), 1);
        assert_eq!(entry::Entry::read(line.as_bytes()).is_ok(), fits, "{amount}");
    }
    let mut story = with_noise();
    let both = QueryIntent { replay: Some("q1".to_owned()), ..noisy(vec![charge(1)]) };
    assert!(story.entry(5, Some("q5"), both.into()).to_line().is_err(), "what is shown again costs nothing");
}
