//! Whether a question is admitted, and charging it.

use std::sync::Arc;

use cleanroom_budget::{Allowance, Loss};
use cleanroom_policy::{PartnerName, RoomName, SpaceName, TableName};
use sqlx::SqliteConnection;

use crate::error::{RegistryError, Result};
use crate::ledger::period::{Period, day_of};
use crate::ledger::price::{Limit, Price, Remaining, ReplayKey};
use crate::ledger::shares::Share;
use crate::ledger::spent::{Spent, add, spent_of_account, spent_of_table};
use crate::numbers::stored;
use crate::query_id::QueryId;
use crate::registry::Registry;

/// A table that is charged, and what its active policy lets be spent.
pub(crate) struct Charged {
    pub(crate) table: TableName,
    pub(crate) policy: String,
    pub(crate) share: Arc<Share>,
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

    /// The tables that are charged, with their shares: each once, with units and noise, by a policy that decided the question.
    pub(crate) async fn charged(
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
    pub(crate) async fn nothing_uncharged(
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
    pub(crate) async fn admitted(
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

/// Writes the charges of a question: to each table, and to each owner's account of the space once.
pub(crate) async fn write_charges(
    connection: &mut SqliteConnection,
    asked: (&RoomName, &QueryId, &PartnerName),
    charged: &[Charged],
    loss: Loss,
    at: i64,
) -> Result<()> {
    let mut accounts: Vec<(&PartnerName, &SpaceName)> = Vec::new();
    for Charged { table, policy, share } in charged {
        let account = (table.owner(), &share.space);
        write_charge(connection, asked, account, &table.to_string(), policy, loss, at).await?;
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    for account in accounts {
        write_charge(connection, asked, account, "", "", loss, at).await?;
    }
    Ok(())
}

async fn write_charge(
    connection: &mut SqliteConnection,
    (room, query_id, analyst): (&RoomName, &QueryId, &PartnerName),
    (owner, space): (&PartnerName, &SpaceName),
    table: &str,
    policy: &str,
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
    .bind(room.as_str())
    .bind(query_id.as_str())
    .bind(analyst.as_str())
    .bind(at)
    .bind(stored(loss.rho.units())?)
    .bind(stored(loss.delta.units())?)
    .bind(loss.epsilon.map(|epsilon| stored(epsilon.units())).transpose()?)
    .bind(policy)
    .execute(&mut *connection)
    .await?;
    add(connection, (owner, table, space, analyst), day_of(at), loss).await
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

/// The question by which an analyst paid for a release.
pub(crate) async fn paid_by(
    connection: &mut SqliteConnection,
    room: &RoomName,
    key: &ReplayKey,
    analyst: &PartnerName,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT query_id FROM paid_releases WHERE room = $1 AND key = $2 AND analyst = $3")
        .bind(room.as_str())
        .bind(key.as_str())
        .bind(analyst.as_str())
        .fetch_optional(connection)
        .await?)
}
