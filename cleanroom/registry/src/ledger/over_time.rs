//! How a table's budget was spent, day by day.

use std::collections::BTreeSet;

use cleanroom_budget::Loss;
use cleanroom_policy::{RoomName, TableName};
use time::{Date, OffsetDateTime};

use crate::error::Result;
use crate::ledger::charge::ledger_time;
use crate::ledger::period::{Period, day_of, start_of};
use crate::ledger::shares::Share;
use crate::ledger::spent::spent_of_table;
use crate::ledger::view::{pace, times};
use crate::registry::Registry;

/// Days that are looked ahead, at least and at most.
const LEAST_AHEAD: i64 = 14;
const MOST_AHEAD: i64 = 366;

/// What was spent of a table in the period that lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct PeriodSpending {
    /// Today (UTC) by the ledger's time, which is never before the last charge.
    pub today: Date,
    /// The epsilon that may be spent in the period.
    pub limit: f64,
    /// The delta under which epsilon holds.
    pub delta: f64,
    /// When the next period starts; `None` where none does.
    pub period_ends: Option<OffsetDateTime>,
    /// Days on which the table was charged, oldest first.
    pub days: Vec<DaySpend>,
    /// Where the pace of the last seven days leads: days after today, each with the epsilon that is spent by its end. It goes
    /// to the end of the period, to the day on which the limit is passed, or for about as long as there was spending; empty
    /// where nothing was spent of late.
    pub ahead: Vec<(Date, f64)>,
}

/// What was spent of a table on a day and before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DaySpend {
    /// The day, in UTC.
    pub day: Date,
    /// Epsilon of all questions of this day together.
    pub spent: f64,
    /// Epsilon of all questions of the period until the end of this day. Losses under noise add up to less than the sum of
    /// their epsilons.
    pub so_far: f64,
    /// Questions charged on this day.
    pub questions: u64,
}

impl Registry {
    /// What was spent of a table in the period that lasts, by day, in all rooms; `None` where its policy has no budget. For
    /// the table's owner and the operator alone: it says what analysts did.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn spending(&self, room: &RoomName, table: &TableName) -> Result<Option<PeriodSpending>> {
        let Some(record) = self.policy(room, table).await? else { return Ok(None) };
        let Some(share) = Share::of(&record.policy) else { return Ok(None) };
        let allowance = share.period();
        let mut connection = self.inner.pool.begin().await?;
        let today = day_of(ledger_time(&mut connection, room, self.now()).await?);
        let spent = spent_of_table(&mut connection, table).await?;
        let period = Period::of(share.budget.refresh, today)?;
        let days: BTreeSet<i64> = spent.0.iter().map(|day| day.day).filter(|day| period.holds(*day)).collect();
        let days = days
            .into_iter()
            .map(|day| {
                let of_day = spent.sum(|one| one.day == day);
                let so_far: Loss = spent.sum(|one| one.day <= day && period.holds(one.day));
                Ok(DaySpend {
                    day: start_of(day)?.date(),
                    spent: allowance.epsilon_spent(of_day),
                    so_far: allowance.epsilon_spent(so_far),
                    questions: spent.charges(|one| one.day == day),
                })
            })
            .collect::<Result<_>>()?;
        let before = spent.sum(|day| period.holds(day.day));
        let first = spent.0.iter().map(|day| day.day).filter(|day| period.holds(*day)).min().unwrap_or(today);
        let reach = (today - first).clamp(LEAST_AHEAD, MOST_AHEAD);
        let mut ahead = Vec::new();
        if let Some((pace, of_days)) = pace(&spent, today) {
            for day in 1..=reach {
                let level = allowance.epsilon_spent(before + times(pace, day.unsigned_abs(), of_days));
                // A period that has ended takes nothing with it into the next.
                if !period.holds_until(today + day) {
                    break;
                }
                ahead.push((start_of(today + day)?.date(), level));
                if level > allowance.epsilon() {
                    break;
                }
            }
        }
        Ok(Some(PeriodSpending {
            today: start_of(today)?.date(),
            limit: allowance.epsilon(),
            delta: allowance.delta(),
            period_ends: period.end()?,
            days,
            ahead,
        }))
    }
}
