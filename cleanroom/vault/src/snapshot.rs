//! Snapshots as the engine reads them, and the row filter of their policy.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use cleanroom_policy::Use;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{DFSchema, Result, TableReference, plan_datafusion_err};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    EmptyRelation, Expr, Filter, LogicalPlan, TableProviderFilterPushDown, TableScan, TableType,
};
use datafusion::optimizer::Analyzer;
use datafusion::physical_plan::ExecutionPlan;

use crate::check;
use crate::facts::{DataFacts, TableFacts};
use crate::ingest::with_row_ids;
use crate::ranges::UnitRanges;

/// The snapshot of a table's version, cut at units where there is a choice of them.
pub(crate) fn provider(facts: &Arc<TableFacts>, ranges: Option<&Arc<UnitRanges>>) -> Result<Arc<dyn TableProvider>> {
    let data = facts.data.as_ref().ok_or_else(|| plan_datafusion_err!("a table without data was planned"))?;
    let schema = if facts.unit().is_some() { with_row_ids(&data.stored) } else { Arc::clone(&data.stored) };
    Ok(Arc::new(SnapshotScan { facts: Arc::clone(facts), file: file(data, schema)?, ranges: ranges.cloned() }))
}

/// Some columns of a snapshot: exactly one file, no listing, no pattern.
pub(crate) fn file(data: &DataFacts, columns: SchemaRef) -> Result<ListingTable> {
    let url = url::Url::from_file_path(&data.snapshot)
        .map_err(|()| plan_datafusion_err!("the path of a snapshot is not absolute"))?;
    let config = ListingTableConfig::new(ListingTableUrl::try_new(url, None)?)
        .with_listing_options(ListingOptions::new(Arc::new(ParquetFormat::default())))
        .with_schema(columns);
    ListingTable::try_new(config)
}

/// A snapshot in a plan, which knows whose it is.
pub(crate) struct SnapshotScan {
    facts: Arc<TableFacts>,
    file: ListingTable,
    ranges: Option<Arc<UnitRanges>>,
}

impl SnapshotScan {
    /// The table that a scan of a compiled plan reads.
    pub(crate) fn of(scan: &TableScan) -> Option<Arc<TableFacts>> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(|scan| Arc::clone(&scan.facts))
    }
}

impl SnapshotScan {
    fn cut(&self, scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.ranges {
            Some(ranges) => ranges.cut(&self.facts, scan),
            None => Ok(scan),
        }
    }
}

impl fmt::Debug for SnapshotScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotScan({})", self.facts.name)
    }
}

#[async_trait::async_trait]
impl TableProvider for SnapshotScan {
    fn schema(&self) -> SchemaRef {
        self.file.schema()
    }

    fn table_type(&self) -> TableType {
        self.file.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.cut(self.file.scan(state, projection, filters, limit).await?)
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        let scan = self.file.scan_with_args(state, args).await?;
        Ok(ScanResult::new(self.cut(scan.into_inner())?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.file.supports_filters_pushdown(filters)
    }
}

/// The owner's condition on rows in its total form, over all columns of the snapshot.
pub(crate) fn row_filter(state: &SessionState, facts: &TableFacts, name: &TableReference) -> Result<Option<Expr>> {
    let (Some(filter), Some(data)) = (&facts.policy.rows, &facts.data) else {
        return Ok(None);
    };
    let schema = Arc::new(DFSchema::try_from_qualified_schema(name.clone(), &data.stored)?);
    let expr = state.create_logical_expr(&filter.value, &schema)?;
    let empty = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::clone(&schema) });
    let plan = LogicalPlan::Filter(Filter::try_new(expr, Arc::new(empty))?);
    let plan = Analyzer::new().execute_and_check(plan, state.config_options(), |_plan, _rule| {})?;
    let LogicalPlan::Filter(filter) = plan else {
        return Err(plan_datafusion_err!("a row filter is no condition"));
    };
    check::total_condition(&filter.predicate, &schema)
        .map(Some)
        .map_err(|refusal| plan_datafusion_err!("the row filter of {}: {}", facts.name, refusal.detail()))
}

/// All uses, for an owner's own condition.
pub(crate) fn owner_uses() -> std::collections::BTreeSet<Use> {
    std::collections::BTreeSet::from([Use::Dimension, Use::Filter])
}
