//! Where attacks are run: a room with the owner's table and one of the attacker's, and the truth to compare with.

use std::path::Path;

use arrow::datatypes::DataType;
use cleanroom_policy::{Bounds, ColumnName, ColumnRule, MeasureFunction, PartnerName, Policy, Require, Use};
use serde_json::Value;

use super::audience::Audience;
use super::{Finding, Verdict};
use crate::command::policy::rows::{OwnRows, literal, quoted, seen, unit};
use crate::command::policy::trial::{self, Told, Trial, cell};
use crate::fault::{Fault, Result};

/// The owner's table among the attacker's means.
pub(super) struct Field<'a> {
    pub(super) policy: &'a Policy,
    pub(super) own: &'a OwnRows,
    pub(super) audience: Option<Audience>,
    /// Distinct units that a group needs.
    pub(super) floor: f64,
    /// Distinct units of the table.
    pub(super) units: f64,
    analyst: PartnerName,
    trial: Trial,
}

/// A column and how it is named on both sides.
pub(super) struct Named {
    /// In a statement to the vault, where the table is `t`.
    pub(super) asked: String,
    /// Over the owner's own rows.
    pub(super) own: String,
    data_type: DataType,
}

/// The figure that is asked for, and the same over the owner's own rows.
pub(super) struct Probe {
    /// In a statement to the vault.
    pub(super) asked: String,
    /// Over the owner's own rows.
    own: String,
    /// By how much a row's part of the two can differ through rounding.
    tolerance: f64,
}

impl Probe {
    /// Over the owner's own rows.
    pub(super) fn own(&self) -> &str {
        &self.own
    }
}

/// How a probe ended.
pub(super) enum Reply {
    /// The figure.
    Cell(f64),
    /// Answered without it.
    Suppressed,
    /// The code and the rule.
    Refused(String, String),
}

impl<'a> Field<'a> {
    /// Sets the room up.
    pub(super) async fn open(policy: &'a Policy, own: &'a OwnRows, data: &Path) -> Result<Self> {
        let analyst = trial::asking(policy);
        if analyst == *policy.table.owner() {
            return Err(Fault::usage(
                format!("nobody but its owner may ask of `{}` and be given the answer", policy.table),
                "name an analyst in `access` who is a receiver, too",
            ));
        }
        let column = unit(policy).map(quoted).unwrap_or_default();
        let [units] = own.row(&format!("SELECT COUNT(DISTINCT {column}) FROM kept")).await?;
        let audience = Audience::of(policy, own, &analyst).await?;
        let tables: Vec<_> = audience.iter().map(|audience| audience.table().clone()).collect();
        let trial = Trial::open(&trial::small_room(&policy.table, &analyst, &tables)?).await?;
        trial.policy(policy, None).await?;
        trial.rows(policy, data).await?;
        if let Some(audience) = &audience {
            audience.take_in(&trial).await?;
        }
        let floor = policy.release.min_units as f64;
        Ok(Self { policy, own, audience, floor, units, analyst, trial })
    }

    pub(super) async fn close(self) {
        self.trial.close().await;
    }

    /// Asks the vault.
    pub(super) async fn ask(&self, sql: &str) -> Result<Told> {
        self.trial.ask(&self.analyst, sql, false).await
    }

    /// The code of a refusal, and the rule where it is one of the policy's.
    pub(super) fn refusal(&self, told: &Told) -> (String, String) {
        (told.code().to_owned(), told.rule_of(&self.policy.table).to_owned())
    }

    /// The table, joined with the attacker's list of everybody where that is needed.
    pub(super) fn from(&self) -> String {
        match self.listed() {
            Some(audience) => self.joined(audience),
            None => format!("{} AS t", trial::in_sql(&self.policy.table)),
        }
    }

    /// The table in a join with the attacker's, which is `a`.
    pub(super) fn joined(&self, audience: &Audience) -> String {
        format!(
            "{} AS t JOIN {} AS a ON a.\"id\" = {}",
            trial::in_sql(&self.policy.table),
            trial::in_sql(audience.table()),
            self.unit()
        )
    }

    /// The unit's column in a statement to the vault.
    pub(super) fn unit(&self) -> String {
        format!("t.{}", self.own_unit())
    }

    /// The unit's column over the owner's own rows.
    pub(super) fn own_unit(&self) -> String {
        unit(self.policy).map(quoted).unwrap_or_default()
    }

    /// `WHERE` and the condition, with what the join with that list adds.
    pub(super) fn condition(&self, condition: Option<&str>) -> String {
        let listed = self.listed().map(|_audience| "a.\"list\" = 'all'");
        let parts: Vec<String> = listed.into_iter().chain(condition).map(|part| format!("({part})")).collect();
        if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
    }

    /// Columns with a use, none of them the unit's.
    pub(super) fn columns(&self, wanted: Use) -> Vec<Named> {
        let own_unit = unit(self.policy);
        let columns = self.policy.columns.iter().filter(|(name, _rule)| own_unit != Some(*name));
        columns
            .filter(|(_name, rule)| rule.uses.contains(&wanted))
            .filter_map(|(name, rule)| self.named(name, rule))
            .collect()
    }

    /// Measures that may be summed, with what a row's value is taken as.
    pub(super) fn sums(&self) -> Vec<(Named, Probe)> {
        let measures =
            self.policy.columns.iter().filter(|(_name, rule)| rule.functions.contains(&MeasureFunction::Sum));
        measures
            .filter(|(_name, rule)| rule.uses.contains(&Use::Measure))
            .filter_map(|(name, rule)| {
                let named = self.named(name, rule)?;
                let value = format!("CAST({} AS DOUBLE)", quoted(name));
                let value = match rule.bounds {
                    Some(Bounds::Range { low, high }) => format!("LEAST(GREATEST({value}, {low:?}), {high:?})"),
                    Some(Bounds::Unbounded) | None => value,
                };
                let step = rule.step.map_or(1e-6, |step| step.as_f64());
                let probe =
                    Probe { asked: format!("SUM({})", named.asked), own: format!("SUM({value})"), tolerance: step };
                Some((named, probe))
            })
            .collect()
    }

    /// The figure that attacks ask for: rows where they may be counted, else the first sum, else the attacker's own units that match.
    pub(super) fn probe(&self) -> Option<Probe> {
        if counted(self.policy) {
            return Some(Probe { asked: "COUNT(*)".to_owned(), own: "COUNT(*)".to_owned(), tolerance: 0.0 });
        }
        let matched = || {
            let own = format!("COUNT(DISTINCT {})", self.own_unit());
            self.listed().map(|_list| Probe { asked: "COUNT(DISTINCT a.\"id\")".to_owned(), own, tolerance: 0.0 })
        };
        self.sums().into_iter().next().map(|(_named, probe)| probe).or_else(matched)
    }

    /// Asks for one figure under a condition.
    pub(super) async fn figure(&self, probe: &Probe, condition: Option<&str>) -> Result<Reply> {
        let sql = format!("SELECT {} AS p FROM {}{}", probe.asked, self.from(), self.condition(condition));
        let told = self.ask(&sql).await?;
        if !told.released() {
            let (code, rule) = self.refusal(&told);
            return Ok(Reply::Refused(code, rule));
        }
        let rows = told.rows();
        Ok(rows.first().and_then(|row| cell(row, 0)).map_or(Reply::Suppressed, Reply::Cell))
    }

    /// Whether a difference of two figures is exactly what the own rows under a condition make of it, and that is not nothing.
    /// `larger` is the condition of both figures, `without` that of the rows which the smaller one leaves out.
    pub(super) async fn is_exact(&self, probe: &Probe, difference: f64, larger: &str, without: &str) -> Result<bool> {
        let (unit, own) = (self.own_unit(), &probe.own);
        let [figure, rows] = self
            .own
            .row(&format!(
                "SELECT {own} FILTER (WHERE {larger}) - \
                 COALESCE({own} FILTER (WHERE ({larger}) AND ({without}) IS NOT TRUE), 0) AS figure, \
                 COUNT(*) FILTER (WHERE ({larger}) AND ({without})) AS n FROM kept WHERE {unit} IS NOT NULL"
            ))
            .await?;
        let tolerance = rows.mul_add(probe.tolerance, 0.01);
        Ok(figure.abs() > 0.0 && (difference - figure).abs() <= tolerance.min(figure.abs() / 2.0))
    }

    /// Whether a figure that was given tells the true one: under noise it may be anything, and does where it is within a
    /// twentieth of it.
    pub(super) fn tells(&self, given: f64, truth: f64) -> bool {
        self.policy.noise.is_none() || (given - truth).abs() <= truth.abs() / 20.0
    }

    /// What is learned where no figure told the true one: without noise none was given at all, which `suppressed` says.
    pub(super) fn not_told(&self, suppressed: String) -> Finding {
        match self.policy.noise {
            None => Finding::new(Verdict::Suppressed, suppressed),
            Some(_) => Finding::new(Verdict::Held, "what was given is far from the true figures, or nothing was"),
        }
    }

    /// A figure over the own rows that meet a condition.
    pub(super) async fn truth(&self, probe: &Probe, own_condition: &str) -> Result<f64> {
        let (unit, own) = (self.own_unit(), &probe.own);
        let sql = format!("SELECT COALESCE({own}, 0) FROM kept WHERE {unit} IS NOT NULL AND ({own_condition})");
        let [figure] = self.own.row(&sql).await?;
        Ok(figure)
    }

    /// Values of a column that fewer units have than the floor, the rarest first, and how many units have each.
    pub(super) async fn rare(&self, column: &Named, most: usize) -> Result<Vec<(String, f64)>> {
        let (own, unit) = (&column.own, self.own_unit());
        let rows = self
            .own
            .texts(&format!(
                "SELECT CAST({own} AS VARCHAR) AS v, COUNT(DISTINCT {unit}) AS n FROM kept \
                 WHERE {own} IS NOT NULL AND {unit} IS NOT NULL GROUP BY 1 HAVING COUNT(DISTINCT {unit}) < {} \
                 ORDER BY n, v LIMIT {most}",
                self.floor
            ))
            .await?;
        let mut values = Vec::new();
        for row in rows {
            if let [Some(value), Some(units)] = row.as_slice() {
                values.push((value.clone(), units.parse().unwrap_or(0.0)));
            }
        }
        Ok(values)
    }

    fn listed(&self) -> Option<&Audience> {
        self.audience.as_ref().filter(|_audience| needs_list(self.policy))
    }

    fn named(&self, name: &ColumnName, rule: &ColumnRule) -> Option<Named> {
        let data_type = self.own.column_type(name)?;
        Some(Named { asked: format!("t.{}", quoted(name)), own: seen(name, rule), data_type })
    }
}

/// Whether the policy lets units, and rows of them, be counted.
fn counted(policy: &Policy) -> bool {
    let rule = unit(policy).and_then(|name| policy.columns.get(name));
    rule.is_some_and(|rule| rule.uses.contains(&Use::Count))
}

/// Whether the attacker needs a list of everybody: for a join that the policy wants, or to count its own units by.
pub(super) fn needs_list(policy: &Policy) -> bool {
    let summed =
        |rule: &ColumnRule| rule.uses.contains(&Use::Measure) && rule.functions.contains(&MeasureFunction::Sum);
    policy.joins.require != Require::None || !(counted(policy) || policy.columns.values().any(summed))
}

impl Named {
    /// A value of it, told as text, in SQL.
    pub(super) fn value(&self, text: &str) -> String {
        literal(text, &self.data_type)
    }

    /// `column = value` for the vault.
    pub(super) fn is(&self, text: &str) -> String {
        format!("{} = {}", self.asked, self.value(text))
    }

    /// Every other row, for the vault.
    pub(super) fn is_not(&self, text: &str) -> String {
        format!("{0} <> {1} OR {0} IS NULL", self.asked, self.value(text))
    }

    /// `column = value` over the own rows.
    pub(super) fn own_is(&self, text: &str) -> String {
        format!("CAST({} AS VARCHAR) = {}", self.own, crate::command::policy::rows::text_literal(text))
    }
}

/// The end of an attack that was answered nowhere.
pub(super) fn unanswered(refused: Option<(String, String)>) -> Finding {
    match refused {
        Some(refused) => Finding { verdict: Verdict::Refused, refused: Some(refused), learned: "nothing".to_owned() },
        None => Finding::new(Verdict::Suppressed, "nothing"),
    }
}

/// A released label as text, as the own rows tell it.
pub(super) fn label(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}
