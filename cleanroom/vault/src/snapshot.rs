//! Snapshots as the engine reads them, and the row filter of their policy.

use std::sync::Arc;

use cleanroom_policy::Use;
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, Result, TableReference, plan_datafusion_err};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{EmptyRelation, Expr, Filter, LogicalPlan};
use datafusion::optimizer::Analyzer;

use crate::check;
use crate::facts::TableFacts;
use crate::ingest::with_row_ids;

/// The snapshot of one version: exactly one file, no listing, no pattern.
pub(crate) fn provider(facts: &TableFacts) -> Result<Arc<dyn TableProvider>> {
    let data = facts.data.as_ref().ok_or_else(|| plan_datafusion_err!("a table without data was planned"))?;
    let schema = if facts.unit().is_some() { with_row_ids(&data.stored) } else { Arc::clone(&data.stored) };
    let file = url::Url::from_file_path(&data.snapshot)
        .map_err(|()| plan_datafusion_err!("the path of a snapshot is not absolute"))?;
    let config = ListingTableConfig::new(ListingTableUrl::try_new(file, None)?)
        .with_listing_options(ListingOptions::new(Arc::new(ParquetFormat::default())))
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
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
