//! What a policy looks like against its own data. Numbers are told, values never.

use std::collections::BTreeSet;

use cleanroom_policy::{Bounds, ColumnName, ColumnRule, Policy, Use, Warning};

use super::rows::{OwnRows, quoted, seen, unit};
use crate::fault::Result;

/// Units in groups below the floor, from which on a dimension or combination is told of.
const SMALL_SHARE: f64 = 0.05;
/// Rows cut off by bounds, from which on they are told of.
const CLAMPED_SHARE: f64 = 0.05;
/// Rows outside a public domain, or without a unit, from which on they are told of.
const LOST_SHARE: f64 = 0.01;
/// Values below the floor, from which on a filter is told of.
const NARROW_SHARE: f64 = 0.5;
/// Bounds so many times wider than the data cost that much more noise.
const WIDE: f64 = 10.0;
/// Most combinations of dimensions that are looked at.
const COMBINATIONS: usize = 60;
/// Most dimensions of a combination.
const TOGETHER: usize = 3;
/// Most values of a public domain that are compared.
const DOMAIN: usize = 10_000;

/// What was found, and what was not looked at.
pub(super) struct Looked {
    pub(super) warnings: Vec<Warning>,
    pub(super) notes: Vec<String>,
}

/// Looks at the rows that the policy keeps.
pub(super) async fn lint_rows(policy: &Policy, own: &OwnRows) -> Result<Looked> {
    let mut lint = Lint { policy, own, warnings: Vec::new(), notes: Vec::new() };
    let [all] = own.row("SELECT COUNT(*) FROM file").await?;
    let [kept] = own.row("SELECT COUNT(*) FROM kept").await?;
    lint.filter(all, kept);
    if kept > 0.0 {
        lint.domains(kept).await?;
        if let Some(unit) = unit(policy) {
            lint.units(unit, kept).await?;
        }
    }
    Ok(Looked { warnings: lint.warnings, notes: lint.notes })
}

struct Lint<'a> {
    policy: &'a Policy,
    own: &'a OwnRows,
    warnings: Vec<Warning>,
    notes: Vec<String>,
}

/// How the units spread over the groups of some columns.
struct Spread {
    groups: f64,
    small: f64,
    single: f64,
    largest: f64,
    /// Share of the units that stand in at least one small group.
    exposed: f64,
}

impl Lint<'_> {
    fn warn(&mut self, rule: &str, message: String, remedy: &str) {
        self.warnings.push(Warning::new(self.policy, rule, message, remedy));
    }

    fn filter(&mut self, all: f64, kept: f64) {
        if self.policy.rows.is_none() {
            return;
        }
        if kept == 0.0 && all > 0.0 {
            self.warn("rows", "the condition drops every row".to_owned(), "correct the condition");
        } else if kept == all {
            self.warn("rows", "the condition drops no row".to_owned(), "remove it, unless later data will need it");
        }
    }

    /// Public domains against the values that are there.
    async fn domains(&mut self, kept: f64) -> Result<()> {
        for (name, rule) in &self.policy.columns {
            let Some(values) = &rule.values else { continue };
            let column = seen(name, rule);
            let sql = format!(
                "SELECT CAST({column} AS VARCHAR) AS value, COUNT(*) AS n FROM kept WHERE {column} IS NOT NULL \
                 GROUP BY 1 ORDER BY n DESC LIMIT {DOMAIN}"
            );
            let found = self.own.texts(&sql).await?;
            let declared: BTreeSet<&str> = values.iter().map(String::as_str).collect();
            let there: BTreeSet<&str> = found.iter().filter_map(|row| row.first().and_then(Option::as_deref)).collect();
            let absent = declared.difference(&there).count();
            let rule = format!("columns.{name}.values");
            if absent > 0 {
                self.warn(
                    &rule,
                    format!("{absent} of {} values do not occur in the data", declared.len()),
                    "correct their spelling, or leave them if the domain is public and complete as it is",
                );
            }
            let outside: f64 = found
                .iter()
                .filter(|row| row.first().and_then(Option::as_deref).is_some_and(|value| !declared.contains(value)))
                .filter_map(|row| row.get(1).and_then(Option::as_deref)?.parse::<f64>().ok())
                .sum();
            if outside / kept >= LOST_SHARE {
                self.warn(
                    &rule,
                    format!("{} of the rows hold a value outside the domain", percent(outside / kept)),
                    "add the missing values, or leave them out on purpose",
                );
            }
        }
        Ok(())
    }

    async fn units(&mut self, unit: &ColumnName, kept: f64) -> Result<()> {
        let column = quoted(unit);
        let [units, nameless] = self
            .own
            .row(&format!("SELECT COUNT(DISTINCT {column}), COUNT(CASE WHEN {column} IS NULL THEN 1 END) FROM kept"))
            .await?;
        if nameless / kept >= LOST_SHARE {
            self.warn(
                "unit.column",
                format!("{} of the rows have no unit and stand in no answer", percent(nameless / kept)),
                "correct the column, or leave the rows out on purpose with `rows`",
            );
        }
        let floor = self.policy.release.min_units as f64;
        if units < floor {
            self.warn(
                "release.min_units",
                format!(
                    "the table has {units} different {unit}, fewer than the floor of {floor}: nothing is ever answered"
                ),
                "bring more data, or lower the floor if that is right for so few",
            );
            return Ok(());
        }
        self.measures(&column, units, kept).await?;
        self.dimensions(&column, floor).await?;
        self.filters(&column, floor).await
    }

    async fn measures(&mut self, unit: &str, units: f64, kept: f64) -> Result<()> {
        let floor = self.policy.release.min_units as f64;
        for (name, rule) in self.policy.columns.iter().filter(|(_name, rule)| rule.uses.contains(&Use::Measure)) {
            let column = quoted(name);
            let (low, high) = match rule.bounds {
                Some(Bounds::Range { low, high }) => (low, high),
                Some(Bounds::Unbounded) | None => (f64::MIN, f64::MAX),
            };
            let [values, contributors, clamped, extreme] = self
                .own
                .row(&format!(
                    "SELECT COUNT({column}), COUNT(DISTINCT CASE WHEN {column} IS NOT NULL THEN {unit} END), \
                     COUNT(CASE WHEN CAST({column} AS DOUBLE) < {low:?} OR CAST({column} AS DOUBLE) > {high:?} THEN 1 END), \
                     MAX(ABS(CAST({column} AS DOUBLE))) FROM kept"
                ))
                .await?;
            if contributors < floor {
                self.warn(
                    &format!("columns.{name}"),
                    format!("only {contributors} of {units} units have a value, fewer than the floor: no figure of it can stand"),
                    "remove the column, or bring more data",
                );
                continue;
            }
            let share = clamped / values;
            if share >= CLAMPED_SHARE {
                let much = if share > 0.5 { "most values: " } else { "" };
                self.warn(
                    &format!("columns.{name}.bounds"),
                    format!(
                        "the bounds cut off {much}{} of them, so sums and averages are that much wrong",
                        percent(share)
                    ),
                    "widen the bounds to what one row can sensibly hold",
                );
            }
            let widest = low.abs().max(high.abs());
            if self.policy.noise.is_some() && extreme > 0.0 && widest > WIDE * extreme && clamped == 0.0 {
                self.warn(
                    &format!("columns.{name}.bounds"),
                    format!("the bounds are more than {WIDE} times as wide as any value, and noise grows with them"),
                    "narrow the bounds to what one row can sensibly hold",
                );
            }
            if values / kept < SMALL_SHARE {
                self.notes.push(format!("`{name}` has a value on {} of the rows only", percent(values / kept)));
            }
        }
        Ok(())
    }

    /// Dimensions alone, in pairs and in threes: whom they single out.
    async fn dimensions(&mut self, unit: &str, floor: f64) -> Result<()> {
        let policy = self.policy;
        let dimensions: Vec<(&ColumnName, &ColumnRule)> =
            policy.columns.iter().filter(|(_name, rule)| rule.uses.contains(&Use::Dimension)).collect();
        // What is told of a combination holds of every larger one that holds it.
        let mut told: Vec<BTreeSet<&ColumnName>> = Vec::new();
        let (mut looked, mut left) = (0, 0);
        for together in 1..=TOGETHER {
            for chosen in combinations(&dimensions, together) {
                let names: BTreeSet<&ColumnName> = chosen.iter().map(|(name, _rule)| *name).collect();
                if told.iter().any(|smaller| smaller.is_subset(&names)) {
                    continue;
                }
                if looked == COMBINATIONS {
                    left += 1;
                    continue;
                }
                looked += 1;
                let columns: Vec<String> = chosen.iter().map(|(name, rule)| seen(name, rule)).collect();
                let spread = self.spread(unit, &columns, floor).await?;
                if self.tell(&names, &spread, floor) {
                    told.push(names);
                }
            }
        }
        if left > 0 {
            self.notes.push(format!("{left} further combinations of dimensions were not looked at"));
        }
        Ok(())
    }

    fn tell(&mut self, names: &BTreeSet<&ColumnName>, spread: &Spread, floor: f64) -> bool {
        let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" x ");
        let Some(first) = names.first() else { return false };
        if spread.largest < floor {
            self.warn(
                &format!("columns.{first}"),
                format!("no group of {list} has {floor} units: nothing grouped by it can ever be shown"),
                "take the use `dimension` away, set a `grain`, or offer a coarser column",
            );
            return true;
        }
        if spread.exposed < SMALL_SHARE {
            return false;
        }
        let what = if names.len() == 1 { "has many small groups" } else { "is quasi-identifying" };
        self.warn(
            &format!("columns.{first}"),
            format!(
                "{list} {what}: {} of {} groups fall under the floor of {floor}, {} are one unit alone, and {} of the units \
                 stand in such a group",
                spread.small,
                spread.groups,
                spread.single,
                percent(spread.exposed)
            ),
            if names.len() == 1 {
                "set a `grain`, offer a coarser column, or keep the column to `filter`; noise covers what floors do not"
            } else {
                "take `dimension` from one of them or make one coarser; noise covers what floors do not"
            },
        );
        true
    }

    async fn spread(&self, unit: &str, columns: &[String], floor: f64) -> Result<Spread> {
        let list =
            columns.iter().enumerate().map(|(at, column)| format!("{column} AS c{at}")).collect::<Vec<_>>().join(", ");
        let names = (0..columns.len()).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
        let pairs = format!("SELECT DISTINCT {unit} AS u, {list} FROM kept WHERE {unit} IS NOT NULL");
        let [groups, small, single, largest] = self
            .own
            .row(&format!(
                "SELECT COUNT(*), COUNT(CASE WHEN n < {floor} THEN 1 END), COUNT(CASE WHEN n = 1 THEN 1 END), MAX(n) \
                 FROM (SELECT COUNT(*) AS n FROM ({pairs}) AS p GROUP BY {names}) AS g"
            ))
            .await?;
        if small == 0.0 {
            return Ok(Spread { groups, small, single, largest, exposed: 0.0 });
        }
        let [all, exposed] = self
            .own
            .row(&format!(
                "SELECT COUNT(DISTINCT u), COUNT(DISTINCT CASE WHEN n < {floor} THEN u END) \
                 FROM (SELECT u, COUNT(*) OVER (PARTITION BY {names}) AS n FROM ({pairs}) AS p) AS g"
            ))
            .await?;
        Ok(Spread { groups, small, single, largest, exposed: if all > 0.0 { exposed / all } else { 0.0 } })
    }

    /// Conditions so fine that an answer with one and an answer without it differ by a few units.
    async fn filters(&mut self, unit: &str, floor: f64) -> Result<()> {
        let policy = self.policy;
        if policy.noise.is_some() || policy.release.difference.is_some() {
            return Ok(());
        }
        let only_filters = policy
            .columns
            .iter()
            .filter(|(_name, rule)| rule.uses.contains(&Use::Filter) && !rule.uses.contains(&Use::Dimension));
        for (name, rule) in only_filters {
            let spread = self.spread(unit, &[seen(name, rule)], floor).await?;
            if spread.groups > 0.0 && spread.small / spread.groups >= NARROW_SHARE {
                self.warn(
                    &format!("columns.{name}"),
                    format!(
                        "{} of {} values belong to fewer than {floor} units, so answers with and without one of them differ by \
                         these units alone",
                        spread.small, spread.groups
                    ),
                    "set a `grain` or offer a coarser column; `release.difference` or noise guard against it",
                );
            }
        }
        Ok(())
    }
}

/// All ways of choosing so many of the items, in their order.
fn combinations<T: Copy>(items: &[T], choose: usize) -> Vec<Vec<T>> {
    if choose == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, item) in items.iter().enumerate() {
        for mut rest in combinations(items.get(at + 1..).unwrap_or_default(), choose - 1) {
            rest.insert(0, *item);
            all.push(rest);
        }
    }
    all
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_all_there_once() {
        assert_eq!(combinations(&[1, 2, 3], 2), [vec![1, 2], vec![1, 3], vec![2, 3]]);
        assert_eq!(combinations(&[1, 2], 3), Vec::<Vec<i32>>::new());
        assert_eq!(combinations(&[1, 2, 3], 1).len(), 3);
    }
}
