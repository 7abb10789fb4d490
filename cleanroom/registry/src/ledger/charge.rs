//! Whether a question is admitted, and charging it.

use std::sync::Arc;

use cleanroom_budget::{Allowance, Loss};
use cleanroom_log::Charge;
use cleanroom_policy::{PartnerName, RoomName, SpaceName, TableName};
use sqlx::SqliteConnection;

use crate::error::{RegistryError, Result};
use crate::ledger::period::{Period, day_of};
use crate::ledger::price::{Limit, Price, Remaining};
use crate::ledger::replays::paid_by;
use crate::ledger::shares::Share;
use crate::ledger::spent::{Spent, add, spent_of_account, spent_of_table};
use crate::numbers::stored;
use crate::outcome::Attempt;
use crate::registry::Registry;
use crate::write::Write;

/// A table that is charged, and what its active policy lets be spent.
struct Charged {
    table: TableName,
    policy: String,
    share: Arc<Share>,
}

/// The budgets of one table that count for one analyst or for everybody, with what was spent of each.
pub(crate) struct Standing {
    pub(crate) limits: Vec<(Limit, Allowance, Loss)>,
    pub(crate) period: Period,
}

impl Standing {
    /// The first budget that does not admit a loss.
    fn refuses(&self, loss: Loss) -> Option<Limit> {
        self.limits.iter().find(|(_, allowance, spent)| !allowance.admits(*spent, loss)).map(|(limit, _, _)| *limit)
    }

    /// One budget, and what was spent of it.
    pub(crate) fn of(&self, limit: Limit) -> Option<(Allowance, Loss)> {
        self.limits.iter().find(|(one, _, _)| *one == limit).map(|(_, allowance, spent)| (*allowance, *spent))
    }

    /// The least epsilon that is left in any after another loss.
    pub(crate) fn left_after(&self, loss: Loss) -> f64 {
        let left = self.limits.iter().map(|(_, allowance, spent)| allowance.epsilon_left(*spent + loss));
        left.fold(f64::INFINITY, f64::min)
    }
}

impl Registry {
    /// What a question would leave of the budgets it is charged to, had it been asked; nothing is charged.
    ///
    /// # Errors
    /// [`RegistryError::Exhausted`], where it would not be admitted; [`RegistryError::NotCharged`],
    /// [`RegistryError::NotPaid`]; where the database fails.
    pub async fn price(&self, room: &RoomName, analyst: &PartnerName, price: &Price) -> Result<Vec<Remaining>> {
        // One view of the database for all that is read; nothing is written in it.
        let mut view = self.inner.pool.begin().await?;
        match price {
            Price::Nothing => Ok(Vec::new()),
            Price::Replay(key) => {
                paid_by(&mut view, room, key, analyst).await?.map(|_| Vec::new()).ok_or(RegistryError::NotPaid)
            }
            Price::Charge { loss, tables } => {
                let mut policies = Vec::new();
                for table in tables {
                    policies.extend(
                        Self::active_digest(&mut view, room, table).await?.map(|digest| (table.clone(), digest)),
                    );
                }
                let charged = self.charged(&mut view, tables, &policies).await?;
                let at = ledger_time(&mut view, room, self.now()).await?;
                self.admitted(&mut view, analyst, &charged, *loss, at).await
            }
        }
    }

    /// Decides, in the transaction of an intent, whether its price is one of this question and its budgets admit it.
    pub(crate) async fn admit(
        &self,
        write: &mut Write<'_>,
        (room, analyst): (&RoomName, &PartnerName),
        policies: &[(TableName, String)],
        price: &Price,
    ) -> Result<Admitted> {
        let mut admitted = Admitted { charged: Vec::new(), loss: Loss::NONE, remaining: Vec::new() };
        match price {
            // Whether it was paid for is asked where the rest of the intent is known.
            Price::Replay(_) => {}
            Price::Nothing => self.nothing_uncharged(write.connection(), analyst, policies, &[]).await?,
            Price::Charge { loss, tables } => {
                let charged = self.charged(write.connection(), tables, policies).await?;
                self.nothing_uncharged(write.connection(), analyst, policies, &charged).await?;
                let clock = write.now();
                let at = ledger_time(write.connection(), room, clock).await?;
                write.happens_at(at);
                let remaining = self.admitted(write.connection(), analyst, &charged, *loss, at).await?;
                admitted = Admitted { charged, loss: *loss, remaining };
            }
        }
        Ok(admitted)
    }

    /// The tables that are charged, with their shares: each once, with units and noise, by a policy that decided the question.
    async fn charged(
        &self,
        connection: &mut SqliteConnection,
        tables: &[TableName],
        policies: &[(TableName, String)],
    ) -> Result<Vec<Charged>> {
        let mut charged: Vec<Charged> = Vec::new();
        for table in tables {
            let not_charged = || RegistryError::NotCharged { table: table.clone() };
            let (_, digest) = policies.iter().find(|(name, _)| name == table).ok_or_else(not_charged)?;
            let share = self.share(connection, digest).await?.ok_or_else(not_charged)?;
            if charged.iter().any(|before| before.table == *table) {
                return Err(not_charged());
            }
            charged.push(Charged { table: table.clone(), policy: digest.clone(), share });
        }
        if charged.is_empty() { Err(RegistryError::NoCharge) } else { Ok(charged) }
    }

    /// A question over a table with noise is charged or was paid for. Whoever asks of a table of its own learns nothing of
    /// others from it.
    async fn nothing_uncharged(
        &self,
        connection: &mut SqliteConnection,
        analyst: &PartnerName,
        policies: &[(TableName, String)],
        charged: &[Charged],
    ) -> Result<()> {
        for (table, digest) in policies {
            let has_noise = self.share(connection, digest).await?.is_some();
            if has_noise && table.owner() != analyst && !charged.iter().any(|one| one.table == *table) {
                return Err(RegistryError::Uncharged { table: table.clone() });
            }
        }
        Ok(())
    }

    /// What is left after a loss, or the first budget that does not admit it.
    async fn admitted(
        &self,
        connection: &mut SqliteConnection,
        analyst: &PartnerName,
        charged: &[Charged],
        loss: Loss,
        at: i64,
    ) -> Result<Vec<Remaining>> {
        let mut remaining = Vec::new();
        for Charged { table, share, .. } in charged {
            let spent = spent_of_table(connection, table).await?;
            let standing = self.standing(connection, table, share, &spent, Some(analyst), at).await?;
            if let Some(which) = standing.refuses(loss) {
                return Err(RegistryError::Exhausted { table: table.clone(), owner: table.owner().clone(), which });
            }
            remaining.push(Remaining { table: table.clone(), epsilon: standing.left_after(loss) });
        }
        Ok(remaining)
    }

    /// The budgets of a table that count for one analyst, or for everybody, each with what was spent of it.
    pub(crate) async fn standing(
        &self,
        connection: &mut SqliteConnection,
        table: &TableName,
        share: &Share,
        spent: &Spent,
        analyst: Option<&PartnerName>,
        at: i64,
    ) -> Result<Standing> {
        let period = Period::of(share.budget.refresh, day_of(at))?;
        let mut limits = vec![(Limit::Period, share.period(), spent.sum(|day| period.holds(day.day)))];
        if share.budget.lifetime.is_some() {
            limits.push((Limit::Lifetime, share.lifetime(), spent.sum(|_| true)));
        }
        let account = self.account(connection, table.owner(), &share.space).await?;
        limits.push((Limit::Account, account, spent_of_account(connection, table.owner(), &share.space).await?));
        if let Some((cap, analyst)) = share.analyst().zip(analyst) {
            let own = spent.sum(|day| day.analyst == analyst.as_str() && period.holds(day.day));
            limits.push((Limit::Analyst, cap, own));
        }
        Ok(Standing { limits, period })
    }
}

/// What a question is charged that was admitted.
pub(crate) struct Admitted {
    charged: Vec<Charged>,
    loss: Loss,
    /// What is left of the tables that are charged.
    pub(crate) remaining: Vec<Remaining>,
}

impl Admitted {
    /// As the log says it.
    pub(crate) fn logged(&self) -> Vec<Charge> {
        let charge = |one: &Charged| Charge {
            table: one.table.to_string(),
            space: one.share.space.to_string(),
            rho: self.loss.rho.units().to_string(),
            delta: self.loss.delta.units().to_string(),
            epsilon: self.loss.epsilon.map(|epsilon| epsilon.units().to_string()),
        };
        self.charged.iter().map(charge).collect()
    }

    /// Writes the charges of a question: to each table, and to each owner's account of the space once.
    pub(crate) async fn write(&self, write: &mut Write<'_>, asked: &Attempt) -> Result<()> {
        let at = write.now();
        let mut accounts: Vec<(&PartnerName, &SpaceName)> = Vec::new();
        for Charged { table, policy, share } in &self.charged {
            let account = (table.owner(), &share.space);
            write_charge(write.connection(), asked, account, (&table.to_string(), policy), self.loss, at).await?;
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        for account in accounts {
            write_charge(write.connection(), asked, account, ("", ""), self.loss, at).await?;
        }
        Ok(())
    }
}

async fn write_charge(
    connection: &mut SqliteConnection,
    asked: &Attempt,
    (owner, space): (&PartnerName, &SpaceName),
    (table, policy): (&str, &str),
    loss: Loss,
    at: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO charges (owner, space, table_name, room, query_id, analyst, at, rho, delta, epsilon, policy) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(owner.as_str())
    .bind(space.as_str())
    .bind(table)
    .bind(asked.room.as_str())
    .bind(asked.query_id.as_str())
    .bind(asked.analyst.as_str())
    .bind(at)
    .bind(stored(loss.rho.units())?)
    .bind(stored(loss.delta.units())?)
    .bind(loss.epsilon.map(|epsilon| stored(epsilon.units())).transpose()?)
    .bind(policy)
    .execute(&mut *connection)
    .await?;
    add(connection, (owner, table, space, &asked.analyst), day_of(at), loss).await
}

/// The time by which budgets are held: that of the clock, but never before the last charge or the last entry of the room's
/// log. A clock that is set back stands still here, and so opens no period twice.
pub(crate) async fn ledger_time(connection: &mut SqliteConnection, room: &RoomName, clock: i64) -> Result<i64> {
    let charged: Option<i64> = sqlx::query_scalar("SELECT at FROM charges ORDER BY number DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    let logged: Option<i64> =
        sqlx::query_scalar("SELECT at FROM log_entries WHERE room = $1 ORDER BY sequence DESC LIMIT 1")
            .bind(room.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(clock.max(charged.unwrap_or(clock)).max(logged.unwrap_or(clock)))
}
