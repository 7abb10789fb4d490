//! A data directory with one room, and outcomes to record in it.

use std::path::Path;

use cleanroom_log::Entry;
use cleanroom_policy::{PartnerName, Policy, Room, RoomName, TableName, parse_policy, parse_room};
use cleanroom_registry::{
    Actor, Attempt, Intent, NewTableVersion, OpenOptions, Outcome, QueryId, Registry, RegistryError, Status,
};
use cleanroom_verify::verify_directory;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const ROOM: &str = "
apiVersion: cleanroom/v1
kind: Room
name: retail-media
description: Did the spring campaign sell?
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - name: purchases
        source: {upload: true}
  - name: agency
    abilities: [query, receive]
";

pub(crate) fn policy_text(version: u64, floor: u64) -> String {
    format!(
        "apiVersion: cleanroom/v1
kind: Policy
table: retailer.purchases
version: {version}
unit: {{column: household_id, space: household}}
columns:
  household_id: {{use: [join, count]}}
  department: {{use: [dimension, filter]}}
release: {{min_units: {floor}}}
access: {{analysts: [agency]}}
"
    )
}

pub(crate) struct House {
    pub(crate) directory: TempDir,
    pub(crate) registry: Registry,
}

impl House {
    /// An empty data directory.
    pub(crate) async fn empty() -> Self {
        let directory = TempDir::new().unwrap();
        let registry = open(directory.path()).await.unwrap();
        Self { directory, registry }
    }

    /// One room, one table with a policy and data.
    pub(crate) async fn furnished() -> Self {
        let house = Self::empty().await;
        furnish(&house.registry).await;
        house
    }

    /// Drops the registry as the end of a process does, and opens the directory again.
    pub(crate) async fn reopened(self) -> Self {
        let Self { directory, registry } = self;
        registry.close().await;
        drop(registry);
        let registry = open(directory.path()).await.unwrap();
        Self { directory, registry }
    }

    /// Types of the log's entries, first to last. The directory must pass verification at this moment.
    pub(crate) async fn kinds(&self) -> Vec<String> {
        let entries = self.registry.log_entries(&room_name(), 0, u64::MAX).await.unwrap();
        verified(&self.registry);
        entries.iter().map(|entry| Entry::parse(entry.json.as_bytes()).unwrap().event.kind().to_owned()).collect()
    }
}

pub(crate) async fn open(data_dir: &Path) -> Result<Registry, RegistryError> {
    Registry::open(OpenOptions { data_dir: data_dir.to_owned(), log_host: "logs.example".to_owned() }).await
}

pub(crate) async fn furnish(registry: &Registry) {
    registry.put_room(&room(), &Actor::operator()).await.unwrap();
    let policy = policy(1, 25);
    registry.put_policy(&room_name(), &policy, &policy_text(1, 25), &Actor::operator()).await.unwrap();
    registry.put_table_version(&room_name(), &purchases(), data("a"), &Actor::operator()).await.unwrap();
}

/// Verifies the room's directory with the published key, to the last byte.
pub(crate) fn verified(registry: &Registry) {
    let directory = registry.log_directory(&room_name());
    let key = cleanroom_verify::published_key(&directory).unwrap();
    let report = verify_directory(&directory, &[key]).unwrap();
    assert!(report.passed(), "{:?}", report.findings);
}

pub(crate) fn room() -> Room {
    parse_room("room.yaml", ROOM).unwrap()
}

pub(crate) fn room_name() -> RoomName {
    RoomName::new("retail-media").unwrap()
}

pub(crate) fn policy(version: u64, floor: u64) -> Policy {
    parse_policy("policy.yaml", &policy_text(version, floor)).unwrap()
}

pub(crate) fn purchases() -> TableName {
    TableName::parse("retailer.purchases").unwrap()
}

pub(crate) fn agency() -> PartnerName {
    PartnerName::new("agency").unwrap()
}

pub(crate) fn data(content: &str) -> NewTableVersion {
    NewTableVersion {
        snapshot: content.repeat(64),
        schema: json!([{"name": "household_id", "type": "Utf8", "nullable": true}]),
        fingerprint: format!("{{\"content\":\"{content}\"}}"),
        meta: json!({"format": "csv"}),
    }
}

pub(crate) const SQL: &str = "SELECT COUNT(DISTINCT household_id) FROM retailer.purchases";

pub(crate) fn intent(query_id: &QueryId) -> Intent {
    Intent {
        query_id: query_id.clone(),
        room: room_name(),
        analyst: agency(),
        sql: SQL.to_owned(),
        template: None,
        params: None,
        plan: "Aggregate".to_owned(),
        policies: vec![(purchases(), policy(1, 25).digest())],
        tables: vec![(purchases(), 1)],
    }
}

pub(crate) fn attempt(query_id: &QueryId) -> Attempt {
    Attempt {
        query_id: query_id.clone(),
        room: room_name(),
        analyst: agency(),
        sql: SQL.to_owned(),
        template: None,
        params: None,
    }
}

/// An outcome of any status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) result: Option<Vec<u8>>,
    pub(crate) code: Option<&'static str>,
}

pub(crate) fn released() -> Ended {
    Ended { status: Status::Released, result: Some(b"bytes of a result".to_vec()), code: None }
}

pub(crate) fn failed() -> Ended {
    Ended { status: Status::Failed, result: None, code: Some("CR4201") }
}

pub(crate) fn refused() -> Ended {
    Ended { status: Status::Refused, result: None, code: Some("CR2104") }
}

pub(crate) fn priced() -> Ended {
    Ended { status: Status::Priced, result: None, code: None }
}

impl Outcome for Ended {
    fn status(&self) -> Status {
        self.status
    }

    fn document(&self) -> Value {
        json!({"outcome": self.status.as_str()})
    }

    fn result(&self) -> Option<&[u8]> {
        self.result.as_deref()
    }

    fn answer(&self) -> Option<Value> {
        self.result.as_ref().map(|result| json!({ "outcome": "released", "rows": [[result]] }))
    }

    fn code(&self) -> Option<&str> {
        self.code
    }
}
