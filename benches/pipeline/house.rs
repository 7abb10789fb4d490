//! A room with its records and its vault in a folder of its own, used through the public doors alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use cleanroom_policy::{PartnerName, Policy, Room, TableName, parse_policy, parse_room};
use cleanroom_registry::{Actor, OpenOptions, QueryId, Registry};
use cleanroom_vault::{
    Decision, IngestRequest, IngestSource, Ingested, Question, Request, Spending, Vault, VaultOptions,
};
use tempfile::TempDir;

use crate::Result;

const ROOM: &str = include_str!("room/room.yaml");
const POLICIES: [(&str, &str); 5] = [
    ("impressions.yaml", include_str!("room/impressions.yaml")),
    ("campaigns.yaml", include_str!("room/campaigns.yaml")),
    ("purchases.yaml", include_str!("room/purchases.yaml")),
    ("members.yaml", include_str!("room/members.yaml")),
    ("categories.yaml", include_str!("room/categories.yaml")),
];

pub(crate) struct House {
    registry: Registry,
    vault: Vault,
    room: Room,
    policies: Vec<Policy>,
    /// Removed with the house.
    _folder: TempDir,
}

impl House {
    /// A new room under `folder`, with its policies and no data. Queries and ingestion hold `memory_limit` bytes at most.
    pub(crate) async fn build(folder: &Path, memory_limit: usize) -> Result<Self> {
        let room = parse_room("room.yaml", ROOM).map_err(|errors| lines(&errors))?;
        let folder = TempDir::with_prefix_in("room-", folder)?;
        let data_dir = folder.path().join("state");
        let options = OpenOptions { data_dir: data_dir.clone(), log_host: "localhost".to_owned() };
        let registry = Registry::open(options).await?;
        registry.put_room(&room, &Actor::embedded(None)).await?;
        let mut policies = Vec::new();
        for (file, text) in POLICIES {
            let policy = parse_policy(file, text).map_err(|errors| lines(&errors))?;
            registry.put_policy(&room.name, &policy, text, &owner(&policy.table)).await?;
            policies.push(policy);
        }
        let vault = Vault::open(VaultOptions {
            registry: registry.clone(),
            data_dir,
            memory_limit,
            query_timeout: Duration::from_secs(600),
            max_concurrent: 1,
            release_quantum: std::time::Duration::ZERO,
        })?;
        Ok(Self { registry, vault, room, policies, _folder: folder })
    }

    pub(crate) async fn ingest(&self, table: &str, path: &Path) -> Result<Ingested> {
        let policy = self
            .policies
            .iter()
            .find(|policy| policy.table.to_string() == table)
            .ok_or_else(|| format!("no policy for `{table}`"))?;
        let request = IngestRequest {
            room: &self.room.name,
            table: &policy.table,
            policy,
            source: IngestSource::Path { path: path.to_owned(), label: table.to_owned(), format: None },
            actor: &owner(&policy.table),
            force: false,
        };
        Ok(self.vault.ingest(request).await?)
    }

    /// Policies by which every number gets noise, from here on; with more to spend than anybody will.
    pub(crate) async fn under_noise(&mut self) -> Result<()> {
        const NOISE: &str = "noise: {mechanism: gaussian, epsilon: 10, delta: 1e-9, groups_per_unit: 10, rows_per_unit: 100, \
                             budget: {epsilon: 1000000, delta: 0.5}}\n";
        for ((file, text), policy) in POLICIES.iter().zip(&mut self.policies) {
            if !text.contains("unit: {") {
                continue;
            }
            let text = format!("{}{NOISE}", text.replacen("version: 1", "version: 2", 1));
            *policy = parse_policy(file, &text).map_err(|errors| lines(&errors))?;
            self.registry.put_policy(&self.room.name, policy, &text, &owner(&policy.table)).await?;
        }
        Ok(())
    }

    /// Asks as the analyst. Nothing but an answer will do; a dry run's has no rows.
    pub(crate) async fn ask(&self, sql: &str, dry_run: bool) -> Result<Option<RecordBatch>> {
        self.ask_at(sql, dry_run, None).await
    }

    /// Asks at this price. The same question at the same price is not executed twice.
    pub(crate) async fn ask_at(&self, sql: &str, dry_run: bool, epsilon: Option<f64>) -> Result<Option<RecordBatch>> {
        let analyst = PartnerName::new("analyst")?;
        let request = Request {
            query_id: QueryId::generate()?,
            room: self.room.name.clone(),
            receiver: analyst.clone(),
            analyst,
            question: Question::Sql(sql.to_owned()),
            params: BTreeMap::new(),
            dry_run,
            spending: Spending { epsilon, ..Spending::default() },
        };
        match self.vault.answer(request).await? {
            Decision::Released(released) => Ok(Some(released.value().batch().clone())),
            Decision::Priced(_) => Ok(None),
            Decision::Refused(refusal) => {
                let refusal = refusal.value();
                Err(format!("refused with {}: {}", refusal.code().as_str(), refusal.detail()).into())
            }
            Decision::Failed(failure) => Err(format!("failed with {}", failure.value().code().as_str()).into()),
        }
    }

    pub(crate) async fn close(self) {
        self.registry.close().await;
    }
}

fn owner(table: &TableName) -> Actor {
    Actor::embedded(Some(table.owner().clone()))
}

fn lines(errors: &[impl ToString]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
