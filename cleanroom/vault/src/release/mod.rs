//! [`ExactAggregate`] to [`ReleasedTable`]: floors per group and per cell, dominance, what totals would give away, rounding.
//! What is suppressed is not copied: the table is built anew from the values that stay.

mod complement;
mod family;
mod parts;
mod rules;
mod table;
mod totals;

pub(crate) use totals::{column, decimal, decimal_of, value_of, whole};

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::{Result, exec_datafusion_err};

use crate::compile::group_name;
use crate::execute::{ExactAggregate, ExactFamily};
use rules::Rules;
pub(crate) use table::{Row, Value, table, values};
pub(crate) use totals::one_count;

/// The result of a release point as anyone may see it: positional columns `c0`, `c1`, ... in the order of the groups'
/// values, which no suppressed group has a part in.
pub(crate) struct ReleasedTable {
    batch: RecordBatch,
}

impl ReleasedTable {
    /// A table of which less is shown, or something in the place of what it held that was released before.
    pub(crate) fn of(batch: RecordBatch) -> Self {
        Self { batch }
    }

    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(crate) fn into_batch(self) -> RecordBatch {
        self.batch
    }
}

/// Applies the release rules to the release points of a query, in their order.
///
/// # Errors
/// The engine's, for the operator alone; none that depends on a row but for want of memory.
pub(crate) fn release(exact: Vec<ExactAggregate>, families: Vec<ExactFamily>) -> Result<Vec<ReleasedTable>> {
    let rules = exact.iter().map(|exact| Rules::of(&exact.release, &exact.matching)).collect::<Result<Vec<_>>>()?;
    let mut tables: Vec<Option<ReleasedTable>> = exact
        .iter()
        .zip(&rules)
        .map(|(exact, rules)| exact.totals.as_ref().map(|totals| alone(rules, totals)).transpose())
        .collect::<Result<_>>()?;
    for of_family in families {
        for (release, table) in family::release(of_family, &rules)? {
            if let Some(place) = tables.get_mut(release) {
                *place = Some(table);
            }
        }
    }
    tables.into_iter().map(|table| table.ok_or_else(|| exec_datafusion_err!("a release point was not read"))).collect()
}

/// One that nothing is shown beside of which it is the total or a part.
fn alone(rules: &Rules<'_>, batch: &RecordBatch) -> Result<ReleasedTable> {
    let release = rules.release;
    let keys = (0..release.groups.len())
        .map(|index| totals::column(batch, &group_name(index)))
        .collect::<Result<Vec<&ArrayRef>>>()?;
    let rows: Vec<Row> = totals::of(release, batch)?
        .iter()
        .enumerate()
        .filter(|(_row, totals)| rules.stands(totals))
        .map(|(row, totals)| {
            let shown = |(cell, of_cell)| {
                let tells = |what: &rules::Quantity| rules.tells(*what, cell, totals, of_cell);
                rules::quantities(cell.kind).iter().all(tells).then(|| table::value(cell, of_cell)).flatten()
            };
            let values = release.cells.iter().zip(&totals.cells).map(shown).collect();
            Row { key: Some(row), grouping_id: None, values }
        })
        .collect();
    table::table(release, &keys, &rows)
}
