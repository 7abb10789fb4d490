//! Attacks by a table of the attacker's own.

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::field::{Field, label, unanswered};
use super::{Attack, Finding, Verdict};
use crate::command::policy::trial::cell;
use crate::fault::Result;

const FEW: &str = "the table has fewer units than the floor";

pub(super) fn all() -> Vec<Box<dyn Attack>> {
    vec![Box::new(ChosenAudience), Box::new(WeightedJoin)]
}

/// As many known people as the floor, with and without the one in question: whether the group shows tells of that one.
struct ChosenAudience;

/// A list in which person k stands 2^k times: the binary digits of a count are the members.
struct WeightedJoin;

impl Attack for ChosenAudience {
    fn name(&self) -> &'static str {
        "chosen-audience"
    }

    fn idea(&self) -> &'static str {
        "join with one person in question and just so many known ones, and see whether the group shows"
    }

    fn stopped_by(&self) -> &'static str {
        "release.audience; joins.with; noise"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let (Some(audience), Some(probe)) = (&field.audience, field.probe()) else {
                return Ok(Finding::none(FEW));
            };
            let sql = format!(
                "SELECT a.\"list\" AS g, {} AS p FROM {} WHERE a.\"list\" IN ('with', 'without') GROUP BY a.\"list\"",
                probe.asked,
                field.joined(audience)
            );
            let told = field.ask(&sql).await?;
            if !told.released() {
                return Ok(unanswered(Some(field.refusal(&told))));
            }
            let shown = |list: &str| told.rows().iter().any(|row| label(row.first()).as_deref() == Some(list));
            Ok(match (shown("with"), shown("without")) {
                (true, false) => Finding::new(
                    Verdict::Leaks,
                    "the list with the person is answered and the one without is not: the person is in the table",
                ),
                (false, false) => unanswered(None),
                (_, true) => Finding::new(Verdict::Held, "the list without the person is answered as well"),
            })
        }
        .boxed_local()
    }
}

impl Attack for WeightedJoin {
    fn name(&self) -> &'static str {
        "weighted-join"
    }

    fn idea(&self) -> &'static str {
        "list person k 2^k times, and read the members from the digits of a count"
    }

    fn stopped_by(&self) -> &'static str {
        "joins.analyst_tables: distinct; noise"
    }

    fn run<'f>(&'f self, field: &'f Field<'f>) -> LocalBoxFuture<'f, Result<Finding>> {
        async move {
            let Some(audience) = &field.audience else {
                return Ok(Finding::none(FEW));
            };
            let sql = format!("SELECT COUNT(*) AS n FROM {} WHERE a.\"list\" = 'weighted'", field.joined(audience));
            let told = field.ask(&sql).await?;
            if !told.released() {
                return Ok(unanswered(Some(field.refusal(&told))));
            }
            let Some(count) = told.rows().first().and_then(|row| cell(row, 0)) else {
                return Ok(unanswered(None));
            };
            Ok(if (count - audience.weighted_rows).abs() < 0.5 && audience.weighted_rows > audience.plain_rows {
                Finding::new(
                    Verdict::Leaks,
                    "one count says for each of many listed people whether they are in the table",
                )
            } else {
                Finding::new(Verdict::Held, "the count takes each listed person once")
            })
        }
        .boxed_local()
    }
}
