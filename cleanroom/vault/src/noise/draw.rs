//! Bounded exact numbers to noisy ones, and which groups show.

use std::collections::HashMap;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};

use super::plan::{CellTerms, ReleaseNoise, SetNoise, What};
use super::quantile::Lying;
use crate::check::{Range, ReleasePoint, Spread};
use crate::compile::{self, GROUPING_ID, UNITS, contributors_name, count_name, group_name, squares_name, sum_name};
use crate::execute::ExactAggregate;
use crate::fixed;
use crate::release::{self, ReleasedTable, Row, Value};

/// The noisy numbers of a release point: of the groups that show alone, so that all of it may be told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawn {
    /// One for each group column.
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) groups: Vec<DrawnGroup>,
}

/// The noisy numbers of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DrawnGroup {
    /// Where its values stand among the keys.
    pub(crate) key: usize,
    /// Its grouping set.
    pub(crate) set: usize,
    /// One for each term.
    pub(crate) terms: Vec<i128>,
}

/// Draws the noise of a release point.
///
/// Every exact number of a group that can show gets noise of its own, also one that nobody sees because the group does not.
///
/// # Errors
/// The engine's, for the operator alone; none that depends on a row.
pub(crate) fn draw(exact: ExactAggregate, noise: &ReleaseNoise) -> Result<Drawn> {
    let ExactAggregate { release, totals, histograms, matching: _ } = exact;
    let batch = totals.ok_or_else(|| exec_datafusion_err!("a noisy release point was not read"))?;
    let groups = Groups::of(&release, noise, &batch)?;
    let terms = noise.terms.iter().map(|term| Exact::of(term.what, &batch)).collect::<Result<Vec<_>>>()?;
    let lying = Lying::of(&release, noise, &batch, &histograms)?;
    let mut shown = Vec::new();
    for (set, of_set) in noise.sets.iter().enumerate() {
        let members = groups.of_set(set);
        let drawn = terms
            .iter()
            .zip(&of_set.noise)
            .map(|(exact, noise)| match exact {
                Some(exact) => noise.on(&members.iter().map(|(_key, place)| exact.at(*place)).collect::<Vec<i128>>()),
                None => Ok(vec![0; members.len()]),
            })
            .collect::<Result<Vec<Vec<i128>>>>()?;
        for (index, (key, place)) in members.iter().enumerate() {
            let mut terms: Vec<i128> = drawn.iter().map(|numbers| numbers.get(index).copied().unwrap_or(0)).collect();
            if shows(of_set, noise, &terms) {
                // Of a group that does not show nobody learns the choice, and it takes a while.
                for ((term, noise), number) in noise.terms.iter().zip(&of_set.noise).zip(&mut terms) {
                    if let What::Quantile { .. } = term.what {
                        let scores = lying.scores(term.what, *place);
                        let (grid, scores) = scores.ok_or_else(|| exec_datafusion_err!("a quantile was not read"))?;
                        *number = grid.chosen(noise.choice(&scores)?);
                    }
                }
                shown.push(DrawnGroup { key: *key, set, terms });
            }
        }
    }
    Ok(Drawn { keys: groups.keys, groups: shown })
}

/// The released table of noisy numbers.
///
/// # Errors
/// Where they are not of this release point.
pub(crate) fn released(drawn: &Drawn, release: &ReleasePoint, noise: &ReleaseNoise) -> Result<ReleasedTable> {
    let rows = drawn
        .groups
        .iter()
        .map(|group| {
            let of_set = noise.sets.get(group.set).ok_or_else(|| exec_datafusion_err!("a group is of no set"))?;
            let values = noise.cells.iter().map(|cell| value(*cell, of_set, &group.terms)).collect();
            let grouping_id = release.sets.is_some().then(|| compile::grouping_id_of(release, &of_set.groups));
            Ok(Row { key: Some(group.key), grouping_id, values })
        })
        .collect::<Result<Vec<Row>>>()?;
    release::table(release, &drawn.keys.iter().collect::<Vec<_>>(), &rows)
}

fn shows(set: &SetNoise, noise: &ReleaseNoise, drawn: &[i128]) -> bool {
    match (set.threshold, noise.exists.and_then(|term| drawn.get(term))) {
        (None, _) => true,
        (Some(threshold), Some(units)) => *units >= threshold,
        // There is always a term to compare with; without it nothing is known to be large enough.
        (Some(_), None) => false,
    }
}

fn value(cell: CellTerms, set: &SetNoise, drawn: &[i128]) -> Option<Value> {
    match cell {
        CellTerms::One(term) => Some((coarse(*drawn.get(term)?, set, term), 1)),
        CellTerms::Chosen(term) => Some((*drawn.get(term)?, 1)),
        CellTerms::Average { sum, count, low, high } => {
            let count = i64::try_from(*drawn.get(count)?).unwrap_or(i64::MAX).max(1);
            // What no average can be is as likely noise: the nearest that it can be.
            let limit = |value: i128| value.saturating_mul(i128::from(count));
            Some(((*drawn.get(sum)?).clamp(limit(low), limit(high)), count))
        }
        CellTerms::Spread { sum, count, squares, scale, range, spread } => {
            let of = |term: usize, scale: i8| drawn.get(term).map(|ticks| fixed::to_f64(*ticks, scale));
            Some(spread_of(of(sum, scale)?, of(count, 0)?, of(squares, compile::SQUARE_SCALE)?, range, spread, scale))
        }
    }
}

/// A variance or standard deviation, as a quotient of ticks.
fn spread_of(sum: f64, count: f64, squares: f64, (low, high): Range, spread: Spread, scale: i8) -> Value {
    // More digits than those of the values, which are squared.
    const PLACES: i64 = 1_000_000;
    let least = if spread.sample { 2.0 } else { 1.0 };
    let count = count.max(least);
    let mean = (sum / count).clamp(low, high);
    // No values between two limits lie further apart than half of them at each (Popoviciu 1935).
    let variance = (squares / count - mean * mean).clamp(0.0, (high - low) * (high - low) / 4.0);
    let variance = if spread.sample { variance * count / (count - 1.0) } else { variance };
    let shown = if spread.root { variance.sqrt() } else { variance };
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the cast stops at the ends")]
    let ticks = (shown * 10_f64.powi(i32::from(scale)) * PLACES as f64).round() as i128;
    (ticks, PLACES)
}

/// Rounded to a power of ten that is at most a hundredth of the noise, which tells nothing of the number that it does not
/// tell itself, and nobody reads digits of noise.
fn coarse(number: i128, set: &SetNoise, term: usize) -> i128 {
    let scale = set.noise.get(term).map_or(0.0, |noise| noise.scale);
    let mut power = 1_i128;
    while {
        #[expect(clippy::cast_precision_loss, reason = "a power of ten")]
        let next = power as f64 * 10.0;
        next <= scale / 100.0
    } {
        power *= 10;
    }
    let half = if number < 0 { -(power / 2) } else { power / 2 };
    number.saturating_add(half) / power * power
}

/// One term's exact numbers.
enum Exact {
    Whole(Int64Array),
    Ticks(Decimal128Array),
}

impl Exact {
    fn of(what: What, batch: &RecordBatch) -> Result<Option<Self>> {
        Ok(Some(match what {
            // It is chosen, not drawn.
            What::Quantile { .. } => return Ok(None),
            What::Units => Self::Whole(release::whole(batch, UNITS)?),
            What::Contributors { cell } => Self::Whole(release::whole(batch, &contributors_name(cell))?),
            What::Rows { cell } => Self::Whole(release::whole(batch, &count_name(cell))?),
            What::Sum { cell, .. } => Self::Ticks(release::decimal(batch, &sum_name(cell))?),
            What::Squares { cell, .. } => Self::Ticks(release::decimal(batch, &squares_name(cell))?),
        }))
    }

    /// The number of a group; 0 of one that nobody is in.
    fn at(&self, place: Option<usize>) -> i128 {
        let Some(place) = place else { return 0 };
        match self {
            Self::Whole(numbers) => release::value_of(numbers, place).map_or(0, i128::from),
            Self::Ticks(numbers) => release::decimal_of(numbers, place).unwrap_or(0),
        }
    }
}

/// The groups that can show: those that somebody is in or, where their values are declared, all.
struct Groups {
    keys: Vec<ArrayRef>,
    /// Of each set, its groups: where they stand among the keys, and where among the exact numbers.
    sets: Vec<Vec<(usize, Option<usize>)>>,
}

impl Groups {
    fn of(release: &ReleasePoint, noise: &ReleaseNoise, batch: &RecordBatch) -> Result<Self> {
        let found = (0..release.groups.len())
            .map(|index| {
                let key = release::column(batch, &group_name(index))?;
                Ok(cast(key, release.schema.field(index).data_type())?)
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let of_rows = sets_of(release, noise, batch)?;
        let Some(domains) = &noise.domains else {
            let mut sets = vec![Vec::new(); noise.sets.len()];
            for (row, set) in of_rows.into_iter().enumerate() {
                if let Some(groups) = sets.get_mut(set) {
                    groups.push((row, Some(row)));
                }
            }
            // A total over all rows is there, whether there are rows or not.
            for (set, groups) in noise.sets.iter().zip(&mut sets) {
                if set.groups.is_empty() && groups.is_empty() {
                    return Self::with_empty_total(release, noise, found, sets);
                }
            }
            return Ok(Self { keys: found, sets });
        };
        declared(release, noise, domains, &found, &of_rows)
    }

    /// As found, and one row of NULLs for a total over no rows.
    fn with_empty_total(
        release: &ReleasePoint,
        noise: &ReleaseNoise,
        found: Vec<ArrayRef>,
        mut sets: Vec<Vec<(usize, Option<usize>)>>,
    ) -> Result<Self> {
        let rows = found.first().map_or(0, |key| key.len());
        let keys = found
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let none = arrow::array::new_null_array(release.schema.field(index).data_type(), 1);
                Ok(arrow::compute::concat(&[key.as_ref(), none.as_ref()])?)
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        for (set, groups) in noise.sets.iter().zip(&mut sets) {
            if set.groups.is_empty() && groups.is_empty() {
                groups.push((rows, None));
            }
        }
        Ok(Self { keys, sets })
    }

    fn of_set(&self, set: usize) -> &[(usize, Option<usize>)] {
        self.sets.get(set).map_or(&[], Vec::as_slice)
    }
}

/// The set of each row of the exact numbers.
fn sets_of(release: &ReleasePoint, noise: &ReleaseNoise, batch: &RecordBatch) -> Result<Vec<usize>> {
    if release.sets.is_none() {
        return Ok(vec![0; batch.num_rows()]);
    }
    let ids = cast(release::column(batch, GROUPING_ID)?, &DataType::UInt64)?;
    ids.as_primitive::<UInt64Type>()
        .values()
        .iter()
        .map(|id| {
            noise
                .sets
                .iter()
                .position(|set| compile::engine_grouping_id(release, &set.groups) == *id)
                .ok_or_else(|| exec_datafusion_err!("a group is of no grouping set"))
        })
        .collect()
}

/// Every combination of declared values, with the place of those that somebody is in.
fn declared(
    release: &ReleasePoint,
    noise: &ReleaseNoise,
    domains: &[Vec<ScalarValue>],
    found: &[ArrayRef],
    of_rows: &[usize],
) -> Result<Groups> {
    let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); domains.len()];
    let mut members: Vec<Vec<usize>> = Vec::with_capacity(noise.sets.len());
    let mut rows = 0;
    for set in &noise.sets {
        let mut combinations: Vec<Vec<Option<&ScalarValue>>> = vec![vec![None; domains.len()]];
        for group in &set.groups {
            let values = domains.get(*group).map_or(&[][..], Vec::as_slice);
            combinations = combinations
                .into_iter()
                .flat_map(|combination| {
                    values.iter().map(move |value| {
                        let mut with = combination.clone();
                        if let Some(place) = with.get_mut(*group) {
                            *place = Some(value);
                        }
                        with
                    })
                })
                .collect();
        }
        let mut of_set = Vec::with_capacity(combinations.len());
        for combination in combinations {
            for (index, (column, value)) in columns.iter_mut().zip(combination).enumerate() {
                column.push(match value {
                    Some(value) => value.clone(),
                    None => ScalarValue::try_from(release.schema.field(index).data_type())?,
                });
            }
            of_set.push(rows);
            rows += 1;
        }
        members.push(of_set);
    }
    if domains.is_empty() {
        let sets = members
            .into_iter()
            .map(|set| set.into_iter().map(|key| (key, (!of_rows.is_empty()).then_some(0))).collect());
        return Ok(Groups { keys: Vec::new(), sets: sets.collect() });
    }
    let keys = columns.into_iter().map(ScalarValue::iter_to_array).collect::<Result<Vec<ArrayRef>>>()?;
    let converter = RowConverter::new(keys.iter().map(|key| SortField::new(key.data_type().clone())).collect())?;
    let rows_of = |columns: &[ArrayRef]| -> Result<Vec<OwnedRow>> {
        Ok(converter.convert_columns(columns)?.iter().map(|row| row.owned()).collect())
    };
    let mut places: HashMap<(usize, OwnedRow), usize> = HashMap::new();
    for (place, (row, set)) in rows_of(found)?.into_iter().zip(of_rows).enumerate() {
        places.insert((*set, row), place);
    }
    let all = rows_of(&keys)?;
    let sets = members
        .into_iter()
        .enumerate()
        .map(|(set, members)| {
            members
                .into_iter()
                .map(|key| (key, all.get(key).and_then(|row| places.get(&(set, row.clone())).copied())))
                .collect()
        })
        .collect();
    Ok(Groups { keys, sets })
}
