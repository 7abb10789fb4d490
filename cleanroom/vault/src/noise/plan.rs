//! What of a statement gets how much noise, and what that costs: from the statement, the policies and the analyst's wish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cleanroom_budget::{Delta, Loss, PureEpsilon, Rho, rho_of};
use cleanroom_policy::{Mechanism, TableName};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::Spending;
use super::interval::ColumnNoise;
use super::lineage::{self, Source};
use super::mechanism::{Noise, Sensitivity, Share};
use super::quantile::{self, Grid};
use crate::check::{Cell, CellKind, Presence, Range, Rank, ReleasePoint, Spread};
use crate::compile;
use crate::facts::TableFacts;
use crate::refusal::{Code, Refusal, Rule};

/// Most groups that are shown because their values are declared: beyond that, those that are large enough.
const MAX_DECLARED: usize = 10_000;
/// Greatest weight of a column.
const MAX_WEIGHT: f64 = 1000.0;
/// A bound in ticks, beyond which sums of many units would not fit.
const MAX_TICKS: f64 = 1e27;

/// The noise of a statement, and its price.
pub(crate) struct QueryNoise {
    /// What is charged.
    pub(crate) loss: Loss,
    /// The price as it is shown: epsilon and delta of the whole answer.
    pub(crate) epsilon: f64,
    pub(crate) delta: f64,
    /// Tables that are charged, each once, by name.
    pub(crate) tables: Vec<TableName>,
    /// One for each release point, in their order.
    pub(crate) releases: Vec<ReleaseNoise>,
    /// Of each column of the answer, where it comes from.
    pub(crate) sources: Vec<Source>,
}

/// The noise of one release point.
pub(crate) struct ReleaseNoise {
    /// Numbers that are drawn for each group.
    pub(crate) terms: Vec<Term>,
    /// Of each cell, the terms that it is made of.
    pub(crate) cells: Vec<CellTerms>,
    /// One for each grouping set; one of all groups where there are none.
    pub(crate) sets: Vec<SetNoise>,
    /// The term whose noisy number of units says whether a group shows.
    pub(crate) exists: Option<usize>,
    /// Values of all groups, where they are all declared.
    pub(crate) domains: Option<Vec<Vec<ScalarValue>>>,
}

/// One grouping set.
pub(crate) struct SetNoise {
    /// Positions of its groups.
    pub(crate) groups: Vec<usize>,
    /// Most groups of the set that one unit has a part in.
    pub(crate) most_groups: u64,
    /// Whether there can be more than that, so that a unit's groups have to be cut.
    pub(crate) cut: bool,
    /// One for each term.
    pub(crate) noise: Vec<Noise>,
    /// The noisy number of units from which on a group shows; `None` where all do.
    pub(crate) threshold: Option<i128>,
}

/// A number that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    pub(crate) what: What,
    weight: f64,
}

#[cfg(test)]
impl Term {
    pub(super) fn of(what: What) -> Self {
        Self { what, weight: 1.0 }
    }
}

/// What is counted or added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Units of the group.
    Units,
    /// Units that contribute to a cell.
    Contributors { cell: usize },
    /// Rows of a cell, at most so many of a unit.
    Rows { cell: usize },
    /// The sum of a cell, what one unit adds moved into the limits, in ticks.
    Sum { cell: usize, low: i128, high: i128 },
    /// A quantile of a cell's values: one of the [`Grid`] between two limits, in ticks.
    Quantile { cell: usize, rank: Rank, low: i128, high: i128 },
    /// The sum of the squares of a cell, likewise, in ticks of [`compile::SQUARE_SCALE`].
    Squares { cell: usize, low: i128, high: i128 },
}

/// The terms of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CellTerms {
    One(usize),
    /// One of the values that it can be.
    Chosen(usize),
    /// A quotient of two, moved into what one row can hold, in ticks.
    Average {
        sum: usize,
        count: usize,
        low: i128,
        high: i128,
    },
    /// The variance of the values, `E[x^2] - E[x]^2`, or its root; at most what values of the range can have.
    Spread {
        sum: usize,
        count: usize,
        squares: usize,
        scale: i8,
        range: Range,
        spread: Spread,
    },
}

/// Plans the noise of a checked statement. Rows outside declared values are taken out of its release points.
///
/// # Errors
/// A refusal, where a policy has too little for what is asked.
pub(crate) fn plan(
    releases: &mut [ReleasePoint],
    tables: &[Arc<TableFacts>],
    above: &LogicalPlan,
    spending: &Spending,
) -> Result<QueryNoise, Refusal> {
    let terms = Terms::of(tables, spending)?;
    let internal = |_detail| Refusal::new(Code::Internal, "the noise of the statement cannot be planned");
    let sources = lineage::sources(above).map_err(internal)?;
    let weights = weights(spending, above, &sources)?;
    let mut planned = Vec::with_capacity(releases.len());
    for (index, release) in releases.iter_mut().enumerate() {
        planned.push(release_noise(index, release, &terms, &weights)?);
    }
    let thresholds = planned.iter().flat_map(|release| &release.sets).filter(|set| set.threshold.is_some()).count();
    let price = Price::of(&terms, thresholds)?;
    let all: f64 = planned
        .iter()
        .map(|release| release.sets.len() as f64 * release.terms.iter().map(|term| term.weight).sum::<f64>())
        .sum();
    for (release, of_it) in planned.iter_mut().zip(releases.iter()) {
        let exists = release.exists;
        for set in &mut release.sets {
            for term in &release.terms {
                let sensitivity = Sensitivity { groups: set.most_groups, most: most(term.what, of_it) };
                let share = price.share(term.weight / all);
                let noise = match term.what {
                    What::Quantile { .. } => Noise::choosing(share, sensitivity),
                    What::Units
                    | What::Contributors { .. }
                    | What::Rows { .. }
                    | What::Sum { .. }
                    | What::Squares { .. } => Noise::within(share, sensitivity),
                };
                set.noise.push(noise.map_err(internal)?);
            }
            if let (Some(threshold), Some(noise)) = (&mut set.threshold, exists.and_then(|term| set.noise.get(term))) {
                // A unit that stands alone in all its groups shows in one of them with this chance at most.
                #[expect(clippy::cast_precision_loss, reason = "a few groups")]
                let chance = price.thresholds.value() / thresholds as f64 / set.most_groups as f64;
                *threshold = i128::from(of_it.floor) + noise.seldom_reached(chance);
            }
        }
    }
    let mut charged: Vec<TableName> =
        tables.iter().filter(|facts| facts.unit().is_some()).map(|facts| facts.name.clone()).collect();
    charged.sort();
    Ok(QueryNoise {
        loss: price.loss,
        epsilon: terms.epsilon,
        delta: price.delta,
        tables: charged,
        releases: planned,
        sources,
    })
}

/// The strictest of the policies of a statement's tables.
struct Terms {
    mechanism: Mechanism,
    epsilon: f64,
    delta: f64,
    most_groups: u64,
    /// A policy that allows for no delta, where one does not.
    without_delta: Option<Arc<TableFacts>>,
}

impl Terms {
    fn of(tables: &[Arc<TableFacts>], spending: &Spending) -> Result<Self, Refusal> {
        let mut terms = Self {
            mechanism: Mechanism::Gaussian,
            epsilon: f64::INFINITY,
            delta: f64::INFINITY,
            most_groups: u64::MAX,
            without_delta: None,
        };
        for facts in tables {
            let Some(noise) = &facts.policy.noise else { continue };
            if noise.mechanism == Mechanism::Laplace {
                terms.mechanism = Mechanism::Laplace;
            }
            if let Some(asked) = spending.epsilon
                && asked > noise.epsilon
            {
                return Err(Refusal::new(
                    Code::TooMuch,
                    format!("one question may spend at most epsilon {} of `{}`", noise.epsilon, facts.name),
                )
                .rule(Rule::of(&facts.policy, "noise.epsilon")));
            }
            if noise.delta == 0.0 {
                terms.without_delta.get_or_insert_with(|| Arc::clone(facts));
            }
            terms.epsilon = terms.epsilon.min(noise.epsilon);
            terms.delta = terms.delta.min(noise.delta);
            terms.most_groups = terms.most_groups.min(u64::from(noise.groups_per_unit));
        }
        if let Some(asked) = spending.epsilon {
            // So little that its fixed point has few digits is as good as nothing.
            if !(asked.is_finite() && asked >= 1e-6) {
                return Err(Refusal::new(Code::Malformed, "`epsilon` is a number of at least 0.000001"));
            }
            terms.epsilon = asked;
        }
        Ok(terms)
    }
}

/// What a statement costs, to be shared out.
struct Price {
    loss: Loss,
    delta: f64,
    thresholds: Delta,
}

impl Price {
    fn of(terms: &Terms, thresholds: usize) -> Result<Self, Refusal> {
        if let (true, Some(facts)) = (thresholds > 0, &terms.without_delta) {
            return Err(Refusal::new(
                Code::NoiseMissing,
                format!(
                    "which groups there are can only be told with a chance of error, and `{}` allows for no `delta`",
                    facts.name
                ),
            )
            .rule(Rule::of(&facts.policy, "noise.delta"))
            .about("GROUP")
            .suggest("group by columns whose `values` are declared, or ask without GROUP BY"));
        }
        Ok(match terms.mechanism {
            Mechanism::Laplace => {
                let thresholds = if thresholds > 0 { Delta::down(terms.delta) } else { Delta::ZERO };
                let loss = Loss::pure(PureEpsilon::nearest(terms.epsilon), thresholds);
                Self { loss, delta: if thresholds == Delta::ZERO { 0.0 } else { terms.delta }, thresholds }
            }
            Mechanism::Gaussian => {
                let (thresholds, converted) = match thresholds {
                    0 => (Delta::ZERO, terms.delta),
                    _ => (Delta::down(terms.delta / 2.0), terms.delta / 2.0),
                };
                let loss = Loss::concentrated(Rho::down(rho_of(terms.epsilon, converted)), thresholds);
                Self { loss, delta: terms.delta, thresholds }
            }
        })
    }

    /// A part of the price, rounded down.
    fn share(&self, part: f64) -> Share {
        match self.loss.epsilon {
            Some(epsilon) => Share::Pure(PureEpsilon::down(epsilon.value() * part)),
            None => Share::Concentrated(Rho::down(self.loss.rho.value() * part)),
        }
    }
}

/// The weight of each released column that a column of the answer is made of.
fn weights(
    spending: &Spending,
    above: &LogicalPlan,
    sources: &[Source],
) -> Result<BTreeMap<lineage::Place, f64>, Refusal> {
    let mut weights: BTreeMap<lineage::Place, f64> = BTreeMap::new();
    for (name, weight) in &spending.weights {
        if !(*weight > 0.0 && *weight <= MAX_WEIGHT) {
            return Err(Refusal::new(
                Code::Malformed,
                format!("the weight of `{name}` is a number above 0 and at most {MAX_WEIGHT}"),
            ));
        }
        let position = above.schema().fields().iter().position(|field| field.name() == name);
        let source = position.and_then(|position| sources.get(position)).ok_or_else(|| {
            Refusal::new(Code::Malformed, format!("there is a weight for `{name}`, which is no column of the answer"))
        })?;
        for place in &source.from {
            let known = weights.entry(*place).or_insert(*weight);
            *known = known.max(*weight);
        }
    }
    Ok(weights)
}

fn release_noise(
    index: usize,
    release: &mut ReleasePoint,
    terms: &Terms,
    weights: &BTreeMap<lineage::Place, f64>,
) -> Result<ReleaseNoise, Refusal> {
    let domains = domains(release);
    if let Some(domains) = &domains {
        release.rows.plan = within(release, domains)?;
    }
    let before = release.schema.fields().len().saturating_sub(release.cells.len());
    let mut drawn: Vec<Term> = Vec::new();
    let mut draw = |what: What, weight: f64| {
        let place = match drawn.iter().position(|term| same(term.what, what, release)) {
            Some(place) => place,
            None => {
                drawn.push(Term { what, weight });
                drawn.len() - 1
            }
        };
        if let Some(term) = drawn.get_mut(place) {
            term.weight = term.weight.max(weight);
        }
        place
    };
    let mut cells = Vec::with_capacity(release.cells.len());
    for (place, cell) in release.cells.iter().enumerate() {
        let weight = weights.get(&(index, before + place)).copied().unwrap_or(1.0);
        cells.push(match cell.kind {
            CellKind::Units if all_contribute(cell, release) => CellTerms::One(draw(What::Units, weight)),
            CellKind::Units => CellTerms::One(draw(What::Contributors { cell: place }, weight)),
            CellKind::Rows => CellTerms::One(draw(What::Rows { cell: place }, weight)),
            CellKind::Sum => CellTerms::One(draw(sum(place, cell, release)?, weight)),
            CellKind::Quantile(rank) => CellTerms::Chosen(draw(quantile(place, cell, rank, release)?, weight)),
            CellKind::Average => {
                let (low, high) = ticks(cell.row_range, cell, release)?;
                let sum = draw(sum(place, cell, release)?, weight);
                let count = draw(What::Rows { cell: place }, weight);
                match cell.spread {
                    None => CellTerms::Average { sum, count, low, high },
                    Some(spread) => CellTerms::Spread {
                        sum,
                        count,
                        squares: draw(squares(place, cell, release)?, weight),
                        scale: scale(cell, release)?,
                        range: cell.row_range,
                        spread,
                    },
                }
            }
        });
    }
    let positions: Vec<Vec<usize>> = release.sets.clone().unwrap_or_else(|| vec![(0..release.groups.len()).collect()]);
    let hidden = domains.is_none() && positions.iter().any(|set| !set.is_empty());
    // One number at least: a statement may ask for nothing but the groups.
    let exists = (hidden || cells.is_empty()).then(|| draw(What::Units, 1.0));
    let sets = positions
        .into_iter()
        .map(|groups| {
            let most: Option<u64> = match &domains {
                _ if groups.is_empty() => Some(1),
                Some(domains) => {
                    Some(groups.iter().filter_map(|group| domains.get(*group)).map(|v| v.len() as u64).product())
                }
                None => None,
            };
            SetNoise {
                most_groups: most.map_or(terms.most_groups, |most| most.min(terms.most_groups)).max(1),
                cut: most.is_none_or(|most| most > terms.most_groups),
                threshold: (domains.is_none() && !groups.is_empty()).then_some(0),
                noise: Vec::new(),
                groups,
            }
        })
        .collect();
    Ok(ReleaseNoise { terms: drawn, cells, sets, exists, domains })
}

/// Every unit of a group contributes to the cell.
fn all_contribute(cell: &Cell, release: &ReleasePoint) -> bool {
    cell.filter.is_none() && release.rows.slots.iter().all(|slot| matches!(slot.presence, Presence::Always))
}

/// Two terms are one number: it is drawn, and charged, once.
fn same(one: What, other: What, release: &ReleasePoint) -> bool {
    let same_rows = |one: usize, other: usize| match (release.cells.get(one), release.cells.get(other)) {
        (Some(one), Some(other)) => one.argument == other.argument && one.filter == other.filter,
        _ => false,
    };
    match (one, other) {
        (What::Units, What::Units) => true,
        (What::Contributors { cell: one }, What::Contributors { cell: other })
        | (What::Rows { cell: one }, What::Rows { cell: other }) => same_rows(one, other),
        (What::Sum { cell: one, low, high }, What::Sum { cell: other, low: other_low, high: other_high }) => {
            (low, high) == (other_low, other_high) && same_rows(one, other)
        }
        (
            What::Quantile { cell: one, rank, low, high },
            What::Quantile { cell: other, rank: other_rank, low: other_low, high: other_high },
        ) => (rank, low, high) == (other_rank, other_low, other_high) && same_rows(one, other),
        (What::Squares { cell: one, low, high }, What::Squares { cell: other, low: other_low, high: other_high }) => {
            (low, high) == (other_low, other_high) && same_rows(one, other)
        }
        (
            What::Units
            | What::Contributors { .. }
            | What::Rows { .. }
            | What::Sum { .. }
            | What::Quantile { .. }
            | What::Squares { .. },
            _,
        ) => false,
    }
}

fn sum(place: usize, cell: &Cell, release: &ReleasePoint) -> Result<What, Refusal> {
    let (low, high) = ticks(cell.unit_range, cell, release)?;
    Ok(What::Sum { cell: place, low, high })
}

fn quantile(place: usize, cell: &Cell, rank: Rank, release: &ReleasePoint) -> Result<What, Refusal> {
    if release.sets.is_some() {
        return Err(Refusal::new(Code::Clause, "ROLLUP, CUBE and GROUPING SETS have no medians and other quantiles")
            .about("GROUP")
            .suggest("ask for the quantiles of each total in a SELECT of its own"));
    }
    let (low, high) = ticks(cell.row_range, cell, release)?;
    // Of several quantiles of the same rows, the values are counted once.
    let same_rows = |other: &Cell| {
        matches!(other.kind, CellKind::Quantile(_)) && other.argument == cell.argument && other.filter == cell.filter
    };
    let cell = release.cells.iter().position(same_rows).unwrap_or(place);
    Ok(What::Quantile { cell, rank, low, high })
}

fn squares(place: usize, cell: &Cell, release: &ReleasePoint) -> Result<What, Refusal> {
    let (low, high) = cell.row_range;
    let least = if low <= 0.0 && high >= 0.0 { 0.0 } else { (low * low).min(high * high) };
    let range = super::total((least, (low * low).max(high * high)), release.most_rows);
    let (low, high) = in_ticks(range, compile::SQUARE_SCALE)?;
    Ok(What::Squares { cell: place, low, high })
}

fn scale(cell: &Cell, release: &ReleasePoint) -> Result<i8, Refusal> {
    compile::scale(cell, release).map_err(|_detail| Refusal::new(Code::Internal, "a sum of the statement has no type"))
}

/// A range in ticks of the cell.
fn ticks(range: Range, cell: &Cell, release: &ReleasePoint) -> Result<(i128, i128), Refusal> {
    in_ticks(range, scale(cell, release)?)
}

/// A range in ticks, no narrower.
fn in_ticks((low, high): Range, scale: i8) -> Result<(i128, i128), Refusal> {
    let power = 10_f64.powi(i32::from(scale));
    let (low, high) = ((low * power).floor(), (high * power).ceil());
    if !(low.abs() <= MAX_TICKS && high.abs() <= MAX_TICKS) {
        return Err(Refusal::new(
            Code::NoiseMissing,
            "the bounds of what is added up are so far apart that no sum of it could be told",
        )
        .suggest("ask the owner for narrower `bounds` or `unit_bounds`"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the limits")]
    Ok((low as i128, high as i128))
}

/// What one unit changes of a term in one group.
fn most(what: What, release: &ReleasePoint) -> u128 {
    match what {
        What::Units | What::Contributors { .. } => 1,
        What::Rows { .. } => u128::from(release.most_rows),
        What::Quantile { rank, .. } => u128::from(release.most_rows) * quantile::most_of_a_row(rank),
        What::Sum { cell: _, low, high } | What::Squares { cell: _, low, high } => {
            low.unsigned_abs().max(high.unsigned_abs())
        }
    }
    .max(1)
}

/// The values of all groups, where their owners declared them and they are not too many together.
fn domains(release: &ReleasePoint) -> Option<Vec<Vec<ScalarValue>>> {
    let mut all = Vec::with_capacity(release.domains.len());
    let mut many: usize = 1;
    for (position, values) in release.domains.iter().enumerate() {
        let data_type = release.schema.field(position).data_type();
        let mut typed: Vec<ScalarValue> = Vec::new();
        for value in values.as_ref()? {
            let value =
                ScalarValue::Utf8(Some(value.clone())).cast_to(data_type).ok().filter(|value| !value.is_null())?;
            if !typed.contains(&value) {
                typed.push(value);
            }
        }
        many = many.checked_mul(typed.len()).filter(|many| *many <= MAX_DECLARED)?;
        all.push(typed);
    }
    Some(all)
}

/// The rows whose groups are declared.
fn within(release: &ReleasePoint, domains: &[Vec<ScalarValue>]) -> Result<LogicalPlan, Refusal> {
    let plan = release.rows.plan.clone();
    let declared = release.groups.iter().zip(domains).map(|(group, values)| {
        let values = values.iter().map(|value| Expr::Literal(value.clone(), None)).collect();
        group.clone().unalias().in_list(values, false)
    });
    let internal = |_detail| Refusal::new(Code::Internal, "declared values do not fit their column");
    match declared.reduce(Expr::and) {
        None => Ok(plan),
        Some(declared) => datafusion::logical_expr::LogicalPlanBuilder::from(plan)
            .filter(declared)
            .and_then(datafusion::logical_expr::LogicalPlanBuilder::build)
            .map_err(internal),
    }
}

impl QueryNoise {
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "every number carries noise, so it can be below zero; `noise` says how far off it is likely to be"
                .to_owned(),
        ];
        if self.releases.iter().flat_map(|release| &release.sets).any(|set| set.threshold.is_some()) {
            notes.push("groups whose noisy number of units is below a threshold are not shown".to_owned());
        }
        if self
            .releases
            .iter()
            .any(|release| release.domains.is_some() && release.sets.iter().any(|set| !set.groups.is_empty()))
        {
            notes.push("every declared group is shown, whether anybody is in it or not".to_owned());
        }
        notes
    }

    /// What is told of the answer's columns before there is an answer; of those without noise nothing.
    pub(crate) fn columns(&self, releases: &[ReleasePoint]) -> Vec<Option<ColumnNoise>> {
        let drawn = |(release, column): lineage::Place| {
            let (noise, point) = (self.releases.get(release)?, releases.get(release)?);
            noise.column(column, point)
        };
        let noisy = |(release, column): &lineage::Place| releases.get(*release).is_some_and(|of| *column >= before(of));
        self.sources
            .iter()
            .map(|source| match source.is.and_then(drawn) {
                Some(drawn) => Some(drawn),
                None if source.from.iter().any(noisy) => Some(ColumnNoise::Derived { ci95: None, by_row: Vec::new() }),
                None => None,
            })
            .collect()
    }
}

impl QueryNoise {
    /// Released columns that are quantiles.
    pub(super) fn chosen(&self, releases: &[ReleasePoint]) -> BTreeSet<lineage::Place> {
        let mut all = BTreeSet::new();
        for (index, (noise, release)) in self.releases.iter().zip(releases).enumerate() {
            let cells = noise.cells.iter().enumerate();
            let chosen = cells.filter(|(_place, cell)| matches!(cell, CellTerms::Chosen(_)));
            all.extend(chosen.map(|(place, _cell)| (index, before(release) + place)));
        }
        all
    }
}

/// Columns of a released table before its cells.
fn before(release: &ReleasePoint) -> usize {
    release.schema.fields().len().saturating_sub(release.cells.len())
}

impl ReleaseNoise {
    fn column(&self, column: usize, release: &ReleasePoint) -> Option<ColumnNoise> {
        let place = column.checked_sub(before(release))?;
        let (term, chosen) = match *self.cells.get(place)? {
            CellTerms::One(term) => (term, false),
            CellTerms::Chosen(term) => (term, true),
            CellTerms::Average { .. } | CellTerms::Spread { .. } => return None,
        };
        // Of several sets, the one with most noise.
        let noise = self
            .sets
            .iter()
            .filter_map(|set| set.noise.get(term))
            .max_by(|one, other| one.scale.total_cmp(&other.scale))?;
        let scale = match self.terms.get(term)?.what {
            What::Sum { cell, .. } | What::Quantile { cell, .. } => {
                compile::scale(release.cells.get(cell)?, release).ok()?
            }
            What::Squares { .. } => compile::SQUARE_SCALE,
            What::Units | What::Contributors { .. } | What::Rows { .. } => 0,
        };
        let unit = 10_f64.powi(i32::from(scale));
        if let (true, What::Quantile { low, high, .. }) = (chosen, self.terms.get(term)?.what) {
            let grid = Grid::between(low, high);
            let row = f64::from(Rank::WHOLE);
            return Some(ColumnNoise::Chosen {
                mechanism: noise.mechanism,
                scale: noise.scale / row,
                step: crate::fixed::to_f64(grid.step(), scale),
                rank95: (noise.half_choice(grid.len()) / row).ceil(),
            });
        }
        Some(ColumnNoise::Drawn {
            mechanism: noise.mechanism,
            scale: noise.scale / unit,
            ci95: noise.half_interval() / unit,
        })
    }
}
