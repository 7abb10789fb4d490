//! The meaning: entries in order must tell a story that can be true. Hashes alone would accept a perfectly signed lie.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::budget::Budgets;
use super::entry::Entry;
use super::finding::{Code, Findings};
use super::signed::Signers;
use super::{VerifyError, read};
use cleanroom_format::BLOB_FOLDER;

/// No question runs longer; one without an outcome after this much of the log's own time was dropped.
const LONGEST_QUESTION: Duration = Duration::hours(24);

pub(super) struct Replay<'d> {
    directory: &'d Path,
    room: Option<String>,
    // Entries are missing: what depends on earlier ones cannot be judged any more.
    gap: bool,
    time: Option<OffsetDateTime>,
    members: HashMap<String, Vec<String>>,
    // Whether answers wait for witnesses, as far as entries tell.
    strict: Option<bool>,
    policies: HashMap<String, (u64, String)>,
    // The digest of each template in force.
    templates: HashMap<String, String>,
    // The templates that the active policy of a table approves, where it does not leave the question open.
    approved: HashMap<String, Vec<(String, String)>>,
    tables: HashMap<String, u64>,
    budgets: Budgets,
    signers: Signers,
    questions: HashMap<String, Question>,
    blobs: HashSet<String>,
    // Schemas of tables that the reader does not get to see, and how many of them entries name.
    withheld: HashSet<String>,
    unseen: usize,
}

enum Question {
    Open { index: u64, time: OffsetDateTime },
    Ended { index: u64, released: bool },
    // Refused, or a dry run: nothing was executed.
    Decided,
}

impl<'d> Replay<'d> {
    pub(super) fn new(directory: &'d Path, room: Option<&str>, signers: Signers) -> Self {
        Self {
            directory,
            room: room.map(str::to_owned),
            gap: false,
            time: None,
            members: HashMap::new(),
            strict: None,
            policies: HashMap::new(),
            templates: HashMap::new(),
            approved: HashMap::new(),
            tables: HashMap::new(),
            budgets: Budgets::default(),
            signers,
            questions: HashMap::new(),
            blobs: HashSet::new(),
            withheld: HashSet::new(),
            unseen: 0,
        }
    }

    /// Says which schemas, by their names in hexadecimal, are not missing but were not shown.
    pub(super) fn withholding(mut self, withheld: HashSet<String>) -> Self {
        self.withheld = withheld;
        self
    }

    /// Says that entries are missing here.
    pub(super) fn gap(&mut self) {
        self.gap = true;
        self.strict = None;
    }

    pub(super) fn entry(&mut self, index: u64, bytes: &[u8], findings: &mut Findings) -> Result<(), VerifyError> {
        let entry = match Entry::read(bytes) {
            Ok(entry) => entry,
            Err((code, message)) => {
                findings.add(Some(index), code, &message);
                return Ok(());
            }
        };
        let mut wrong = |code, message: &str| findings.add(Some(index), code, message);
        if entry.integer(&["seq"]) != Some(index) {
            wrong(Code::Sequence, "it carries another number than its place in the log");
        }
        if self.room.is_some() && entry.text(&["room"]) != self.room.as_deref() {
            wrong(Code::OtherRoom, "it is of another room than the log");
        }
        if self.time.is_some_and(|before| entry.time < before) {
            wrong(Code::Time, "it is earlier than the entry before it");
        }
        self.time = self.time.max(Some(entry.time));
        self.check_blobs(index, &entry, findings)?;
        if !self.gap {
            self.meaning(index, &entry, &mut |code, message: &str| findings.add(Some(index), code, message))?;
        }
        Ok(())
    }

    /// Tells whether the room is strict, where the log does.
    pub(super) fn finish(self, findings: &mut Findings) -> Option<bool> {
        if self.unseen > 0 {
            let message =
                format!("{} schemas of tables were not shown, and not compared with their digests", self.unseen);
            findings.add(None, Code::Withheld, &message);
        }
        let mut open = BTreeMap::new();
        for question in self.questions.values() {
            if let Question::Open { index, time } = question {
                open.insert(*index, *time);
            }
        }
        for (index, asked) in open {
            if self.time.is_some_and(|last| last - asked > LONGEST_QUESTION) {
                findings.add(Some(index), Code::MissingOutcome, "the question never got an outcome");
            } else {
                findings.add(Some(index), Code::Unfinished, "the question has no outcome yet");
            }
        }
        self.strict
    }

    fn check_blobs(&mut self, index: u64, entry: &Entry, findings: &mut Findings) -> Result<(), VerifyError> {
        for hex in &entry.blobs {
            if !self.blobs.insert(hex.clone()) {
                continue;
            }
            let name = blob_name(hex);
            match read(&self.directory.join(&name))? {
                None if entry.kind() == "table.version" && self.withheld.contains(hex) => self.unseen += 1,
                None => findings.add(Some(index), Code::MissingFile, &format!("`{name}` is missing")),
                Some(content) if hex::encode(digest(&SHA256, &content)) != *hex => {
                    findings.add(Some(index), Code::BlobMismatch, &format!("`{name}` is not what its name says"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn meaning(&mut self, index: u64, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) -> Result<(), VerifyError> {
        match entry.kind() {
            "room.put" => {
                let members = entry.list(&["body", "members"]).iter();
                self.members = members.map(|member| (text(member, "partner"), names(member, "abilities"))).collect();
                self.strictness(entry, wrong);
                self.signers.room(entry, wrong);
            }
            "policy.active" => self.policy(entry, wrong)?,
            "template.put" => self.template(entry, wrong),
            "table.version" => self.table(entry, wrong),
            "query.intent" => self.intent(index, entry, wrong),
            "query.refused" | "query.priced" => self.ask(entry, Question::Decided, wrong),
            "query.outcome" => self.outcome(index, entry, wrong),
            "result.delivered" => self.delivery(index, entry, wrong),
            _ => {}
        }
        Ok(())
    }

    fn strictness(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let told = entry.truth(&["body", "strict"]);
        match (self.strict, told) {
            // The oldest entries do not tell; once one does, leaving it out would hide that answers wait no longer.
            (Some(_), None) => {
                wrong(Code::StrictLeftOut, "it leaves out whether the room is strict, which earlier entries tell");
            }
            (Some(true), Some(false)) => wrong(Code::NotStrict, "from here on answers wait for witnesses no longer"),
            (Some(false), Some(true)) => wrong(Code::Strict, "from here on answers wait for witnesses"),
            (None, _) | (Some(true), Some(true)) | (Some(false), Some(false)) => {}
        }
        self.strict = told.or(self.strict);
    }

    fn policy(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) -> Result<(), VerifyError> {
        let body = |name| entry.text(&["body", name]);
        let version = entry.integer(&["body", "version"]).unwrap_or_default();
        let (table, digest) = (body("table").unwrap_or_default(), body("digest").unwrap_or_default());
        let active = self.policies.get(table);
        if body("previous") != active.map(|(_, digest)| digest.as_str()) {
            wrong(Code::PolicyVersion, "it replaces another policy than the one that was active");
        }
        if active.is_some_and(|(before, held)| version < *before || (version == *before && digest != held)) {
            wrong(Code::PolicyVersion, "the policy changed without a higher version");
        }
        self.policies.insert(table.to_owned(), (version, digest.to_owned()));
        self.signers.policy(entry, wrong);
        let approved = entry.list(&["body", "templates"]).iter();
        let approved: Vec<_> = approved.map(|one| (text(one, "name"), text(one, "digest"))).collect();
        // A policy that approves templates approves at least one.
        if approved.is_empty() {
            self.approved.remove(table);
        } else {
            self.approved.insert(table.to_owned(), approved);
        }
        // One that is missing, or not what its name says, is a finding already.
        let hex = digest.rsplit(':').next().unwrap_or_default();
        let content = read(&self.directory.join(blob_name(hex)))?;
        self.budgets.policy(table, content.as_deref());
        Ok(())
    }

    fn template(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let body = |name| entry.text(&["body", name]);
        let (name, digest) = (body("name").unwrap_or_default(), body("digest").unwrap_or_default());
        if body("previous") != self.templates.get(name).map(String::as_str) {
            wrong(Code::Template, "it replaces another template than the one in force");
        }
        self.templates.insert(name.to_owned(), digest.to_owned());
    }

    /// A question through a template names the one in force, and the policies that approve templates approve it.
    fn through(&self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let part = |part| entry.text(&["body", "template", part]);
        let template = part("name").zip(part("digest"));
        if let Some((name, digest)) = template
            && self.templates.get(name).map(String::as_str) != Some(digest)
        {
            wrong(Code::Template, "it came through a template that was not in force");
        }
        for policy in entry.list(&["body", "policies"]) {
            let Some(approved) = self.approved.get(&text(policy, "table")) else { continue };
            let stands = template.is_some_and(|(name, digest)| approved.iter().any(|(n, d)| n == name && d == digest));
            if !stands {
                wrong(Code::TemplateNotApproved, "a policy that decided it approves other templates alone");
            }
        }
    }

    fn table(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let version = entry.integer(&["body", "version"]).unwrap_or_default();
        let table = entry.text(&["body", "table"]).unwrap_or_default();
        if version <= self.tables.get(table).copied().unwrap_or(0) {
            wrong(Code::TableVersion, "the table's version is not above the one before");
        }
        self.tables.insert(table.to_owned(), version);
    }

    fn intent(&mut self, index: u64, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let analyst = entry.text(&["actor", "partner"]).and_then(|partner| self.members.get(partner));
        if !analyst.is_some_and(|abilities| abilities.iter().any(|ability| ability == "query")) {
            wrong(Code::NotAMember, "who asked was not a partner of the room with the ability `query`");
        }
        for policy in entry.list(&["body", "policies"]) {
            let active = self.policies.get(&text(policy, "table"));
            if active.is_none_or(|(_, digest)| *digest != text(policy, "digest")) {
                wrong(Code::PolicyNotActive, "it was decided by a policy that was not active");
            }
            self.signers.decided(&text(policy, "table"), wrong);
        }
        self.through(entry, wrong);
        self.budgets.intent(entry, wrong);
        let policies = entry.list(&["body", "policies"]);
        for read in entry.list(&["body", "tables"]) {
            let table = text(read, "table");
            let version = read.get("version").and_then(Value::as_u64).unwrap_or_default();
            if version == 0 || version > self.tables.get(&table).copied().unwrap_or(0) {
                wrong(Code::TableVersion, "it reads data of a version that was not registered");
            }
            if !policies.iter().any(|policy| text(policy, "table") == table) {
                wrong(Code::PolicyNotActive, "it reads a table without naming its policy");
            }
        }
        self.ask(entry, Question::Open { index, time: entry.time }, wrong);
    }

    fn ask(&mut self, entry: &Entry, question: Question, wrong: &mut impl FnMut(Code, &str)) {
        let Some(request) = entry.text(&["request"]) else {
            return wrong(Code::Entry, "a question has no request identifier");
        };
        if self.questions.contains_key(request) {
            // The first stays, so that what follows is judged by it.
            return wrong(Code::RepeatedRequest, "its request identifier belongs to an earlier question");
        }
        self.questions.insert(request.to_owned(), question);
    }

    fn outcome(&mut self, index: u64, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let body = |name| entry.text(&["body", name]);
        let released = body("status") == Some("released");
        if released != body("result").is_some() || released == body("code").is_some() {
            wrong(Code::Entry, "a released outcome has a result and no code, any other a code and no result");
        }
        let request = entry.text(&["request"]).unwrap_or_default();
        match self.questions.get_mut(request) {
            Some(question @ Question::Open { .. }) => *question = Question::Ended { index, released },
            Some(Question::Ended { .. }) => wrong(Code::SecondOutcome, "the question had an outcome already"),
            Some(Question::Decided) | None => {
                wrong(Code::NoIntent, "there is no question that it could be the outcome of")
            }
        }
    }

    fn delivery(&self, index: u64, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let outcome = entry.integer(&["body", "query"]);
        let question = entry.text(&["request"]).and_then(|request| self.questions.get(request));
        let released = match question {
            Some(Question::Ended { index: ended, released }) => *released && Some(*ended) == outcome && *ended < index,
            Some(Question::Open { .. } | Question::Decided) | None => false,
        };
        if !released {
            wrong(Code::NoOutcome, "a result was delivered that no outcome released");
        }
    }
}

fn blob_name(hex: &str) -> String {
    format!("{BLOB_FOLDER}/{}/{hex}", hex.get(..2).unwrap_or_default())
}

pub(super) fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn names(value: &Value, name: &str) -> Vec<String> {
    let names = value.get(name).and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}
