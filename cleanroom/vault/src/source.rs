//! Tables as plans name them: a policy's view of a table, and one place of it in a checked plan. Neither holds a row.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, TableSource, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::facts::TableFacts;
use crate::ingest::row_id_field;

/// What the SQL planner sees of a table: its granted columns. It cannot be executed.
pub(crate) struct PolicyTable {
    facts: Arc<TableFacts>,
    schema: SchemaRef,
}

impl PolicyTable {
    pub(crate) fn new(facts: Arc<TableFacts>) -> Self {
        let schema = facts.granted();
        Self { facts, schema }
    }

    /// The table a scan of the planner's plan reads.
    pub(crate) fn facts_of(scan: &TableScan) -> Option<Arc<TableFacts>> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(|table| Arc::clone(&table.facts))
    }
}

impl fmt::Debug for PolicyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyTable({})", self.facts.name)
    }
}

#[async_trait::async_trait]
impl TableProvider for PolicyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan_err!("a policy's view of a table holds no rows")
    }
}

/// One place of a table in a checked plan: its granted columns and, of a protected one, the rows' secret numbers. Compiling
/// puts the snapshot in its stead.
pub(crate) struct CheckedScan {
    pub(crate) facts: Arc<TableFacts>,
    schema: SchemaRef,
}

impl CheckedScan {
    pub(crate) fn new(facts: Arc<TableFacts>) -> Self {
        let mut schema = facts.granted();
        if facts.unit().is_some() {
            let fields = schema.fields().iter().cloned().chain([row_id_field()]);
            schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
        Self { facts, schema }
    }

    /// The place a scan stands for.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<Self>(),
            _ => None,
        }
    }
}

impl TableSource for CheckedScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The place of a released table in the part of a plan above it.
pub(crate) struct ReleasedScan {
    pub(crate) release: usize,
    schema: SchemaRef,
}

impl ReleasedScan {
    pub(crate) fn new(release: usize, schema: SchemaRef) -> Self {
        Self { release, schema }
    }

    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<Self>(),
            _ => None,
        }
    }
}

impl TableSource for ReleasedScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
