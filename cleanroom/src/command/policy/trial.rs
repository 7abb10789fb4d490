//! A room in a temporary folder: the real vault, and nothing that outlives the command.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cleanroom_policy::{Ability, Partner, PartnerName, Policy, Room, RoomName, Source, TableDeclaration, TableName};
use cleanroom_registry::{Actor, NewTableVersion, OpenOptions, QueryId, Registry};
use cleanroom_vault::{Format, IngestRequest, IngestSource, Request, Vault, VaultOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::answer::Answer;
use crate::config;
use crate::fault::{Fault, Result};

/// A room that goes when it is dropped.
pub(super) struct Trial {
    registry: Registry,
    vault: Vault,
    room: RoomName,
    /// Removed last.
    _folder: TempDir,
}

/// How a question ended: the object of the contract.
pub(super) struct Told(Value);

impl Trial {
    /// Makes the room; no table has a policy or rows yet.
    pub(super) async fn open(room: &Room) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("cleanroom-trial-")
            .tempdir()
            .map_err(|error| Fault::failure(format!("cannot make a temporary folder: {error}"), ""))?;
        let data_dir = folder.path().to_owned();
        let registry =
            Registry::open(OpenOptions { data_dir: data_dir.clone(), log_host: "localhost".to_owned() }).await?;
        let vault = Vault::open(VaultOptions {
            registry: registry.clone(),
            data_dir,
            memory_limit: config::DEFAULT_MEMORY,
            query_timeout: Duration::from_secs(config::DEFAULT_QUERY_SECONDS),
            max_concurrent: 1,
            release_quantum: std::time::Duration::ZERO,
        })?;
        registry.put_room(room, &Actor::embedded(None)).await?;
        Ok(Self { registry, vault, room: room.name.clone(), _folder: folder })
    }

    /// Puts a policy in force. `text` is what it was read from, where refusals are to name its lines.
    pub(super) async fn policy(&self, policy: &Policy, text: Option<&str>) -> Result<()> {
        let actor = Actor::embedded(Some(policy.table.owner().clone()));
        let canonical = policy.canonical_json();
        self.registry.put_policy(&self.room, policy, text.unwrap_or(&canonical), &actor).await?;
        Ok(())
    }

    /// Takes a file's rows in, under a policy that is in force.
    pub(super) async fn rows(&self, policy: &Policy, path: &Path) -> Result<()> {
        let actor = Actor::embedded(Some(policy.table.owner().clone()));
        let request = IngestRequest {
            room: &self.room,
            table: &policy.table,
            policy,
            source: IngestSource::Path {
                path: path.to_owned(),
                label: path.display().to_string(),
                format: Format::from_path(path),
            },
            actor: &actor,
            force: false,
        };
        self.vault.ingest(request).await?;
        Ok(())
    }

    /// Registers a table's columns without any row: enough to decide on questions, not to answer one.
    pub(super) async fn columns(&self, table: &TableName, schema: Value, meta: Value) -> Result<()> {
        let version = NewTableVersion { snapshot: "0".repeat(64), schema, fingerprint: String::new(), meta };
        let actor = Actor::embedded(Some(table.owner().clone()));
        self.registry.put_table_version(&self.room, table, version, &actor).await?;
        Ok(())
    }

    /// Asks and receives as one partner.
    pub(super) async fn ask(&self, analyst: &PartnerName, sql: &str, dry_run: bool) -> Result<Told> {
        let request = Request {
            query_id: QueryId::generate()?,
            room: self.room.clone(),
            receiver: analyst.clone(),
            analyst: analyst.clone(),
            question: cleanroom_vault::Question::Sql(sql.to_owned()),
            params: std::collections::BTreeMap::new(),
            dry_run,
            spending: Default::default(),
        };
        let decision = self.vault.answer(request).await?;
        Ok(Told(Answer::decided(decision, &self.registry).await?.to_json()?))
    }

    /// Ends it in order.
    pub(super) async fn close(self) {
        self.registry.close().await;
    }
}

impl Told {
    /// `released`, `refused`, `exhausted` or `failed`.
    pub(super) fn outcome(&self) -> &str {
        self.0.get("outcome").and_then(Value::as_str).unwrap_or("failed")
    }

    /// The code under which it was not answered; empty where it was.
    pub(super) fn code(&self) -> &str {
        self.error("code")
    }

    /// Why it was not answered, in words.
    pub(super) fn detail(&self) -> &str {
        self.error("detail")
    }

    /// The rule of the policy that was in the way; empty where there is none.
    pub(super) fn rule(&self) -> &str {
        let policy = self.0.get("error").and_then(|error| error.get("policy"));
        policy.and_then(|policy| policy.get("rule")).and_then(Value::as_str).unwrap_or_default()
    }

    /// The same, where it is a rule of that table's policy.
    pub(super) fn rule_of(&self, table: &TableName) -> &str {
        let policy = self.0.get("error").and_then(|error| error.get("policy"));
        let owner = policy.and_then(|policy| policy.get("table")).and_then(Value::as_str);
        if owner == Some(table.to_string().as_str()) { self.rule() } else { "" }
    }

    /// The floors that a dry run tells.
    pub(super) fn floors(&self) -> Value {
        self.0.get("floors").cloned().unwrap_or(Value::Null)
    }

    /// Whether it was answered.
    pub(super) fn released(&self) -> bool {
        self.outcome() == "released"
    }

    /// The released rows.
    pub(super) fn rows(&self) -> Vec<&Vec<Value>> {
        let rows = self.0.get("rows").and_then(Value::as_array);
        rows.into_iter().flatten().filter_map(Value::as_array).collect()
    }

    fn error(&self, key: &str) -> &str {
        self.0.get("error").and_then(|error| error.get(key)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A released cell as a number; `None` where it was suppressed.
pub(super) fn cell(row: &[Value], column: usize) -> Option<f64> {
    match row.get(column)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A room of an owner and of an analyst who may bring tables, too.
pub(super) fn small_room(owner: &TableName, analyst: &PartnerName, tables: &[TableName]) -> Result<Room> {
    let declare = |name: &TableName| TableDeclaration {
        name: name.clone(),
        description: String::new(),
        source: Source::Upload,
        policy: None,
        line: 1,
    };
    let asking = BTreeSet::from([Ability::Contribute, Ability::Query, Ability::Receive]);
    let mut partners = vec![Partner {
        name: owner.owner().clone(),
        abilities: if owner.owner() == analyst { asking.clone() } else { BTreeSet::from([Ability::Contribute]) },
        tables: vec![declare(owner)],
        key: None,
        membership: None,
        since: None,
        rotation: None,
    }];
    if owner.owner() != analyst {
        partners.push(Partner {
            name: analyst.clone(),
            abilities: asking,
            tables: tables.iter().map(declare).collect(),
            key: None,
            membership: None,
            since: None,
            rotation: None,
        });
    }
    let name = RoomName::new("trial").map_err(|error| Fault::failure(error, ""))?;
    // Never on a server, and gone with the trial: policies that are written for tests can be tried, too.
    Ok(Room { name, description: String::new(), partners, templates: Vec::new(), strict: false, test_only: true })
}

/// The analyst that asks in trials: one that may receive, too, and is not the owner, where there is one.
pub(super) fn asking(policy: &Policy) -> PartnerName {
    let access = &policy.access;
    let both = || access.analysts.intersection(&access.receivers);
    let other = |name: &&PartnerName| *name != policy.table.owner();
    both().find(other).or_else(|| both().next()).unwrap_or_else(|| policy.table.owner()).clone()
}

/// A table's name in SQL.
pub(super) fn in_sql(table: &TableName) -> String {
    format!("{}.{}", super::rows::quoted(table.owner()), super::rows::quoted(table.table()))
}
