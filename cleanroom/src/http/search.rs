//! Entries of a log by what they are about, for readers of a server: the same choice as on the command line ([`Filter`]).

use std::collections::HashSet;

use cleanroom_log::{Entry, Event};
use cleanroom_policy::{Room, TableName};

use super::app::App;
use super::problem::Problem;
use crate::trail::{About, Filter, PolicyChoice, Read, Trail};

/// Entries read at once.
const CHUNK: u64 = 1000;
/// Entries that one request looks at, whether they fit or not: a rare one may be some requests away, and none reads a whole log.
const LOOKED_AT: u64 = 20_000;

/// Entries that were found.
pub(crate) struct Found {
    /// In the order in which they were looked at.
    pub(crate) entries: Vec<Read>,
    /// Where to go on; `None` where there is nothing more to look at.
    pub(crate) rest: Option<u64>,
}

/// Looks through a part of a log. Whoever asks has been let into the room.
pub(crate) struct Search<'a> {
    app: &'a App,
    room: &'a Room,
    trail: Trail,
    /// Whether what entries are about matters, which their questions' intents say.
    follows: bool,
}

impl<'a> Search<'a> {
    /// A search for what `filter` chooses.
    pub(crate) async fn new(app: &'a App, room: &'a Room, filter: &Filter) -> Result<Self, Problem> {
        let mut trail = Trail::default();
        if let Some(PolicyChoice::Version(table, version)) = &filter.policy
            && let Ok(table) = TableName::parse(table)
        {
            let versions = app.registry().policy_versions(&room.name, &table, u32::MAX).await?;
            for known in versions.iter().filter(|known| known.version == *version) {
                trail.in_force(&table.to_string(), known.version, &known.digest);
            }
        }
        let follows = filter.partner.is_some() || filter.table.is_some() || filter.policy.is_some();
        Ok(Self { app, room, trail, follows })
    }

    /// Looks from entry `from` on; finds at most `most`.
    pub(crate) async fn forwards(&mut self, from: u64, most: usize, filter: &Filter) -> Result<Found, Problem> {
        let mut found = Found { entries: Vec::new(), rest: None };
        let mut next = from;
        while next.saturating_sub(from) < LOOKED_AT {
            if found.entries.len() >= most {
                break;
            }
            let chunk = self.chunk(next, next.saturating_add(CHUNK)).await?;
            if chunk.is_empty() {
                return Ok(found);
            }
            for (read, about) in chunk {
                if found.entries.len() >= most {
                    break;
                }
                next = read.entry.sequence.saturating_add(1);
                if filter.fits(&read.entry, &about, &self.trail) {
                    found.entries.push(read);
                }
            }
        }
        found.rest = Some(next);
        Ok(found)
    }

    /// Looks backwards from the entry before `before`; finds at most `most` for which `fits` holds.
    pub(crate) async fn backwards(
        &mut self,
        before: u64,
        most: usize,
        mut fits: impl FnMut(&Read, &About, &Trail) -> bool,
    ) -> Result<Found, Problem> {
        let mut found = Found { entries: Vec::new(), rest: None };
        let (mut next, mut looked) = (before, 0);
        while next > 0 {
            if looked >= LOOKED_AT {
                found.rest = Some(next);
                break;
            }
            let from = next.saturating_sub(CHUNK);
            for (read, about) in self.chunk(from, next).await?.into_iter().rev() {
                let sequence = read.entry.sequence;
                if fits(&read, &about, &self.trail) {
                    found.entries.push(read);
                    if found.entries.len() == most {
                        found.rest = (sequence > 0).then_some(sequence);
                        return Ok(found);
                    }
                }
            }
            looked += next - from;
            next = from;
        }
        Ok(found)
    }

    async fn chunk(&mut self, from: u64, to: u64) -> Result<Vec<(Read, About)>, Problem> {
        let held = self.app.registry().log_entries(&self.room.name, from, to.saturating_sub(from)).await?;
        let reads: Vec<Read> = held
            .into_iter()
            .map(|held| Ok(Read { entry: parsed(&held.json)?, line: held.json }))
            .collect::<Result<_, Problem>>()?;
        if self.follows {
            self.learn(&reads).await?;
        }
        Ok(reads
            .into_iter()
            .map(|read| {
                let about = self.trail.next(&read.entry);
                (read, about)
            })
            .collect())
    }

    /// Looks up the questions that the entries belong to, where they stand elsewhere in the log.
    async fn learn(&mut self, reads: &[Read]) -> Result<(), Problem> {
        let request = |read: &Read| read.entry.request.clone();
        let here: HashSet<String> =
            reads.iter().filter(|read| matches!(read.entry.event, Event::QueryIntent(_))).filter_map(request).collect();
        let wanted: HashSet<String> = reads
            .iter()
            .filter(|read| matches!(read.entry.event, Event::QueryOutcome(_) | Event::ResultDelivered(_)))
            .filter_map(request)
            .filter(|request| !here.contains(request) && !self.trail.knows(request))
            .collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        for intent in self.app.registry().intents(&self.room.name, &wanted).await? {
            let _ = self.trail.next(&parsed(&intent.json)?);
        }
        Ok(())
    }
}

fn parsed(json: &str) -> Result<Entry, Problem> {
    Entry::parse(json.as_bytes()).map_err(|error| Problem::internal(&format!("an entry of the log: {error}")))
}
