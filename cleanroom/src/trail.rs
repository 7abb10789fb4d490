//! Following questions through the log: what an entry is about, and which entries a reader asked for.

use std::collections::HashMap;

use cleanroom_log::{Entry, EntryTime, Event, OutcomeStatus, QueryIntent};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// The refusal that answers call `exhausted`.
pub(crate) const EXHAUSTED: &str = "CR3001";

/// The words for how a question ended.
pub(crate) const OUTCOMES: [&str; 6] = ["released", "refused", "exhausted", "failed", "cancelled", "priced"];

/// An entry that was read, with its canonical bytes.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// What it says.
    pub(crate) entry: Entry,
    /// The line whose hash is in the tree.
    pub(crate) line: String,
}

/// What the log has said until now that later entries refer to: the outcome of a question names no table, its intent does.
///
/// Entries must be given to it in order, from the first one on.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    questions: HashMap<String, Asked>,
    /// Digests by table and version, of policies that were put in force.
    policies: HashMap<(String, u64), String>,
}

/// A question as its intent describes it.
#[derive(Debug, Clone)]
struct Asked {
    analyst: String,
    tables: Vec<String>,
    /// Table and digest.
    policies: Vec<(String, String)>,
}

/// What an entry is about, with what its question's intent said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Who asked the question that it belongs to.
    pub(crate) analyst: Option<String>,
    /// `owner.table`.
    pub(crate) tables: Vec<String>,
    /// Table and digest in hexadecimal.
    pub(crate) policies: Vec<(String, String)>,
}

impl Trail {
    /// What the next entry is about.
    pub(crate) fn next(&mut self, entry: &Entry) -> About {
        match &entry.event {
            Event::PolicyActive(policy) => {
                let digest = policy.digest.hex();
                self.policies.insert((policy.table.clone(), policy.version), digest.clone());
                About {
                    analyst: None,
                    tables: vec![policy.table.clone()],
                    policies: vec![(policy.table.clone(), digest)],
                }
            }
            Event::TableVersion(version) => About { tables: vec![version.table.clone()], ..About::default() },
            Event::QueryIntent(intent) => {
                let asked = Asked {
                    analyst: entry.actor.partner.clone().unwrap_or_default(),
                    tables: tables(intent),
                    policies: intent.policies.iter().map(|one| (one.table.clone(), one.digest.hex())).collect(),
                };
                let about = About::of(&asked);
                if let Some(request) = &entry.request {
                    // A second intent of the same name is a lie that `audit verify` finds; the first counts.
                    self.questions.entry(request.clone()).or_insert(asked);
                }
                about
            }
            // Of these the log holds no tables: nothing was decided about them.
            Event::QueryRefused(_) | Event::QueryPriced(_) => {
                About { analyst: entry.actor.partner.clone(), ..About::default() }
            }
            Event::QueryOutcome(_) | Event::ResultDelivered(_) => {
                let asked = entry.request.as_ref().and_then(|request| self.questions.get(request));
                asked.map(About::of).unwrap_or_default()
            }
            Event::RoomPut(_) | Event::TemplatePut(_) | Event::TokenIssued(_) | Event::TokenRevoked(_) => {
                About::default()
            }
        }
    }

    /// Whether the intent of this question has been seen.
    pub(crate) fn knows(&self, request: &str) -> bool {
        self.questions.contains_key(request)
    }

    /// Learns of a policy that was put in force, by an entry that is not gone through.
    pub(crate) fn in_force(&mut self, table: &str, version: u64, digest: &str) {
        self.policies.insert((table.to_owned(), version), digest.to_owned());
    }

    /// Whether a policy in force was of this version.
    fn is_version(&self, table: &str, version: u64, digest: &str) -> bool {
        self.policies.get(&(table.to_owned(), version)).is_some_and(|held| held == digest)
    }
}

impl About {
    fn of(asked: &Asked) -> Self {
        Self {
            analyst: Some(asked.analyst.clone()).filter(|analyst| !analyst.is_empty()),
            tables: asked.tables.clone(),
            policies: asked.policies.clone(),
        }
    }
}

/// The tables that a question reads, and those whose policies alone decided it.
fn tables(intent: &QueryIntent) -> Vec<String> {
    let mut tables: Vec<String> = intent.tables.iter().map(|read| read.table.clone()).collect();
    for policy in &intent.policies {
        if !tables.contains(&policy.table) {
            tables.push(policy.table.clone());
        }
    }
    tables
}

/// How a question ended, and why; of the entry that says so.
pub(crate) fn outcome(event: &Event) -> Option<(&'static str, Option<&str>)> {
    match event {
        Event::QueryRefused(refused) if refused.code == EXHAUSTED => Some(("exhausted", Some(&refused.code))),
        Event::QueryRefused(refused) => Some(("refused", Some(&refused.code))),
        Event::QueryPriced(_) => Some(("priced", None)),
        Event::QueryOutcome(outcome) => {
            let word = match outcome.status {
                OutcomeStatus::Released => "released",
                OutcomeStatus::Failed => "failed",
                OutcomeStatus::Cancelled => "cancelled",
            };
            Some((word, outcome.code.as_deref()))
        }
        _ => None,
    }
}

/// A policy by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyChoice {
    /// `owner.table@version`.
    Version(String, u64),
    /// The SHA-256 of its canonical document, in hexadecimal.
    Digest(String),
}

impl std::str::FromStr for PolicyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Digest(hex));
        }
        let version = text.split_once('@').and_then(|(table, version)| Some((table, version.parse().ok()?)));
        match version {
            Some((table, version)) if table.contains('.') => Ok(Self::Version(table.to_owned(), version)),
            _ => Err("a policy is named `owner.table@version`, or by its digest of 64 hexadecimal digits".to_owned()),
        }
    }
}

/// The first moment that a text names: of a day, minute or second in UTC, or a moment of RFC 3339.
pub(crate) fn since(text: &str) -> Result<OffsetDateTime, String> {
    span(text).map(|(first, _)| first).ok_or_else(moment_help)
}

/// The last moment that a text names: the end of the day, minute or second where it is one.
pub(crate) fn until(text: &str) -> Result<OffsetDateTime, String> {
    let last = |(first, length): (OffsetDateTime, Duration)| first.checked_add(length);
    span(text).and_then(last).ok_or_else(moment_help)
}

/// The first moment, and how long it is from there to the last.
fn span(text: &str) -> Option<(OffsetDateTime, Duration)> {
    let (rest, length) = match text.len() {
        10 => ("T00:00:00Z", Duration::days(1)),
        16 => (":00Z", Duration::MINUTE),
        19 => ("Z", Duration::SECOND),
        _ => ("", Duration::MILLISECOND),
    };
    let first = OffsetDateTime::parse(&format!("{text}{rest}"), &Rfc3339).ok()?;
    Some((first, length - Duration::MILLISECOND))
}

fn moment_help() -> String {
    "a moment is written `2026-05-04` or `2026-05-04T13:14` (UTC), or as RFC 3339, `2026-05-04T13:14:15Z`".to_owned()
}

/// A choice of entries as it comes in an address; what is empty does not count.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice<'a> {
    pub(crate) kind: &'a str,
    pub(crate) partner: &'a str,
    pub(crate) table: &'a str,
    pub(crate) policy: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) query: &'a str,
    pub(crate) since: &'a str,
    pub(crate) until: &'a str,
}

impl Choice<'_> {
    /// Whether everything is chosen.
    pub(crate) fn is_all(&self) -> bool {
        let Self { kind, partner, table, policy, outcome, query, since, until } = self;
        [kind, partner, table, policy, outcome, query, since, until].iter().all(|text| text.is_empty())
    }

    /// The filter that it names.
    ///
    /// # Errors
    /// What cannot be read, in a sentence.
    pub(crate) fn filter(&self) -> Result<Filter, String> {
        fn some(text: &str) -> Option<&str> {
            Some(text).filter(|text| !text.is_empty())
        }
        let owned = |text: &str| some(text).map(str::to_owned);
        if let Some(outcome) = some(self.outcome).filter(|outcome| !OUTCOMES.contains(outcome)) {
            return Err(format!("`{}` is none of {}", outcome.escape_default(), OUTCOMES.join(", ")));
        }
        Ok(Filter {
            kind: owned(self.kind),
            partner: owned(self.partner),
            table: owned(self.table),
            policy: some(self.policy).map(str::parse).transpose()?,
            outcome: owned(self.outcome),
            since: some(self.since).map(since).transpose()?,
            until: some(self.until).map(until).transpose()?,
            query: owned(self.query),
        })
    }
}

/// Which entries. What is left out does not count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// The type of the entry, such as `query.refused`.
    pub(crate) kind: Option<String>,
    /// Who did it, or asked the question that it belongs to.
    pub(crate) partner: Option<String>,
    /// A table that it is about, or its question reads.
    pub(crate) table: Option<String>,
    /// A policy that it puts in force, or that decided its question.
    pub(crate) policy: Option<PolicyChoice>,
    /// How a question ended; of the entry that says so.
    pub(crate) outcome: Option<String>,
    /// Not before.
    pub(crate) since: Option<OffsetDateTime>,
    /// Not after.
    pub(crate) until: Option<OffsetDateTime>,
    /// The identifier of a question.
    pub(crate) query: Option<String>,
}

impl Filter {
    /// Whether an entry is asked for. `trail` has seen it.
    pub(crate) fn fits(&self, entry: &Entry, about: &About, trail: &Trail) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        is(&self.kind, Some(entry.event.kind()))
            && is(&self.query, entry.request.as_deref())
            && is(&self.outcome, outcome(&entry.event).map(|(word, _)| word))
            && self.partner.as_deref().is_none_or(|partner| is_by(partner, entry, about))
            && self.table.as_ref().is_none_or(|table| about.tables.contains(table))
            && self.since.is_none_or(|since| moment(entry.time) >= since)
            && self.until.is_none_or(|until| moment(entry.time) <= until)
            && match &self.policy {
                None => true,
                Some(PolicyChoice::Digest(wanted)) => about.policies.iter().any(|(_, digest)| digest == wanted),
                Some(PolicyChoice::Version(table, version)) => about
                    .policies
                    .iter()
                    .any(|(named, digest)| named == table && trail.is_version(table, *version, digest)),
            }
    }
}

fn is_by(partner: &str, entry: &Entry, about: &About) -> bool {
    entry.actor.partner.as_deref() == Some(partner) || about.analyst.as_deref() == Some(partner)
}

fn moment(time: EntryTime) -> OffsetDateTime {
    time.moment()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests {
    use super::*;

    const NONE: [u64; 0] = [];
    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn entry(seq: u64, kind: &str, request: &str, actor: &str, body: &str) -> Entry {
        let request = if request.is_empty() { String::new() } else { format!("\"request\":\"{request}\",") };
        let line = format!(
            "{{\"actor\":{actor},\"body\":{body},{request}\"room\":\"spring\",\"seq\":{seq},\
             \"time\":\"2026-05-04T13:14:1{seq}.000Z\",\"type\":\"{kind}\",\"v\":1}}"
        );
        Entry::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn story() -> Vec<Entry> {
        let agency = r#"{"door":"rest","partner":"agency"}"#;
        let operator = r#"{"door":"operator"}"#;
        let policy = format!(r#"{{"digest":"sha256:{HEX}","table":"shop.sales","version":3}}"#);
        let intent = format!(
            r#"{{"charge":[],"plan":"sha256:{HEX}","policies":[{{"digest":"sha256:{HEX}","table":"shop.sales"}}],"sql":"sha256:{HEX}","tables":[{{"table":"shop.sales","version":1}}]}}"#
        );
        vec![
            entry(0, "policy.active", "", r#"{"door":"rest","partner":"shop"}"#, &policy),
            entry(1, "query.intent", "q", agency, &intent),
            entry(2, "query.outcome", "q", operator, r#"{"code":"CR4201","status":"failed"}"#),
            entry(3, "query.refused", "r", agency, &format!(r#"{{"code":"CR3001","sql":"sha256:{HEX}"}}"#)),
        ]
    }

    fn found(change: impl FnOnce(&mut Filter)) -> Vec<u64> {
        let (mut filter, mut trail) = (Filter::default(), Trail::default());
        change(&mut filter);
        let chosen = story().into_iter().filter(|entry| {
            let about = trail.next(entry);
            filter.fits(entry, &about, &trail)
        });
        chosen.map(|entry| entry.sequence).collect()
    }

    #[test]
    fn an_entry_is_found_by_what_its_question_is_about() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found(|_| ()), [0, 1, 2, 3]);
        assert_eq!(found(|f| f.kind = some("query.intent")), [1]);
        assert_eq!(found(|f| f.partner = some("agency")), [1, 2, 3], "the failure is of the agency's question");
        assert_eq!(found(|f| f.partner = some("shop")), [0]);
        assert_eq!(found(|f| f.table = some("shop.sales")), [0, 1, 2]);
        assert_eq!(found(|f| f.table = some("shop.visits")), NONE);
        assert_eq!(found(|f| f.policy = Some("shop.sales@3".parse().unwrap())), [0, 1, 2]);
        assert_eq!(found(|f| f.policy = Some("shop.sales@2".parse().unwrap())), NONE);
        assert_eq!(found(|f| f.policy = Some(format!("sha256:{HEX}").parse().unwrap())), [0, 1, 2]);
        assert_eq!(found(|f| f.outcome = some("failed")), [2]);
        assert_eq!(found(|f| f.outcome = some("refused")), NONE, "a budget that does not admit it is another matter");
        assert_eq!(found(|f| f.outcome = some("exhausted")), [3]);
        assert_eq!(found(|f| f.query = some("q")), [1, 2]);
    }

    #[test]
    fn a_day_is_all_of_the_day() {
        assert_eq!(found(|f| f.since = Some(since("2026-05-04").unwrap())), [0, 1, 2, 3]);
        assert_eq!(found(|f| f.until = Some(until("2026-05-04").unwrap())), [0, 1, 2, 3]);
        assert_eq!(found(|f| f.until = Some(until("2026-05-03").unwrap())), NONE);
        assert_eq!(found(|f| f.since = Some(since("2026-05-04T15:14:12+02:00").unwrap())), [2, 3]);
        assert_eq!(found(|f| f.until = Some(until("2026-05-04T13:14:11Z").unwrap())), [0, 1]);
        assert_eq!(found(|f| f.since = Some(since("2026-05-04T13:14").unwrap())), [0, 1, 2, 3]);
        assert_eq!(found(|f| f.since = Some(since("2026-05-04T13:15").unwrap())), NONE);
        assert_eq!(found(|f| f.until = Some(until("2026-05-04T13:14").unwrap())), [0, 1, 2, 3], "all of the minute");
        assert_eq!(found(|f| f.until = Some(until("2026-05-04T13:14:11").unwrap())), [0, 1]);
        for wrong in ["", "yesterday", "2026-13-01", "2026-05-04T13", "9999-99-99", "04.05.2026"] {
            assert!(since(wrong).is_err() && until(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "shop.sales", "shop.sales@x", "sales@3", "sha256:12"] {
            assert!(wrong.parse::<PolicyChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_chooses_as_a_command_does() {
        assert!(Choice::default().is_all() && !Choice { query: "q", ..Choice::default() }.is_all());
        let chosen = |choice: Choice<'_>| {
            let filter = choice.filter().unwrap();
            found(|empty| *empty = filter)
        };
        assert_eq!(chosen(Choice::default()), [0, 1, 2, 3]);
        assert_eq!(chosen(Choice { policy: "shop.sales@3", outcome: "failed", ..Choice::default() }), [2]);
        assert_eq!(chosen(Choice { partner: "agency", until: "2026-05-04T13:14:12", ..Choice::default() }), [1, 2]);
        assert_eq!(chosen(Choice { kind: "query.intent", table: "shop.sales", query: "q", ..Choice::default() }), [1]);
        for wrong in [
            Choice { outcome: "lost", ..Choice::default() },
            Choice { policy: "shop.sales", ..Choice::default() },
            Choice { since: "noon", ..Choice::default() },
            Choice { until: "noon", ..Choice::default() },
        ] {
            assert!(wrong.filter().is_err(), "{wrong:?}");
        }
    }
}
