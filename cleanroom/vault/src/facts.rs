//! What a query is decided on: tables, their policies and their schemas. No row, and nothing computed from protected rows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use cleanroom_policy::{
    ColumnRule, PartnerName, Policy, Room, RoomName, SpaceName, Subject, TableName, TemplateApproval,
};
use cleanroom_registry::Registry;

use crate::ingest::{self, UnitGrid};
use crate::vault::Unavailable;

/// One table as queries see it.
pub(crate) struct TableFacts {
    pub(crate) name: TableName,
    pub(crate) description: String,
    pub(crate) policy: Policy,
    pub(crate) policy_digest: String,
    /// The templates that the policy approves, where it does not leave the question open.
    pub(crate) approved: BTreeSet<TemplateApproval>,
    /// Whether its owner signed the policy, or has no key in the room to sign with.
    pub(crate) signed: bool,
    /// The data taken in last; absent before the first.
    pub(crate) data: Option<DataFacts>,
}

/// One version of a table's data.
pub(crate) struct DataFacts {
    pub(crate) version: u64,
    pub(crate) snapshot: PathBuf,
    /// All columns of the snapshot, hidden ones too.
    pub(crate) stored: SchemaRef,
    /// Columns in which no value stands twice, of those that were looked at: a reference table's that join, and the unit.
    pub(crate) unique: BTreeSet<String>,
    /// Where the rows of each unit lie; absent of a reference table, and of what an earlier program took in.
    pub(crate) grid: Option<UnitGrid>,
    /// When it was taken in.
    pub(crate) at: time::OffsetDateTime,
}

impl TableFacts {
    pub(crate) fn owner(&self) -> &PartnerName {
        self.name.owner()
    }

    /// The unit column and its identity space; `None` for a reference table.
    pub(crate) fn unit(&self) -> Option<(&str, &SpaceName)> {
        match &self.policy.subject {
            Subject::Unit { column, space } => Some((column.as_str(), space)),
            Subject::Public => None,
        }
    }

    /// Whether each unit has at most one row.
    pub(crate) fn one_row_a_unit(&self) -> bool {
        match (self.unit(), &self.data) {
            (Some((unit, _space)), Some(data)) => data.unique.contains(unit),
            _ => false,
        }
    }

    /// Whether no value of a column stands twice, as the column is seen: made coarser, what was unique as stored need not be.
    pub(crate) fn is_unique(&self, name: &str) -> bool {
        self.column(name).is_some_and(|rule| rule.grain.is_none() && rule.bounds.is_none() && rule.step.is_none())
            && self.data.as_ref().is_some_and(|data| data.unique.contains(name))
    }

    pub(crate) fn column(&self, name: &str) -> Option<&ColumnRule> {
        self.policy.columns.iter().find(|(column, _rule)| column.as_str() == name).map(|(_column, rule)| rule)
    }

    /// The schema a query plans against: granted columns only, so that a hidden column cannot be told from one that does
    /// not exist.
    pub(crate) fn granted(&self) -> SchemaRef {
        let fields = self.data.as_ref().map(|data| {
            data.stored
                .fields()
                .iter()
                .filter(|field| self.column(field.name()).is_some())
                .map(|field| Field::new(field.name(), field.data_type().clone(), true))
                .collect::<Vec<_>>()
        });
        Arc::new(Schema::new(fields.unwrap_or_default()))
    }
}

/// A room as one query sees it; read once, so that one query is decided and executed on one version of everything.
pub(crate) struct RoomFacts {
    pub(crate) room: Room,
    /// Tables with a policy in force.
    pub(crate) tables: Vec<Arc<TableFacts>>,
}

impl RoomFacts {
    /// Reads what is in force now; `None` where there is no such room.
    pub(crate) async fn load(
        registry: &Registry,
        data_dir: &std::path::Path,
        name: &RoomName,
    ) -> Result<Option<Self>, Unavailable> {
        let Some(room) = registry.room(name).await? else {
            return Ok(None);
        };
        let mut tables = Vec::new();
        for declaration in room.partners.iter().flat_map(|partner| &partner.tables) {
            let Some(record) = registry.policy(name, &declaration.name).await? else {
                continue;
            };
            let data = match registry.table_version(name, &declaration.name).await? {
                // A snapshot of an earlier program, whose rows have no numbers: to be put again.
                Some(version) if record.policy.subject != Subject::Public && !numbered(&version.meta) => None,
                Some(version) => Some(DataFacts {
                    version: version.version,
                    snapshot: ingest::snapshot_path(data_dir, name, &version.snapshot),
                    stored: stored_schema(&version.schema)?,
                    unique: unique_columns(&version.meta),
                    grid: version.meta.get("grid").and_then(UnitGrid::from_json),
                    at: version.at,
                }),
                None => None,
            };
            tables.push(Arc::new(TableFacts {
                name: declaration.name.clone(),
                description: declaration.description.clone(),
                policy: record.policy,
                policy_digest: record.digest,
                approved: record.approved,
                signed: record.signature.is_some() || !has_key(&room, declaration.name.owner()),
                data,
            }));
        }
        Ok(Some(Self { room, tables }))
    }
}

/// Whether a partner signs what it says in the room.
fn has_key(room: &Room, partner: &PartnerName) -> bool {
    room.partner(partner).is_some_and(|partner| partner.key.is_some())
}

fn stored_schema(schema: &serde_json::Value) -> Result<SchemaRef, Unavailable> {
    let broken = || Unavailable::new("the registered schema of a table cannot be read");
    let columns = schema.as_array().ok_or_else(broken)?;
    let fields = columns
        .iter()
        .map(|column| {
            let text = |key: &str| column.get(key).and_then(serde_json::Value::as_str).ok_or_else(broken);
            let data_type = DataType::from_str(text("type")?).map_err(|_detail| broken())?;
            Ok(Field::new(text("name")?, data_type, true))
        })
        .collect::<Result<Vec<_>, Unavailable>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn numbered(meta: &serde_json::Value) -> bool {
    meta.get("row_ids").and_then(serde_json::Value::as_bool) == Some(true)
}

fn unique_columns(meta: &serde_json::Value) -> BTreeSet<String> {
    meta.get("unique")
        .and_then(serde_json::Value::as_object)
        .map(|columns| {
            columns
                .iter()
                .filter(|(_name, unique)| unique.as_bool() == Some(true))
                .map(|(name, _unique)| name.clone())
                .collect()
        })
        .unwrap_or_default()
}
