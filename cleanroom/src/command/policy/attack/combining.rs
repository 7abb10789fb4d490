//! Attacks that combine answers, each of which is fine alone.

use cleanroom_policy::Use;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::field::{Field, Named, Probe, Reply, unanswered};
use super::{Attack, Finding, Verdict, some};
use crate::command::policy::trial::cell;
use crate::fault::Result;

/// Most pairs of answers of one attack.
const PAIRS: usize = 40;
/// Most pairs of columns.
const COLUMN_PAIRS: usize = 4;
/// Most statements that count figures.
const STATEMENTS: usize = 12;

pub(super) fn all() -> Vec<Box<dyn Attack>> {
    vec![Box::new(Differencing), Box::new(Tracker), Box::new(Reconstruction)]
}

/// All, and all without one rare value: the difference is those few.
struct Differencing;

/// A suppressed group as the difference of two large ones (Denning, Denning and Schwartz, "The tracker", ACM TODS 4(1), 1979).
struct Tracker;

/// As many exact figures as there are units (Dinur and Nissim, "Revealing information while preserving privacy", PODS 2003).
struct Reconstruction;

/// Two questions that differ by a few units.
struct Pair {
    /// The condition of both, as it is asked and over the own rows; `None` is all rows.
    larger: Option<(String, String)>,
    /// The whole condition of the smaller one, as it is asked.
    smaller: String,
    /// Over the own rows, what the smaller one leaves out.
    without: String,
    /// How many units have such rows.
    units: f64,
}

/// Pairs of answers and what their differences tell.
#[derive(Default)]
struct Pairs {
    asked: usize,
    answered: usize,
    exact: usize,
    single: usize,
    refused: Option<(String, String)>,
}

impl Pairs {
    /// Asks for both figures and compares them.
    async fn compare(&mut self, field: &Field<'_>, probe: &Probe, pair: &Pair) -> Result<()> {
        self.asked += 1;
        let larger = field.figure(probe, pair.larger.as_ref().map(|(asked, _own)| asked.as_str())).await?;
        let smaller = field.figure(probe, Some(&pair.smaller)).await?;
        match (larger, smaller) {
            (Reply::Cell(larger), Reply::Cell(smaller)) => {
                self.answered += 1;
                let both = pair.larger.as_ref().map_or("TRUE", |(_asked, own)| own.as_str());
                if field.is_exact(probe, larger - smaller, both, &pair.without).await? {
                    self.exact += 1;
                    self.single += usize::from(pair.units == 1.0);
                }
            }
            (Reply::Refused(code, rule), _) | (_, Reply::Refused(code, rule)) => self.refused = Some((code, rule)),
            (Reply::Cell(_) | Reply::Suppressed, Reply::Cell(_) | Reply::Suppressed) => {}
        }
        Ok(())
    }

    fn finding(self, floor: f64) -> Finding {
        let Self { asked, answered, exact, single, refused } = self;
        match (asked, answered, exact) {
            (0, ..) => Finding::none("no condition that the policy grants is met by so few"),
            (_, 0, _) => unanswered(refused),
            (_, _, 0) => Finding::new(
                Verdict::Held,
                format!("{answered} of {asked} pairs were answered, and their differences tell nothing"),
            ),
            _ => Finding::new(
                Verdict::Leaks,
                format!(
                    "{exact} of {asked} pairs of answers differ in fewer than {floor} units, {single} of them in one alone, whose \
                     figure is then known exactly"
                ),
            ),
        }
    }
}

impl Attack for Differencing {
    fn name(&self) -> &'static str {
        "differencing"
    }

    fn idea(&self) -> &'static str {
        "ask for all, and for all without one rare value"
    }

    fn stopped_by(&self) -> &'static str {
        "release.difference; noise"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let filters = field.columns(Use::Filter);
            let Some(probe) = field.probe().filter(|_probe| !filters.is_empty()) else {
                return Ok(Finding::none("the policy grants no condition, or no figure"));
            };
            let each = (PAIRS / filters.len()).max(1);
            let mut pairs = Pairs::default();
            for column in filters.iter().take(PAIRS) {
                for (value, units) in field.rare(column, each).await? {
                    let (smaller, without) = (column.is_not(&value), column.own_is(&value));
                    pairs.compare(field, &probe, &Pair { larger: None, smaller, without, units }).await?;
                }
            }
            Ok(pairs.finding(field.floor))
        }
        .boxed_local()
    }
}

impl Attack for Tracker {
    fn name(&self) -> &'static str {
        "tracker"
    }

    fn idea(&self) -> &'static str {
        "reach a group that is too small as the difference of two that are not"
    }

    fn stopped_by(&self) -> &'static str {
        "release.difference; noise"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let filters = field.columns(Use::Filter);
            let Some(probe) = field.probe().filter(|_probe| filters.len() > 1) else {
                return Ok(Finding::none("the policy grants conditions on fewer than two columns, or no figure"));
            };
            let mut pairs = Pairs::default();
            let combined = filters
                .iter()
                .enumerate()
                .flat_map(|(at, one)| filters.iter().skip(at + 1).map(move |other| (one, other)));
            for (one, other) in combined.take(COLUMN_PAIRS) {
                for (first, second, units) in rare_pairs(field, one, other).await? {
                    let smaller = format!("{} AND ({})", one.is(&first), other.is_not(&second));
                    let larger = Some((one.is(&first), one.own_is(&first)));
                    let without = other.own_is(&second);
                    pairs.compare(field, &probe, &Pair { larger, smaller, without, units }).await?;
                }
            }
            Ok(pairs.finding(field.floor))
        }
        .boxed_local()
    }
}

/// Pairs of values that fewer units have together than the floor, while enough have the first: the rarest.
async fn rare_pairs(field: &Field<'_>, one: &Named, other: &Named) -> Result<Vec<(String, String, f64)>> {
    let (unit, floor, most) = (field.own_unit(), field.floor, PAIRS / COLUMN_PAIRS / 2);
    let rows = field
        .own
        .texts(&format!(
            "SELECT p.a, p.b, p.n FROM (\
               SELECT CAST({one} AS VARCHAR) AS a, CAST({other} AS VARCHAR) AS b, COUNT(DISTINCT {unit}) AS n FROM kept \
               WHERE {one} IS NOT NULL AND {other} IS NOT NULL AND {unit} IS NOT NULL GROUP BY 1, 2\
             ) AS p JOIN (\
               SELECT CAST({one} AS VARCHAR) AS a, COUNT(DISTINCT {unit}) AS n FROM kept \
               WHERE {one} IS NOT NULL AND {unit} IS NOT NULL GROUP BY 1\
             ) AS g ON g.a = p.a WHERE p.n < {floor} AND g.n >= {floor} ORDER BY p.n, p.a, p.b LIMIT {most}",
            one = one.own,
            other = other.own,
        ))
        .await?;
    let mut pairs = Vec::new();
    for row in rows {
        if let [Some(first), Some(second), Some(units)] = row.as_slice() {
            pairs.push((first.clone(), second.clone(), units.parse().unwrap_or(0.0)));
        }
    }
    Ok(pairs)
}

impl Attack for Reconstruction {
    fn name(&self) -> &'static str {
        "reconstruction"
    }

    fn idea(&self) -> &'static str {
        "gather as many exact figures as there are units, and solve for all of them"
    }

    fn stopped_by(&self) -> &'static str {
        "noise; release.max_cells slows it down"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let dimensions = field.columns(Use::Dimension);
            let Some(probe) = field.probe().filter(|_probe| !dimensions.is_empty()) else {
                return Ok(Finding::none("the policy grants no dimension, or no figure"));
            };
            let mut sets: Vec<Vec<&Named>> = dimensions.iter().map(|one| vec![one]).collect();
            for (at, one) in dimensions.iter().enumerate() {
                sets.extend(dimensions.iter().skip(at + 1).map(|other| vec![one, other]));
            }
            let (mut statements, mut figures, mut refused) = (0, 0, None);
            for set in sets.iter().take(STATEMENTS) {
                let by = set.iter().map(|column| column.asked.clone()).collect::<Vec<_>>().join(", ");
                let sql =
                    format!("SELECT {} AS p FROM {}{} GROUP BY {by}", probe.asked, field.from(), field.condition(None));
                let told = field.ask(&sql).await?;
                if told.released() {
                    statements += 1;
                    figures += told.rows().iter().filter(|row| cell(row, 0).is_some()).count();
                } else {
                    refused = Some(field.refusal(&told));
                }
            }
            if statements == 0 {
                return Ok(unanswered(refused));
            }
            let told = format!(
                "{} about {} units from {}",
                some(figures, "figure"),
                field.units,
                some(statements, "question")
            );
            Ok(if field.policy.noise.is_some() {
                Finding::new(Verdict::Held, format!("{told}, each with noise"))
            } else if figures as f64 >= field.units {
                Finding::new(Verdict::Leaks, format!("{told}, all exact: enough to solve for single units"))
            } else {
                Finding::new(Verdict::Held, format!("{told}, all exact; each further condition gives as many again"))
            })
        }
        .boxed_local()
    }
}
