//! The vault's one door.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cleanroom_policy::{Bounds, Literals, PartnerName, RoomName, Use};
use cleanroom_registry::{QueryId, Registry, RegistryError};
use datafusion::execution::runtime_env::RuntimeEnv;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::answer;
use crate::execute;
use crate::facts::{RoomFacts, TableFacts};
use crate::guard::Guards;
use crate::ingest::{self, IngestError, IngestRequest, Ingested, Workspace};
use crate::noise::Spending;
use crate::question::Question;
use crate::released::Decision;

/// How a vault is set up.
#[derive(Clone)]
pub struct VaultOptions {
    /// Where decisions are recorded.
    pub registry: Registry,
    /// Holds `rooms/` (snapshots, identities, keys) and `tmp/`.
    pub data_dir: PathBuf,
    /// Bytes that queries and ingestion may hold in memory together.
    pub memory_limit: usize,
    /// Longest a query may take.
    pub query_timeout: Duration,
    /// Most queries executed at once; more wait.
    pub max_concurrent: usize,
    /// Decisions are told at whole multiples of this after the question came in, so that how long one took says little of
    /// the rows it read. Zero: as soon as they are made.
    pub release_quantum: Duration,
}

/// A question.
#[derive(Clone)]
pub struct Request {
    /// Fresh for every attempt.
    pub query_id: QueryId,
    /// Where it is asked.
    pub room: RoomName,
    /// Who asks; already authenticated.
    pub analyst: PartnerName,
    /// What is asked.
    pub question: Question,
    /// Values of its parameters. A template gives them types; in SQL they have those of JSON.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Decide and price, read nothing.
    pub dry_run: bool,
    /// Who will be given the answer.
    pub receiver: PartnerName,
    /// What to spend of the budgets, where policies ask for noise.
    pub spending: Spending,
}

/// No decision could be recorded, so none may be shown: storage, randomness or a missing room. Holds nothing of the query.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Unavailable {
    what: String,
}

impl Unavailable {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

impl From<RegistryError> for Unavailable {
    fn from(error: RegistryError) -> Self {
        Self::new(error.to_string())
    }
}

/// The vault could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A folder of the data directory.
    #[error("cannot use `{path}`: {source}; check that the folder exists and belongs to the server's user")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engine's memory pool or spill folder.
    #[error("the engine cannot be set up; check the memory limit and the folder `tmp` of the data directory")]
    Engine,
}

/// What a caller may know of a room's tables.
#[derive(Debug, Clone, Serialize)]
pub struct Catalog {
    /// Tables the caller may ask of or owns, by name.
    pub tables: Vec<CatalogTable>,
}

/// One table of a [`Catalog`].
#[derive(Debug, Clone, Serialize)]
pub struct CatalogTable {
    /// `owner.table`.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Its identity space; absent for a reference table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Distinct units a group needs; absent for a reference table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_units: Option<u64>,
    /// Version of the policy in force.
    pub policy_version: u64,
    /// Version of the data, absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<u64>,
    /// When that version was taken in, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// The templates through which alone it is answered, each with the digest its owner approved; absent where any question is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<Vec<String>>,
    /// Columns that may be named.
    pub columns: Vec<CatalogColumn>,
}

/// One column of a [`CatalogTable`].
#[derive(Debug, Clone, Serialize)]
pub struct CatalogColumn {
    /// Its name.
    pub name: String,
    /// Its Arrow type; `key` for a unit.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Its uses, in the words of the policy.
    pub uses: Vec<String>,
    /// For a measure: the aggregates granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// For a measure: the range values are clamped to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<(f64, f64)>,
    /// A public domain, where the owner declared one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// The only constants it may be compared with; none where it is empty, any where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literals: Option<Vec<String>>,
}

/// Holds the rows, answers questions about them.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: VaultOptions,
    pub(crate) runtime: Arc<RuntimeEnv>,
    pub(crate) turns: Semaphore,
    /// Statements planned and checked at once. A thread that does so cannot be stopped, and holds its place until it ends,
    /// also where nobody waits for it any more.
    pub(crate) planning: Arc<Semaphore>,
    pub(crate) guards: Guards,
    /// Removed with the vault.
    _spill: Workspace,
}

impl Inner {
    /// Waits for the next moment at which a decision on what was asked then may be told.
    pub(crate) async fn quantum(&self, asked: Instant) {
        let quantum = self.options.release_quantum;
        if let Some(quanta) = asked.elapsed().as_nanos().checked_div(quantum.as_nanos()) {
            let quanta = u32::try_from(quanta).unwrap_or(u32::MAX).saturating_add(1);
            tokio::time::sleep_until(asked + quantum.saturating_mul(quanta)).await;
        }
    }
}

impl Vault {
    /// Opens the vault over a data directory; removes what a crash left in `tmp/`.
    ///
    /// # Errors
    /// Where a folder cannot be made or read.
    pub fn open(options: VaultOptions) -> Result<Self, VaultError> {
        // Snapshots are named to the engine by URL, which has no working directory.
        let data_dir = std::path::absolute(&options.data_dir)
            .map_err(|source| VaultError::Io { path: options.data_dir.clone(), source })?;
        let options = VaultOptions { data_dir, ..options };
        let io = |source| VaultError::Io { path: options.data_dir.clone(), source };
        ingest::clean_temporary(&options.data_dir).map_err(io)?;
        // What the engine writes when memory runs short are rows: it goes with the vault, or with the next start.
        let spill = ingest::temporary_dir(&options.data_dir).and_then(|tmp| Workspace::create(&tmp)).map_err(io)?;
        let runtime = execute::runtime(options.memory_limit, spill.path()).map_err(|_detail| VaultError::Engine)?;
        let turns = Semaphore::new(options.max_concurrent.max(1));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let planning = Arc::new(Semaphore::new(cores.saturating_mul(2)));
        Ok(Self {
            inner: Arc::new(Inner { options, runtime, turns, planning, guards: Guards::default(), _spill: spill }),
        })
    }

    /// Takes a table's rows in. See [`IngestRequest`].
    ///
    /// # Errors
    /// Where the source cannot be read, breaks a rule, or the registry cannot record it; nothing is registered then.
    pub async fn ingest(&self, request: IngestRequest<'_>) -> Result<Ingested, IngestError> {
        let options = &self.inner.options;
        ingest::ingest(&options.registry, &options.data_dir, options.memory_limit, request).await
    }

    /// Decides on a question, answers it where the policies allow, and records what was decided before it is returned.
    ///
    /// # Errors
    /// Where the decision cannot be recorded: then there is none.
    pub async fn answer(&self, request: Request) -> Result<Decision, Unavailable> {
        self.answer_unless(request, std::future::pending()).await
    }

    /// The same, unless `cancelled` comes to its end before the decision is told: then that is the decision.
    ///
    /// # Errors
    /// Where the decision cannot be recorded: then there is none.
    pub async fn answer_unless(
        &self,
        request: Request,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Decision, Unavailable> {
        let asked = Instant::now();
        let decision = answer::answer(&self.inner, request, asked, cancelled).await;
        match &decision {
            // Of what ran, the record waited already.
            Ok(Decision::Released(_) | Decision::Failed(_)) => {}
            Ok(Decision::Refused(_) | Decision::Priced(_)) | Err(_) => self.inner.quantum(asked).await,
        }
        decision
    }

    /// What `caller` may know of the room's tables: those it owns and those it may ask of.
    ///
    /// # Errors
    /// Where the room is unknown or the registry cannot be read.
    pub async fn catalog(&self, room: &RoomName, caller: &PartnerName) -> Result<Catalog, Unavailable> {
        let options = &self.inner.options;
        let facts = RoomFacts::load(&options.registry, &options.data_dir, room)
            .await?
            .ok_or_else(|| Unavailable::new("there is no such room"))?;
        let tables = facts
            .tables
            .iter()
            .filter(|table| table.owner() == caller || table.policy.access.analysts.contains(caller))
            .map(|table| catalog_table(table))
            .collect();
        Ok(Catalog { tables })
    }
}

fn catalog_table(table: &TableFacts) -> CatalogTable {
    let granted = table.granted();
    let data_type = |name: &str| {
        if table.unit().is_some_and(|(unit, _space)| unit == name) {
            return "key".to_owned();
        }
        granted
            .field_with_name(name)
            .map_or_else(|_missing| "unknown".to_owned(), |field| field.data_type().to_string())
    };
    let columns = table
        .policy
        .columns
        .iter()
        .map(|(name, rule)| CatalogColumn {
            name: name.to_string(),
            data_type: data_type(name.as_str()),
            uses: rule.uses.iter().map(ToString::to_string).collect(),
            functions: if rule.uses.contains(&Use::Measure) {
                rule.functions.iter().map(ToString::to_string).collect()
            } else {
                Vec::new()
            },
            bounds: match rule.bounds {
                Some(Bounds::Range { low, high }) => Some((low, high)),
                Some(Bounds::Unbounded) | None => None,
            },
            values: rule.values.clone(),
            literals: match &rule.literals {
                Literals::Any => None,
                Literals::None => Some(Vec::new()),
                Literals::Only(values) => Some(values.clone()),
            },
        })
        .collect();
    CatalogTable {
        name: table.name.to_string(),
        description: table.description.clone(),
        space: table.unit().map(|(_unit, space)| space.to_string()),
        min_units: table.unit().map(|_unit| table.policy.release.min_units),
        policy_version: table.policy.version,
        data_version: table.data.as_ref().map(|data| data.version),
        updated: table.data.as_ref().and_then(|data| data.at.format(&Rfc3339).ok()),
        templates: table
            .policy
            .access
            .templates
            .is_some()
            .then(|| table.approved.iter().map(ToString::to_string).collect()),
        columns,
    }
}
