//! Attacks of one statement that no policy lets through.

use cleanroom_policy::Use;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::field::{Field, unanswered};
use super::{Attack, Finding, Verdict};
use crate::command::policy::rows::quoted;
use crate::fault::Result;

/// A statement whose answer is a leak whatever it holds.
struct Statement {
    name: &'static str,
    idea: &'static str,
    learned: &'static str,
    /// `None` where the policy has no column to try it on.
    sql: fn(&Field<'_>) -> Option<String>,
}

pub(super) fn all() -> Vec<Box<dyn Attack>> {
    vec![
        Box::new(Statement {
            name: "raw-rows",
            idea: "select rows instead of aggregates",
            learned: "rows",
            sql: |field| {
                let columns: Vec<String> =
                    field.columns(Use::Dimension).into_iter().map(|column| column.asked).collect();
                let columns = if columns.is_empty() { field.unit() } else { columns.join(", ") };
                Some(format!("SELECT {columns} FROM {}{}", field.from(), field.condition(None)))
            },
        }),
        Box::new(Statement {
            name: "group-by-key",
            idea: "one group for each unit",
            learned: "every unit's rows",
            sql: |field| {
                let unit = field.unit();
                Some(format!(
                    "SELECT {unit}, COUNT(*) AS n FROM {}{} GROUP BY {unit}",
                    field.from(),
                    field.condition(None)
                ))
            },
        }),
        Box::new(Statement {
            name: "key-literal",
            idea: "compare the key with a known identity",
            learned: "one person's figures",
            sql: |field| {
                let condition = format!("{} = 'x'", field.unit());
                Some(format!("SELECT COUNT(*) AS n FROM {}{}", field.from(), field.condition(Some(&condition))))
            },
        }),
        Box::new(Statement {
            name: "extremes",
            idea: "MIN and MAX are somebody's value",
            learned: "the values of single rows",
            sql: |field| {
                let column = field.columns(Use::Measure).into_iter().chain(field.columns(Use::Dimension)).next()?;
                let asked = column.asked;
                Some(format!(
                    "SELECT MIN({asked}) AS a, MAX({asked}) AS b FROM {}{}",
                    field.from(),
                    field.condition(None)
                ))
            },
        }),
        Box::new(Statement {
            name: "hidden-column",
            idea: "name a column that the policy does not list",
            learned: "a column that was to stay hidden",
            sql: |field| {
                let columns = field.own.columns();
                let hidden = |name: &str| !field.policy.columns.keys().any(|known| known.as_str() == name);
                let (name, _type) = columns.into_iter().find(|(name, _type)| hidden(name))?;
                let asked = format!("t.{}", quoted(name));
                let (from, condition) = (field.from(), field.condition(None));
                Some(format!(
                    "SELECT {asked}, COUNT(DISTINCT {}) AS n FROM {from}{condition} GROUP BY {asked}",
                    field.unit()
                ))
            },
        }),
        Box::new(Statement {
            name: "own-measure",
            idea: "sum amounts of the attacker's own choice over matched people",
            learned: "from one sum, which of many known people are in the table",
            sql: |field| {
                let audience = field.audience.as_ref()?;
                Some(format!(
                    "SELECT SUM(a.\"weight\") AS s FROM {} WHERE a.\"list\" = 'weighted'",
                    field.joined(audience)
                ))
            },
        }),
    ]
}

impl Attack for Statement {
    fn name(&self) -> &'static str {
        self.name
    }

    fn idea(&self) -> &'static str {
        self.idea
    }

    fn stopped_by(&self) -> &'static str {
        if self.name == "own-measure" { "joins.analyst_tables: distinct; noise" } else { "every policy" }
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let Some(sql) = (self.sql)(field) else {
                return Ok(Finding::none("the policy has no column for it"));
            };
            let told = field.ask(&sql).await?;
            Ok(match (told.released(), told.rows().is_empty()) {
                (false, _) => unanswered(Some(field.refusal(&told))),
                (true, true) => unanswered(None),
                (true, false) => Finding::new(Verdict::Leaks, self.learned),
            })
        }
        .boxed_local()
    }
}
