//! The least audience: groups in which too few of the analyst's own units match, or too few do not, are not shown.
//!
//! It is about one answer at a time. Whom a group is about that was not shown can be worked out from others, as from any
//! answers about chosen lists; the guard against differencing holds beside it.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};

use super::apply::{Held, places};
use crate::check::AudienceRule;
use crate::compile::{UNITS, group_name};

/// The rows of a table that its audience lets be shown.
pub(super) fn apply(held: &Held) -> Result<RecordBatch> {
    let batch = held.table.batch();
    let Some(rule) = &held.release.audience else { return Ok(batch.clone()) };
    let (Some(evidence), Some(audience)) = (&held.behind.evidence, &held.behind.audience) else {
        return Err(exec_datafusion_err!("an audience was not counted"));
    };
    let asked = asked(rule, audience, batch)?;
    let kept: BooleanArray = places(&held.release, evidence, batch)?
        .into_iter()
        .zip(asked)
        .map(|(place, asked)| {
            let matching = place.and_then(|place| evidence.groups.get(place)).map_or(0, |group| group.units.len());
            Some(matching >= rule.least && asked.saturating_sub(matching) >= rule.least)
        })
        .collect();
    Ok(filter_record_batch(batch, &kept)?)
}

/// For each row, how many of the analyst's units stand in its group by their own columns.
fn asked(rule: &AudienceRule, audience: &RecordBatch, batch: &RecordBatch) -> Result<Vec<u64>> {
    let missing = || exec_datafusion_err!("an audience lacks a column");
    let counts = cast(audience.column_by_name(UNITS).ok_or_else(missing)?, &DataType::Int64)?;
    let counts: Vec<u64> =
        counts.as_primitive::<Int64Type>().values().iter().map(|count| u64::try_from(*count).unwrap_or(0)).collect();
    if rule.groups.is_empty() {
        let all = counts.first().copied().unwrap_or(0);
        return Ok(vec![all; batch.num_rows()]);
    }
    let shown: Vec<ArrayRef> = rule
        .groups
        .iter()
        .map(|(position, _group)| batch.columns().get(*position).cloned().ok_or_else(missing))
        .collect::<Result<_>>()?;
    let known: Vec<ArrayRef> = rule
        .groups
        .iter()
        .zip(&shown)
        .map(|((position, _group), shown)| {
            let known = audience.column_by_name(&group_name(*position)).ok_or_else(missing)?;
            Ok(cast(known, shown.data_type())?)
        })
        .collect::<Result<_>>()?;
    let fields = shown.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let known = converter.convert_columns(&known)?;
    let known: HashMap<OwnedRow, u64> = known.iter().map(|row| row.owned()).zip(counts).collect();
    let shown = converter.convert_columns(&shown)?;
    Ok(shown.iter().map(|row| known.get(&row.owned()).copied().unwrap_or(0)).collect())
}
