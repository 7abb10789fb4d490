//! How far off a column's numbers are likely to be.
//!
//! Of a number as it was drawn that follows from its distribution. Of one that is computed from such numbers it is simulated,
//! a parametric bootstrap (Efron and Tibshirani 1993, section 6.5): fresh noise of the same distributions is put upon the
//! *noisy* numbers, what stands above the release is computed from the sums, and it is looked how far that is from what was
//! answered. Nothing exact takes part in it and the distributions are public, so it tells, and costs, nothing more. It
//! knows of noise alone: not of what bounding took away, and not of groups that do not show.

use std::collections::HashMap;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use cleanroom_policy::Mechanism;
use datafusion::common::{Result, exec_datafusion_err};
use rand_distr::{Distribution as _, Exp1, StandardNormal};
use serde_json::{Value, json};

use super::draw::{Drawn, DrawnGroup, released};
use super::mechanism::Noise;
use super::plan::{QueryNoise, ReleaseNoise, What};
use crate::check::ReleasePoint;
use crate::release::ReleasedTable;

/// How often an answer is simulated.
const TIMES: usize = 40;
/// A row is told of that is there at least so often.
const LEAST: usize = 30;
/// Most noisy numbers, and most rows of an answer, that are simulated.
const MOST: usize = 5_000;

/// What is told of a column's noise.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnNoise {
    /// Its numbers are as they were drawn.
    Drawn {
        /// The distribution.
        mechanism: Mechanism,
        /// Of Laplace noise its `b`, of Gaussian noise its standard deviation; in the column's unit.
        scale: f64,
        /// Half the width of an interval that holds the exact number with a chance of at least 95 %; in the column's unit.
        ci95: f64,
    },
    /// Its numbers were chosen among the values of a grid: quantiles.
    Chosen {
        /// Of a policy with Laplace noise permute-and-flip, else the exponential mechanism.
        mechanism: Mechanism,
        /// The odds of two values whose scores differ by so many rows are 1 to e.
        scale: f64,
        /// How far apart the values are, in the column's unit.
        step: f64,
        /// With a chance of at least 95 % no more rows lie between the value and the best one there is. What that is in the
        /// column's unit only the rows tell.
        rank95: f64,
    },
    /// Its numbers are computed from numbers that were drawn.
    Derived {
        /// The median of those of the rows; `None` where there is none, and before there is an answer.
        ci95: Option<f64>,
        /// For each row, about the same of its number as `ci95` of one that was drawn, by simulation; `None` where the row
        /// cannot be told from others, or often is not there.
        by_row: Vec<Option<f64>>,
    },
}

impl ColumnNoise {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Drawn { mechanism, scale, ci95 } => {
                json!({ "mechanism": mechanism.to_string(), "scale": scale, "ci95": ci95 })
            }
            Self::Chosen { mechanism, scale, step, rank95 } => {
                let mechanism = match mechanism {
                    Mechanism::Laplace => "permute-and-flip",
                    Mechanism::Gaussian => "exponential",
                };
                json!({ "mechanism": mechanism, "scale": scale, "ci95": null, "rank95": rank95, "step": step })
            }
            Self::Derived { ci95, by_row } => json!({ "mechanism": "derived", "ci95": ci95, "by_row": by_row }),
        }
    }
}

/// What a column of the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// Without noise: it says which row is which.
    Label,
    Drawn,
    Derived,
    /// What it is computed from is chosen: more noise upon that would tell nothing.
    Unknown,
}

/// Simulations of one answer.
pub(crate) struct Simulation {
    columns: Vec<Column>,
    releases: Vec<ReleasePoint>,
    noises: Vec<ReleaseNoise>,
    drawn: Vec<Drawn>,
}

impl Simulation {
    /// `None` where nothing is computed from noisy numbers, or there are too many of them.
    pub(crate) fn of(noise: QueryNoise, releases: Vec<ReleasePoint>, drawn: Vec<Drawn>) -> Option<Self> {
        let told = noise.columns(&releases);
        let chosen = noise.chosen(&releases);
        let columns: Vec<Column> = told
            .iter()
            .zip(&noise.sources)
            .map(|(told, source)| match told {
                None => Column::Label,
                Some(ColumnNoise::Drawn { .. }) => Column::Drawn,
                Some(ColumnNoise::Chosen { .. }) => Column::Unknown,
                Some(ColumnNoise::Derived { .. }) if source.from.iter().any(|place| chosen.contains(place)) => {
                    Column::Unknown
                }
                Some(ColumnNoise::Derived { .. }) => Column::Derived,
            })
            .collect();
        let numbers: usize = drawn.iter().flat_map(|drawn| &drawn.groups).map(|group| group.terms.len()).sum();
        (columns.contains(&Column::Derived) && numbers <= MOST).then_some(Self {
            columns,
            releases,
            noises: noise.releases,
            drawn,
        })
    }

    /// How often it is to be simulated; not at all of a long answer.
    pub(crate) fn times(&self, answer: &RecordBatch) -> usize {
        if answer.num_rows() <= MOST { TIMES } else { 0 }
    }

    /// The released tables with more noise upon them.
    pub(crate) fn tables(&self) -> Result<Vec<ReleasedTable>> {
        let points = self.releases.iter().zip(&self.noises).zip(&self.drawn);
        points.map(|((release, noise), drawn)| released(&noisier(drawn, noise)?, release, noise)).collect()
    }

    /// How far simulated answers are from the one that was given, by its columns that are computed.
    pub(crate) fn compare(&self, answer: &RecordBatch, simulated: &[RecordBatch]) -> Result<Vec<Option<ColumnNoise>>> {
        let rows = answer.num_rows();
        let Some(places) = self.places(answer, simulated)? else {
            return Ok(self.columns.iter().map(|_column| None).collect());
        };
        let compared = self.columns.iter().enumerate().map(|(index, column)| {
            if *column != Column::Derived {
                return Ok(None);
            }
            let Some(given) = numbers(answer, index)? else { return Ok(None) };
            let mut apart: Vec<Vec<f64>> = vec![Vec::new(); rows];
            for (batch, places) in simulated.iter().zip(&places) {
                let Some(numbers) = numbers(batch, index)? else { return Ok(None) };
                for ((apart, place), given) in apart.iter_mut().zip(places).zip(&given) {
                    let number = place.and_then(|place| numbers.get(place).copied().flatten());
                    apart.extend(number.zip(*given).map(|(number, given)| (number - given).abs()));
                }
            }
            let by_row: Vec<Option<f64>> = apart.into_iter().map(half_interval).collect();
            let mut known: Vec<f64> = by_row.iter().copied().flatten().collect();
            known.sort_by(f64::total_cmp);
            Ok(Some(ColumnNoise::Derived { ci95: known.get(known.len() / 2).copied(), by_row }))
        });
        compared.collect()
    }

    /// For each simulated answer, where each row of the given one stands in it. `None` where rows cannot be compared.
    fn places(&self, answer: &RecordBatch, simulated: &[RecordBatch]) -> Result<Option<Vec<Vec<Option<usize>>>>> {
        let labels = |batch: &RecordBatch| -> Vec<ArrayRef> {
            let columns = self.columns.iter().zip(batch.columns());
            columns
                .filter(|(column, _values)| **column == Column::Label)
                .map(|(_column, values)| values.clone())
                .collect()
        };
        let of_answer = labels(answer);
        if of_answer.is_empty() {
            let alone = |batch: &RecordBatch| batch.num_rows() == 1;
            let place = |batch: &RecordBatch| vec![(alone(answer) && alone(batch)).then_some(0); answer.num_rows()];
            return Ok(Some(simulated.iter().map(place).collect()));
        }
        let fields: Vec<SortField> =
            of_answer.iter().map(|values| SortField::new(values.data_type().clone())).collect();
        if !RowConverter::supports_fields(&fields) {
            return Ok(None);
        }
        let converter = RowConverter::new(fields)?;
        let named = |labels: &[ArrayRef]| -> Result<Vec<OwnedRow>> {
            Ok(converter.convert_columns(labels)?.iter().map(|row| row.owned()).collect())
        };
        let rows = named(&of_answer)?;
        let of_answer = once(&rows);
        let mut all = Vec::with_capacity(simulated.len());
        for batch in simulated {
            let there = named(&labels(batch))?;
            let there = once(&there);
            let place = |row| of_answer.get(row).copied().flatten().and_then(|_only| there.get(row).copied().flatten());
            all.push(rows.iter().map(place).collect());
        }
        Ok(Some(all))
    }
}

/// The place of each row; `None` of one that is there several times.
fn once(rows: &[OwnedRow]) -> HashMap<&OwnedRow, Option<usize>> {
    let mut places = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        places.entry(row).and_modify(|known| *known = None).or_insert(Some(place));
    }
    places
}

/// Numbers of a column; `None` where it holds none.
fn numbers(batch: &RecordBatch, column: usize) -> Result<Option<Vec<Option<f64>>>> {
    let values = batch.columns().get(column).ok_or_else(|| exec_datafusion_err!("an answer has fewer columns"))?;
    if !values.data_type().is_numeric() {
        return Ok(None);
    }
    let values = cast(values, &DataType::Float64)?;
    let numbers = values.as_primitive::<Float64Type>();
    Ok(Some(numbers.iter().map(|number| number.filter(|number| number.is_finite())).collect()))
}

/// A number that 95 % of the distances are no greater than, and that another one is greater than with a chance of 5 %.
fn half_interval(mut apart: Vec<f64>) -> Option<f64> {
    if apart.len() < LEAST {
        return None;
    }
    apart.sort_by(f64::total_cmp);
    let place = ((apart.len() + 1) * 95).div_ceil(100).min(apart.len());
    apart.get(place.checked_sub(1)?).copied()
}

/// Noisy numbers with noise of the same distributions upon them.
fn noisier(drawn: &Drawn, noise: &ReleaseNoise) -> Result<Drawn> {
    let mut groups: Vec<DrawnGroup> = drawn.groups.clone();
    for (set, of_set) in noise.sets.iter().enumerate() {
        for (term, (what, noise)) in noise.terms.iter().zip(&of_set.noise).enumerate() {
            if matches!(what.what, What::Quantile { .. }) {
                continue;
            }
            let mut members: Vec<&mut i128> = groups
                .iter_mut()
                .filter(|group| group.set == set)
                .filter_map(|group| group.terms.get_mut(term))
                .collect();
            let before: Vec<i128> = members.iter().map(|number| **number).collect();
            for (number, after) in members.iter_mut().zip(simulated(noise, &before)?) {
                **number = after;
            }
        }
    }
    Ok(Drawn { keys: drawn.keys.clone(), groups })
}

/// From this scale on, in ticks, rounded real numbers go as far as the mechanism's whole ones.
const ROUGH: f64 = 2.0;

/// Numbers with more noise upon them, to see how far they go. What is released has the mechanism's own noise, drawn in exact
/// arithmetic so that no digit of it tells of a secret; here there is none, so a faster draw does.
fn simulated(noise: &Noise, numbers: &[i128]) -> Result<Vec<i128>> {
    if noise.scale < ROUGH {
        return noise.on(numbers);
    }
    let mut random = rand::rng();
    let mut draw = || -> f64 {
        match noise.mechanism {
            // The difference of two exponential variables.
            Mechanism::Laplace => {
                let [one, other]: [f64; 2] = [Exp1.sample(&mut random), Exp1.sample(&mut random)];
                one - other
            }
            Mechanism::Gaussian => StandardNormal.sample(&mut random),
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "the cast stops at the ends")]
    let mut ticks = || (draw() * noise.scale).round() as i128;
    Ok(numbers.iter().map(|number| number.saturating_add(ticks())).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may panic")]

    use cleanroom_policy::Mechanism;

    use super::{Noise, half_interval, simulated};

    // Of 40 000 draws a share has a standard error of at most 0.0025, the spread one of 0.8 %; the rest is for the rounding.
    #[test]
    fn simulated_noise_goes_as_far_as_what_is_drawn() {
        let zeros = vec![0_i128; 40_000];
        for mechanism in [Mechanism::Laplace, Mechanism::Gaussian] {
            for scale in [0.5, 2.0, 7.5, 4e6] {
                let noise = Noise { mechanism, scale };
                let told = |numbers: &[i128]| {
                    let share = |within: f64| {
                        numbers.iter().filter(|number| (**number as f64).abs() <= within * scale).count() as f64 / 4e4
                    };
                    let squares: f64 = numbers.iter().map(|number| (*number as f64).powi(2)).sum();
                    let mean = numbers.iter().map(|number| *number as f64).sum::<f64>() / 4e4;
                    [(squares / 4e4).sqrt() / scale, share(1.0), share(2.5), mean / scale]
                };
                let (fast, exact) = (told(&simulated(&noise, &zeros).unwrap()), told(&noise.on(&zeros).unwrap()));
                for (fast, exact) in fast.into_iter().zip(exact) {
                    assert!((fast - exact).abs() < 0.06, "{mechanism:?} {scale}: {fast}, {exact}");
                }
            }
        }
    }

    #[test]
    fn the_interval_is_a_quantile_of_the_distances() {
        let apart: Vec<f64> = (1..=40).rev().map(f64::from).collect();
        assert_eq!(half_interval(apart), Some(39.0));
        assert_eq!(half_interval(vec![1.0; 29]), None);
        assert_eq!(half_interval(vec![2.0; 30]), Some(2.0));
        let many: Vec<f64> = (1..=999).map(f64::from).collect();
        assert_eq!(half_interval(many), Some(950.0));
    }
}
