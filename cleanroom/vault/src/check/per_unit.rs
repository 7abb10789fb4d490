//! The plan of an aggregate per unit, and what of the hidden columns outlives it.

use datafusion::common::Column;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min, sum};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit, when};

use super::internal;
use super::rows::{Presence, RowId, Rows};
use crate::refusal::{Code, Refusal};

/// One column of a stock aggregate.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) how: How,
    /// NULL in rows that have no part in it.
    pub(super) value: Expr,
}

/// How a part's values are put together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Count,
    CountDistinct,
    Sum,
    Min,
    Max,
}

/// A value in the rows that meet a condition, NULL in the others.
pub(super) fn under(value: Expr, filter: Option<&Expr>) -> Result<Expr, Refusal> {
    match filter {
        Some(filter) => when(filter.clone(), value).end().map_err(internal),
        None => Ok(value),
    }
}

/// The secret numbers of a row's parts as one number. Wrapping arithmetic on random numbers: two different combinations are
/// the same number about as often as two random ones are.
pub(crate) fn combined_id<'a>(ids: impl Iterator<Item = &'a RowId>) -> Expr {
    const FACTOR: i64 = 6_364_136_223_846_793_005;
    ids.map(|id| when(Expr::Column(id.column.clone()).is_not_null(), Expr::Column(id.column.clone())))
        .filter_map(|mut present| present.otherwise(lit(0_i64)).ok())
        .reduce(|one, other| one * lit(FACTOR) + other)
        .unwrap_or(lit(0_i64))
}

/// The hidden columns of an aggregate per unit: the unit, markers, and a number for the rows behind each of its rows.
pub(super) struct Hidden {
    unit: Column,
    markers: Vec<Column>,
    /// Of other owners' rows, and of the analyst's own.
    ids: [Option<String>; 2],
}

impl Hidden {
    pub(super) fn of(rows: &Rows, number: usize) -> Self {
        let mut markers: Vec<Column> = Vec::new();
        for slot in &rows.slots {
            if let Presence::Matched(column) | Presence::Branch { column, union: _ } = &slot.presence
                && !markers.contains(column)
                && *column != rows.unit
            {
                markers.push(column.clone());
            }
        }
        let id = |own: bool| {
            let word = if own { "own" } else { "row" };
            rows.row_ids.iter().any(|id| id.own == own).then(|| format!("__cr_{word}_a{number}"))
        };
        Self { unit: rows.unit.clone(), markers, ids: [id(false), id(true)] }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let markers = self.markers.iter().map(|marker| marker.name.as_str());
        std::iter::once(self.unit.name.as_str()).chain(markers).chain(self.ids.iter().flatten().map(String::as_str))
    }

    pub(super) fn row_ids(&self) -> Vec<RowId> {
        let id =
            |name: &Option<String>, own| name.as_ref().map(|name| RowId { column: Column::new_unqualified(name), own });
        let [others, own] = &self.ids;
        id(others, false).into_iter().chain(id(own, true)).collect()
    }
}

/// Rows aggregated by `groups` and the unit. Where the analyst's own rows may repeat another owner's, each of those has a
/// part in every result once.
pub(super) fn plan(
    rows: &Rows,
    groups: Vec<Expr>,
    parts: &[Part],
    hidden: &Hidden,
) -> Result<LogicalPlanBuilder, Refusal> {
    let asks = |how: &[How]| parts.iter().any(|part| how.contains(&part.how));
    let once = rows.repeated && asks(&[How::Count, How::Sum]);
    let ids_of = |own: bool| rows.row_ids.iter().filter(move |id| id.own == own);
    let column = |name: &str| Expr::Column(Column::new_unqualified(name));
    let mut keys = groups;
    keys.push(Expr::Column(rows.unit.clone()).alias(&rows.unit.name));
    let markers = || hidden.markers.iter().map(|marker| max(Expr::Column(marker.clone())).alias(&marker.name));
    let ids = || {
        let [others, own] = &hidden.ids;
        // All rows behind a row make its number; but where the analyst's rows repeat the others', any one of these is to have
        // the same part in it however often it is met.
        let hash = |own| if rows.repeated { min(combined_id(ids_of(own))) } else { sum(combined_id(ids_of(own))) };
        let id = |name: &Option<String>, own| name.as_ref().map(|name| hash(own).alias(name));
        id(others, false).into_iter().chain(id(own, true))
    };
    let input = LogicalPlanBuilder::from(rows.plan.clone());
    if once && asks(&[How::CountDistinct]) {
        if asks(&[How::Sum]) {
            return Err(Refusal::new(
                Code::NotAvailable,
                "beside your own table's rows, COUNT(DISTINCT ...) and SUM per unit are not available in one subquery",
            )
            .about("DISTINCT")
            .suggest("compute them in two subqueries and join these on the key"));
        }
        // Rows behind a count, by their numbers.
        let aggregates: Vec<Expr> = parts
            .iter()
            .map(|part| match part.how {
                How::Count => {
                    let counted = part.value.clone().is_not_null();
                    Ok(count_distinct(under(combined_id(ids_of(false)), Some(&counted))?).alias(&part.name))
                }
                How::CountDistinct | How::Sum | How::Min | How::Max => {
                    Ok(aggregate(part.how, part.value.clone()).alias(&part.name))
                }
            })
            .collect::<Result<_, Refusal>>()?;
        let aggregates: Vec<Expr> = aggregates.into_iter().chain(markers()).chain(ids()).collect();
        return input.aggregate(keys, aggregates).map_err(internal);
    }
    if !once {
        let parts = parts.iter().map(|part| aggregate(part.how, part.value.clone()).alias(&part.name));
        let aggregates: Vec<Expr> = parts.chain(markers()).chain(ids()).collect();
        return input.aggregate(keys, aggregates).map_err(internal);
    }
    // First each of the others' rows once, then the unit.
    let others: Vec<Expr> = ids_of(false).map(|id| Expr::Column(id.column.clone())).collect();
    let firsts = parts.iter().map(|part| {
        let value = match part.how {
            How::Count => under(lit(1_i64), Some(&part.value.clone().is_not_null()))?,
            How::CountDistinct | How::Sum | How::Min | How::Max => part.value.clone(),
        };
        let once = if part.how == How::Min { min(value) } else { max(value) };
        Ok(once.alias(&part.name))
    });
    let firsts: Vec<Expr> = firsts.collect::<Result<_, Refusal>>()?;
    let own = hidden.ids.get(1).and_then(Option::as_ref);
    let own_first = own.map(|name| min(combined_id(ids_of(true))).alias(name));
    let count_of_keys = keys.len();
    let first = input
        .aggregate(
            keys.into_iter().chain(others).collect::<Vec<_>>(),
            firsts.into_iter().chain(markers()).chain(own_first).collect::<Vec<_>>(),
        )
        .map_err(internal)?;
    let keys: Vec<Expr> = first
        .schema()
        .iter()
        .take(count_of_keys)
        .map(|(qualifier, field)| Expr::Column(Column::new(qualifier.cloned(), field.name())))
        .collect();
    let seconds = parts.iter().map(|part| aggregate(part.how, column(&part.name)).alias(&part.name));
    let seconds: Vec<Expr> = seconds
        .chain(hidden.markers.iter().map(|marker| max(column(&marker.name)).alias(&marker.name)))
        .chain(hidden.ids.first().and_then(Option::as_ref).map(|name| min(combined_id(ids_of(false))).alias(name)))
        .chain(own.map(|name| min(column(name)).alias(name)))
        .collect();
    first.aggregate(keys, seconds).map_err(internal)
}

fn aggregate(how: How, value: Expr) -> Expr {
    match how {
        How::Count => count(value),
        How::CountDistinct => count_distinct(value),
        How::Sum => sum(value),
        How::Min => min(value),
        How::Max => max(value),
    }
}
