//! Attacks on groups and cells: fewer people behind a figure than the floor, or one who makes most of it.

use std::collections::BTreeMap;

use cleanroom_policy::Use;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::field::{Field, Named, label, unanswered};
use super::{Attack, Finding, Verdict, some};
use crate::command::policy::trial::cell;
use crate::fault::Result;

/// Most dimensions in one statement.
const TOGETHER: usize = 3;
/// Most statements of one attack.
const STATEMENTS: usize = 12;
/// More than this share of a figure is most of it.
const MOST: f64 = 0.5;

pub(super) fn all() -> Vec<Box<dyn Attack>> {
    vec![Box::new(SmallGroups), Box::new(QuasiIdentifiers), Box::new(SparseCell), Box::new(Outlier)]
}

/// Group by each dimension and look for groups below the floor.
struct SmallGroups;

/// The same by several dimensions at once: people are rare in combinations.
struct QuasiIdentifiers;

/// A large group, in which few have a value or meet a cell's own condition.
struct SparseCell;

/// A figure that one unit makes most of.
struct Outlier;

impl Attack for SmallGroups {
    fn name(&self) -> &'static str {
        "small-groups"
    }

    fn idea(&self) -> &'static str {
        "group by each dimension, and read groups of a few"
    }

    fn stopped_by(&self) -> &'static str {
        "release.min_units"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let mut grouped = Grouped::default();
            for column in field.columns(Use::Dimension).into_iter().take(STATEMENTS) {
                grouped.ask(field, &[column]).await?;
            }
            Ok(grouped.finding())
        }
        .boxed_local()
    }
}

impl Attack for QuasiIdentifiers {
    fn name(&self) -> &'static str {
        "quasi-identifiers"
    }

    fn idea(&self) -> &'static str {
        "group by several dimensions at once, and read groups of a few"
    }

    fn stopped_by(&self) -> &'static str {
        "release.min_units"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let mut columns = field.columns(Use::Dimension);
            if columns.len() < 2 {
                return Ok(Finding::none("the policy has fewer than two dimensions"));
            }
            columns.truncate(TOGETHER);
            let mut grouped = Grouped::default();
            grouped.ask(field, &columns).await?;
            Ok(grouped.finding())
        }
        .boxed_local()
    }
}

/// Groups that were asked for, and what came of them.
#[derive(Default)]
struct Grouped {
    groups: f64,
    small: f64,
    shown: f64,
    /// Groups below the floor that were shown all the same.
    leaked: usize,
    refused: Option<(String, String)>,
    answered: bool,
}

impl Grouped {
    async fn ask(&mut self, field: &Field<'_>, columns: &[Named]) -> Result<()> {
        let own = columns.iter().map(|column| format!("CAST({} AS VARCHAR)", column.own)).collect::<Vec<_>>();
        let unit = field.own_unit();
        let places = (1..=own.len()).map(|at| at.to_string()).collect::<Vec<_>>().join(", ");
        let truth = field
            .own
            .texts(&format!(
                "SELECT {}, COUNT(DISTINCT {unit}) AS n FROM kept WHERE {unit} IS NOT NULL GROUP BY {places}",
                own.iter().enumerate().map(|(at, own)| format!("{own} AS c{at}")).collect::<Vec<_>>().join(", ")
            ))
            .await?;
        let mut units: BTreeMap<Vec<Option<String>>, f64> = BTreeMap::new();
        for mut row in truth {
            let count = row.pop().flatten().and_then(|text| text.parse().ok()).unwrap_or(0.0);
            units.insert(row, count);
        }
        let asked = columns.iter().map(|column| column.asked.clone()).collect::<Vec<_>>().join(", ");
        // Without a figure the labels alone tell that the group is there.
        let sql = format!("SELECT {asked} FROM {}{} GROUP BY {asked}", field.from(), field.condition(None));
        let told = field.ask(&sql).await?;
        if !told.released() {
            self.refused = Some(field.refusal(&told));
            return Ok(());
        }
        self.answered = true;
        self.groups += units.len() as f64;
        self.small += units.values().filter(|count| **count < field.floor).count() as f64;
        for row in told.rows() {
            self.shown += 1.0;
            let labels: Vec<Option<String>> = row.iter().map(|value| label(Some(value))).collect();
            // A group that is not among the own ones is no better than one that is too small.
            if units.get(&labels).is_none_or(|count| *count < field.floor) {
                self.leaked += 1;
            }
        }
        Ok(())
    }

    fn finding(self) -> Finding {
        if !self.answered {
            return match self.refused {
                Some(_) => unanswered(self.refused),
                None => Finding::none("the policy has no dimension"),
            };
        }
        if self.leaked > 0 {
            return Finding::new(
                Verdict::Leaks,
                format!(
                    "{} shown that {} below the floor",
                    some(self.leaked, "group"),
                    if self.leaked == 1 { "is" } else { "are" }
                ),
            );
        }
        let verdict = if self.small > 0.0 { Verdict::Suppressed } else { Verdict::Held };
        Finding::new(
            verdict,
            format!("{} of {} groups shown, none of the {} below the floor", self.shown, self.groups, self.small),
        )
    }
}

impl Attack for SparseCell {
    fn name(&self) -> &'static str {
        "sparse-cell"
    }

    fn idea(&self) -> &'static str {
        "in a large group, sum over the few who meet a condition of the cell"
    }

    fn stopped_by(&self) -> &'static str {
        "release.min_units (it holds for each cell)"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let Some(probe) = field.probe() else {
                return Ok(Finding::none("the policy grants no figure"));
            };
            let (mut tried, mut leaked, mut refused) = (0, 0, None);
            for column in field.columns(Use::Filter) {
                for (value, _units) in field.rare(&column, 3).await? {
                    if tried == STATEMENTS {
                        break;
                    }
                    tried += 1;
                    let sql = format!(
                        "SELECT {} FILTER (WHERE {}) AS p FROM {}{}",
                        probe.asked,
                        column.is(&value),
                        field.from(),
                        field.condition(None)
                    );
                    let told = field.ask(&sql).await?;
                    if !told.released() {
                        refused = Some(field.refusal(&told));
                    } else if let Some(given) = told.rows().first().and_then(|row| cell(row, 0))
                        && field.tells(given, field.truth(&probe, &column.own_is(&value)).await?)
                    {
                        leaked += 1;
                    }
                }
            }
            Ok(match (tried, leaked, refused) {
                (0, ..) => Finding::none("no condition that the policy grants is met by so few"),
                (_, 0, None) => field.not_told(format!("{} of a few asked for, none given", some(tried, "figure"))),
                (_, 0, refused) => unanswered(refused),
                _ => Finding::new(
                    Verdict::Leaks,
                    format!("{leaked} of {} of fewer than {} units", some(tried, "figure"), field.floor),
                ),
            })
        }
        .boxed_local()
    }
}

impl Attack for Outlier {
    fn name(&self) -> &'static str {
        "outlier"
    }

    fn idea(&self) -> &'static str {
        "read one unit's total out of a sum that it makes most of"
    }

    fn stopped_by(&self) -> &'static str {
        "release.dominance; tighter bounds; noise"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let sums = field.sums();
            if sums.is_empty() {
                return Ok(Finding::none("the policy grants no sum"));
            }
            let (mut there, mut leaked, mut largest, mut refused) = (0, 0, 0.0_f64, None);
            let dimensions = field.columns(Use::Dimension);
            let pairs = sums.iter().flat_map(|sum| dimensions.iter().map(move |dimension| (sum, dimension)));
            for ((_measure, probe), dimension) in pairs.take(STATEMENTS) {
                let dominated = dominated(field, probe.own(), dimension).await?;
                there += dominated.len();
                if dominated.is_empty() {
                    continue;
                }
                let by = &dimension.asked;
                let sql = format!(
                    "SELECT {by} AS g, {} AS s FROM {}{} GROUP BY {by}",
                    probe.asked,
                    field.from(),
                    field.condition(None)
                );
                let told = field.ask(&sql).await?;
                if !told.released() {
                    refused = Some(field.refusal(&told));
                    continue;
                }
                for row in told.rows() {
                    if let Some((share, sum)) = dominated.get(&label(row.first()))
                        && cell(row, 1).is_some_and(|given| field.tells(given, *sum))
                    {
                        leaked += 1;
                        largest = largest.max(*share);
                    }
                }
            }
            Ok(match (there, leaked, refused) {
                (0, ..) => {
                    Finding::new(Verdict::Held, "no unit makes most of a figure of a group of the floor or more")
                }
                (_, 0, Some(refused)) => unanswered(Some(refused)),
                (_, 0, None) => {
                    field.not_told(format!("not given: {} that one unit makes most of", some(there, "figure")))
                }
                _ => Finding::new(
                    Verdict::Leaks,
                    format!(
                        "{} that one unit makes most of, up to {:.0} %: its total is known to within the rest",
                        some(leaked, "figure"),
                        largest * 100.0
                    ),
                ),
            })
        }
        .boxed_local()
    }
}

/// Groups of the floor or more of whose sum one unit holds most, with its share and the sum.
async fn dominated(field: &Field<'_>, sum: &str, dimension: &Named) -> Result<BTreeMap<Option<String>, (f64, f64)>> {
    let unit = field.own_unit();
    let rows = field
        .own
        .texts(&format!(
            "SELECT CAST(g AS VARCHAR), MAX(ABS(s)) / SUM(ABS(s)) AS share, SUM(s) AS total FROM (\
               SELECT {} AS g, {unit} AS u, {sum} AS s FROM kept WHERE {unit} IS NOT NULL GROUP BY 1, 2\
             ) AS x WHERE s IS NOT NULL GROUP BY g \
             HAVING COUNT(*) >= {} AND SUM(ABS(s)) > 0 AND MAX(ABS(s)) > {MOST} * SUM(ABS(s))",
            dimension.own, field.floor
        ))
        .await?;
    let mut dominated = BTreeMap::new();
    for row in rows {
        if let [group, Some(share), Some(total)] = row.as_slice() {
            let number = |text: &str| text.parse().unwrap_or(0.0);
            dominated.insert(group.clone(), (number(share), number(total)));
        }
    }
    Ok(dominated)
}
