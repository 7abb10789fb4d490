#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod budgets;
mod files;
mod kept;
mod meaning;
mod receipts;
mod signed;
mod templates;
mod witnesses;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use cleanroom_log::{
    Actor, Charge, Digest, Door, Entry, EntryHash, EntryTime, Event, LogDirectory, LogKey, Member, Origin,
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
        story.tell(None, RoomPut { digest: digest("room"), strict: None, members });
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
        cleanroom_log::Checkpoint { origin: self.origin(), size, root }.sign(&self.key)
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
    story.tell(None, RoomPut { digest: digest("room"), strict: None, members: members.to_vec() });
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
