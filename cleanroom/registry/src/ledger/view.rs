//! What is left, for whom it concerns.

use std::collections::BTreeSet;

use cleanroom_budget::{Allowance, Delta, Loss, PureEpsilon, Rho};
use cleanroom_policy::{Ability, PartnerName, Policy, Refresh, RoomName, SpaceName, TableName};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{RegistryError, Result};
use crate::ledger::charge::{Standing, ledger_time};
use crate::ledger::period::{day_of, start_of};
use crate::ledger::price::Limit;
use crate::ledger::shares::Share;
use crate::ledger::spent::{Spent, spent_of_table};
use crate::registry::Registry;

/// The pace is that of so many days, today among them.
const PACE_DAYS: i64 = 7;
/// Nothing further away than this is foretold.
const FORESIGHT_DAYS: u64 = 3650;

/// What may be spent of a table, what was, and what is left.
#[derive(Debug, Clone, PartialEq)]
pub struct TableBudget {
    /// The table.
    pub table: TableName,
    /// The identity space of its units.
    pub space: SpaceName,
    /// When a period starts anew.
    pub refresh: Refresh,
    /// When the next one starts; `None` where none does.
    pub period_ends: Option<OffsetDateTime>,
    /// Of the period, in every room.
    pub period: Amounts,
    /// Over all periods, in every room; `None` where there is one period only.
    pub lifetime: Option<Amounts>,
    /// Of the owner's account, all its tables together; for the owner and the operator alone.
    pub account: Option<Amounts>,
    /// Most epsilon that one analyst may spend in a period.
    pub per_analyst: Option<f64>,
    /// The epsilon that is left for whoever looks: the least of all that counts.
    pub remaining: f64,
    /// Questions that were ever charged; for the owner and the operator alone.
    pub questions: Option<u64>,
    /// Who spent in this period: everybody for the owner and the operator, else whoever looks.
    pub analysts: Vec<AnalystSpend>,
    /// The midnight (UTC) by which the table admits nothing more, should every day cost what the last seven days did; `None` where nothing was
    /// spent in them, or not within ten years. A period that starts anew is taken into account.
    pub runs_out: Option<OffsetDateTime>,
}

/// One budget in epsilon, each under its delta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amounts {
    /// What may be spent.
    pub epsilon: f64,
    /// The chance under which epsilon holds.
    pub delta: f64,
    /// What was spent.
    pub spent: f64,
    /// What is left.
    pub remaining: f64,
}

/// What an analyst spent of a table in a period.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalystSpend {
    /// The analyst.
    pub analyst: String,
    /// Epsilon that it spent, under the period's delta. What analysts spent adds up to more than what they spent together.
    pub spent: f64,
    /// What is left of its share; `None` where the policy gives analysts none.
    pub remaining: Option<f64>,
    /// Questions it was charged for.
    pub questions: u64,
}

/// Who looks at a table's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View<'a> {
    /// The owner and the operator see what everybody spent.
    All,
    /// An analyst sees what it spent itself.
    Own(&'a PartnerName),
    /// An auditor sees what was spent together: the log says no less.
    Together,
}

impl Registry {
    /// The budgets of the room's tables that have noise, in the order of the room. The operator (`None`) and an owner see who
    /// spent what; an analyst what it spent itself and what is left for it; an auditor what was spent together; others
    /// nothing.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; where the database fails.
    pub async fn budgets(&self, room: &RoomName, viewer: Option<&PartnerName>) -> Result<Vec<TableBudget>> {
        let document = self.room(room).await?.ok_or_else(|| RegistryError::NoSuchRoom(room.clone()))?;
        let audits = viewer
            .and_then(|viewer| document.partner(viewer))
            .is_some_and(|partner| partner.abilities.contains(&Ability::Audit));
        let mut budgets = Vec::new();
        for table in document.partners.iter().flat_map(|partner| &partner.tables) {
            let Some(record) = self.policy(room, &table.name).await? else { continue };
            let Some(share) = Share::of(&record.policy) else { continue };
            let Some(view) = view(&record.policy, viewer, audits) else { continue };
            budgets.push(self.budget(room, &table.name, &share, view).await?);
        }
        Ok(budgets)
    }

    async fn budget(&self, room: &RoomName, table: &TableName, share: &Share, view: View<'_>) -> Result<TableBudget> {
        let mut connection = self.inner.pool.begin().await?;
        let at = ledger_time(&mut connection, room, self.now()).await?;
        let spent = spent_of_table(&mut connection, table).await?;
        let viewer = match view {
            View::Own(analyst) => Some(analyst),
            View::All | View::Together => None,
        };
        let standing = self.standing(&mut connection, table, share, &spent, viewer, at).await?;
        let amounts = |limit| standing.of(limit).map(|(allowance, spent)| Amounts::of(allowance, spent));
        let period = amounts(Limit::Period).ok_or_else(|| RegistryError::damaged("a budget", "it has no period"))?;
        Ok(TableBudget {
            table: table.clone(),
            space: share.space.clone(),
            refresh: share.budget.refresh,
            period_ends: standing.period.end()?,
            period,
            lifetime: amounts(Limit::Lifetime),
            account: amounts(Limit::Account).filter(|_| view == View::All),
            per_analyst: share.budget.per_analyst,
            remaining: standing.left_after(Loss::NONE),
            questions: (view == View::All).then(|| spent.charges(|_| true)),
            analysts: by_analyst(share, &spent, &standing, view),
            runs_out: runs_out(&spent, &standing, at)?,
        })
    }
}

fn view<'a>(policy: &Policy, viewer: Option<&'a PartnerName>, audits: bool) -> Option<View<'a>> {
    match viewer {
        None => Some(View::All),
        Some(viewer) if viewer == policy.table.owner() => Some(View::All),
        Some(viewer) if policy.access.analysts.contains(viewer) => Some(View::Own(viewer)),
        Some(_) => audits.then_some(View::Together),
    }
}

fn by_analyst(share: &Share, spent: &Spent, standing: &Standing, view: View<'_>) -> Vec<AnalystSpend> {
    let of = |analyst: &str| {
        let own = |day: &crate::ledger::spent::Day| day.analyst == analyst && standing.period.holds(day.day);
        let loss = spent.sum(own);
        AnalystSpend {
            analyst: analyst.to_owned(),
            spent: share.period().epsilon_spent(loss),
            remaining: share.analyst().map(|cap| cap.epsilon_left(loss)),
            questions: spent.charges(own),
        }
    };
    match view {
        View::Together => Vec::new(),
        View::Own(analyst) => vec![of(analyst.as_str())],
        View::All => {
            let days = spent.0.iter().filter(|day| standing.period.holds(day.day));
            let analysts: BTreeSet<&str> = days.map(|day| day.analyst.as_str()).collect();
            analysts.into_iter().map(of).collect()
        }
    }
}

/// The first day on which some budget of the table does not admit what the pace has cost by then.
fn runs_out(spent: &Spent, standing: &Standing, at: i64) -> Result<Option<OffsetDateTime>> {
    let today = day_of(at);
    let Some((pace, days)) = pace(spent, today) else { return Ok(None) };
    for ahead in 1..=FORESIGHT_DAYS {
        let cost = times(pace, ahead, days);
        let still = standing.period.holds_until(today.saturating_add_unsigned(ahead));
        let over = standing.limits.iter().any(|(limit, allowance, spent)| {
            let counts = match limit {
                Limit::Period => still,
                Limit::Lifetime | Limit::Account => true,
                Limit::Analyst => false,
            };
            counts && !allowance.admits(*spent, cost)
        });
        if over {
            return start_of(today.saturating_add_unsigned(ahead)).map(Some);
        }
    }
    Ok(None)
}

/// What was spent in the last days, and how many days that is; `None` where nothing was.
pub(super) fn pace(spent: &Spent, today: i64) -> Option<(Loss, u64)> {
    let recent: Vec<_> = spent.0.iter().filter(|day| day.day > today - PACE_DAYS).collect();
    let first = spent.0.iter().map(|day| day.day).min().filter(|_| !recent.is_empty())?;
    let days = (today - first + 1).clamp(1, PACE_DAYS).unsigned_abs();
    Some((recent.iter().map(|day| day.loss).sum(), days))
}

/// A loss so many times, over so many.
pub(super) fn times(loss: Loss, times: u64, over: u64) -> Loss {
    let scaled = |units: u64| {
        let scaled = (u128::from(units) * u128::from(times)).div_ceil(u128::from(over.max(1)));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    Loss {
        rho: Rho::of_units(scaled(loss.rho.units())),
        epsilon: loss.epsilon.map(|epsilon| PureEpsilon::of_units(scaled(epsilon.units()))),
        delta: Delta::of_units(scaled(loss.delta.units())),
    }
}

impl Amounts {
    fn of(allowance: Allowance, spent: Loss) -> Self {
        Self {
            epsilon: allowance.epsilon(),
            delta: allowance.delta(),
            spent: allowance.epsilon_spent(spent),
            remaining: allowance.epsilon_left(spent),
        }
    }

    fn json(&self) -> Value {
        json!({
            "epsilon": self.epsilon,
            "delta": self.delta,
            "spent_epsilon": self.spent,
            "remaining_epsilon": self.remaining,
        })
    }
}

impl TableBudget {
    /// As the doors give it. An epsilon that is without limit is null.
    pub fn json(&self) -> Value {
        let time = |time: Option<OffsetDateTime>| time.and_then(|time| time.format(&Rfc3339).ok());
        let analysts: Vec<Value> = self
            .analysts
            .iter()
            .map(|one| {
                json!({
                    "analyst": one.analyst,
                    "spent_epsilon": one.spent,
                    "remaining_epsilon": one.remaining,
                    "questions": one.questions,
                })
            })
            .collect();
        json!({
            "table": self.table.to_string(),
            "owner": self.table.owner().as_str(),
            "space": self.space.as_str(),
            "refresh": self.refresh.to_string(),
            "period_ends": time(self.period_ends),
            "epsilon": self.period.epsilon,
            "delta": self.period.delta,
            "spent_epsilon": self.period.spent,
            "remaining_epsilon": self.remaining,
            "lifetime": self.lifetime.map(|lifetime| lifetime.json()),
            "account": self.account.map(|account| account.json()),
            "per_analyst": self.per_analyst,
            "analysts": analysts,
            "questions": self.questions,
            "runs_out": time(self.runs_out),
        })
    }
}
