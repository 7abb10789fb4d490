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
use crate::registry::Registry;

/// What was spent of a table in the period that lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
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
    pub async fn spending(&self, room: &RoomName, table: &TableName) -> Result<Option<Spending>> {
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
        Ok(Some(Spending {
            today: start_of(today)?.date(),
            limit: allowance.epsilon(),
            delta: allowance.delta(),
            period_ends: period.end()?,
            days,
        }))
    }
}
