//! The planner: a [`ParsedQuery`] becomes the logical plan that is checked, with every CTE and view put in place and
//! predicate subqueries turned into joins.
//!
//! It sees granted columns only, so none of its errors can tell of others; what it says goes to nobody all the same.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{FunctionRegistry as _, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Analyzer, Optimizer};
use datafusion::prelude::SessionConfig;

use crate::facts::RoomFacts;
use crate::marks;
use crate::parse::{ParsedQuery, QueryText};
use crate::refusal::{Code, Refusal, Span};
use crate::respell::respelled;
use crate::source::PolicyTable;
use crate::{apart, firsts, shares, signed};

/// Plans the query over the room's tables.
///
/// Call it on a thread with a deep stack: planning recurses with the depth of the statement.
pub(crate) fn plan(room: &RoomFacts, query: ParsedQuery) -> Result<(LogicalPlan, QueryText), Refusal> {
    let (statement, text) = query.into_parts();
    let plan = session(room).map_err(refused).and_then(|state| {
        let plan = futures::executor::block_on(state.statement_to_plan(respelled(statement))).map_err(refused)?;
        normalise(&state, plan).map_err(refused)
    });
    let plan = text.located(plan)?;
    Ok((plan, text))
}

/// Settings of every session: spans for refusals, no information schema, no view types in results.
pub(crate) fn config() -> SessionConfig {
    let mut config =
        SessionConfig::new().with_information_schema(false).with_default_catalog_and_schema("room", "public");
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    // Text stays Utf8 throughout: views keep the whole buffer of a column alive behind a slice of it.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    config
}

fn session(room: &RoomFacts) -> Result<SessionState, DataFusionError> {
    let catalog = MemoryCatalogProvider::new();
    for partner in &room.room.partners {
        let schema = MemorySchemaProvider::new();
        for facts in room.tables.iter().filter(|facts| facts.owner() == &partner.name) {
            schema.register_table(facts.name.table().to_owned(), Arc::new(PolicyTable::new(Arc::clone(facts))))?;
        }
        catalog.register_schema(partner.name.as_str(), Arc::new(schema))?;
    }
    let mut state = SessionStateBuilder::new().with_config(config()).with_default_features().build();
    state.catalog_list().register_catalog("room".to_owned(), Arc::new(catalog));
    state.register_udf(Arc::new(apart::function()))?;
    Ok(state)
}

/// Types made to fit and subqueries made joins, nothing moved: what the checker sees is what the query says. The order is
/// the engine's own.
fn normalise(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let plan = signed::signed(shares::shares(firsts::firsts(apart::written_out(plan)?)?)?)?;
    let plan = Analyzer::new().execute_and_check(plan, state.config_options(), |_plan, _rule| {})?;
    let plan = marks::mark_subqueries(state, plan)?;
    Optimizer::with_rules(vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
    ])
    .optimize(plan, state, |_plan, _rule| {})
}

/// The planner's error in our words. What it prints could name columns; only its kind and place are used.
fn refused(error: DataFusionError) -> Refusal {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).and_then(|span| {
        (span.start.line > 0).then(|| Span {
            line: span.start.line,
            column: span.start.column,
            length: span.end.column.saturating_sub(span.start.column).max(1),
        })
    });
    let unknown = || Refusal::new(Code::UnknownName, "the table or column is unknown, or not granted to anyone");
    let refusal = match error.find_root() {
        DataFusionError::SchemaError(detail, _backtrace) => match detail.as_ref() {
            SchemaError::FieldNotFound { field, .. } => unknown().about(field.name.clone()),
            SchemaError::AmbiguousReference { field } => {
                Refusal::new(Code::Invalid, "a column name is ambiguous; put the table's name or alias before it")
                    .about(field.name.clone())
            }
            SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => duplicate(),
        },
        DataFusionError::Plan(text) if text.contains("not found") && text.contains("table") => {
            let table = text.split('\'').nth(1).and_then(|name| name.rsplit('.').next()).map(str::to_owned);
            match table {
                Some(table) => unknown().about(table),
                None => unknown(),
            }
        }
        DataFusionError::Plan(text) if text.contains("unique expression names") => duplicate(),
        DataFusionError::Plan(text) if text.contains("Invalid function") => {
            let name = text.split('\'').nth(1).map(str::to_owned);
            let refusal = Refusal::new(Code::Function, "the function is unknown or not allowed");
            match name {
                Some(name) => refusal.about(name),
                None => refusal,
            }
        }
        _ => Refusal::new(Code::Invalid, "the statement's types, names or arguments do not fit together"),
    };
    refusal.span(span)
}

pub(crate) fn duplicate() -> Refusal {
    Refusal::new(Code::DuplicateOutput, "two columns or aggregates have the same name; a cast has that of what it casts")
        .suggest(
            "give each a name of its own with AS; what is aggregated after a cast, and each of several subqueries in GROUP BY \
             or FILTER, name as a column of a subquery first",
        )
}
