//! What was spent: sums of charges, kept by day.

use std::collections::BTreeMap;

use cleanroom_budget::{Delta, Loss, PureEpsilon, Rho};
use cleanroom_policy::{PartnerName, SpaceName, TableName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::error::{RegistryError, Result};
use crate::ledger::period::day_of;
use crate::numbers::{stored, unsigned};
use crate::registry::Registry;

/// What one analyst spent of a table on one day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Day {
    pub(crate) analyst: String,
    pub(crate) day: i64,
    pub(crate) loss: Loss,
    pub(crate) charges: u64,
}

/// What was spent of a table, in every room and under every identity space that its policies ever named: what a table has
/// lost stays lost when its policy takes another name for its units.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Spent(pub(crate) Vec<Day>);

impl Spent {
    pub(crate) fn sum(&self, counts: impl Fn(&Day) -> bool) -> Loss {
        self.0.iter().filter(|day| counts(day)).map(|day| day.loss).sum()
    }

    pub(crate) fn charges(&self, counts: impl Fn(&Day) -> bool) -> u64 {
        self.0.iter().filter(|day| counts(day)).map(|day| day.charges).sum()
    }
}

/// All days on which a table was charged.
pub(crate) async fn spent_of_table(connection: &mut SqliteConnection, table: &TableName) -> Result<Spent> {
    let rows = sqlx::query(
        "SELECT analyst, day, rho, delta, epsilon, charges FROM spent_days WHERE owner = $1 AND table_name = $2 \
         ORDER BY day, analyst, space",
    )
    .bind(table.owner().as_str())
    .bind(table.to_string())
    .fetch_all(connection)
    .await?;
    let day = |row: &SqliteRow| {
        Ok(Day {
            analyst: row.try_get("analyst")?,
            day: row.try_get("day")?,
            loss: read_loss(row)?,
            charges: unsigned(row.try_get("charges")?)?,
        })
    };
    Ok(Spent(rows.iter().map(day).collect::<Result<_>>()?))
}

/// All that an owner's account of an identity space was charged.
pub(crate) async fn spent_of_account(
    connection: &mut SqliteConnection,
    owner: &PartnerName,
    space: &SpaceName,
) -> Result<Loss> {
    let rows =
        sqlx::query("SELECT rho, delta, epsilon FROM spent_days WHERE owner = $1 AND table_name = '' AND space = $2")
            .bind(owner.as_str())
            .bind(space.as_str())
            .fetch_all(connection)
            .await?;
    rows.iter().map(read_loss).sum()
}

/// Adds a charge to its day. Sums are made here and not in SQL, whose numbers end where a loss says "without limit".
pub(crate) async fn add(
    connection: &mut SqliteConnection,
    (owner, table, space, analyst): (&PartnerName, &str, &SpaceName, &PartnerName),
    day: i64,
    loss: Loss,
) -> Result<()> {
    let held = sqlx::query(
        "SELECT rho, delta, epsilon, charges FROM spent_days \
         WHERE owner = $1 AND table_name = $2 AND space = $3 AND analyst = $4 AND day = $5",
    )
    .bind(owner.as_str())
    .bind(table)
    .bind(space.as_str())
    .bind(analyst.as_str())
    .bind(day)
    .fetch_optional(&mut *connection)
    .await?;
    let (before, charges) = match held {
        None => (Loss::NONE, 0),
        Some(row) => (read_loss(&row)?, unsigned(row.try_get("charges")?)?),
    };
    let after = before + loss;
    sqlx::query(
        "INSERT INTO spent_days (owner, table_name, space, analyst, day, rho, delta, epsilon, charges) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (owner, table_name, space, analyst, day) \
         DO UPDATE SET rho = excluded.rho, delta = excluded.delta, epsilon = excluded.epsilon, charges = excluded.charges",
    )
    .bind(owner.as_str())
    .bind(table)
    .bind(space.as_str())
    .bind(analyst.as_str())
    .bind(day)
    .bind(stored(after.rho.units())?)
    .bind(stored(after.delta.units())?)
    .bind(after.epsilon.map(|epsilon| stored(epsilon.units())).transpose()?)
    .bind(stored(charges + 1)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Where a sum belongs: owner, table, space, analyst, day.
type Place = (String, String, String, String, i64);

impl Registry {
    /// Compares the sums with the single charges, which are the truth.
    pub(crate) async fn sums_are_true(&self) -> Result<()> {
        // One view of both: others may be charging meanwhile.
        let mut view = self.inner.pool.begin().await?;
        let mut sums: BTreeMap<Place, (Loss, u64)> = BTreeMap::new();
        let charges = sqlx::query(
            "SELECT owner, table_name, space, analyst, at, rho, delta, epsilon FROM charges ORDER BY number",
        )
        .fetch_all(&mut *view)
        .await?;
        for row in &charges {
            let (sum, count) = sums.entry(place(row, day_of(row.try_get("at")?))?).or_insert((Loss::NONE, 0));
            (*sum, *count) = (*sum + read_loss(row)?, *count + 1);
        }
        let held =
            sqlx::query("SELECT owner, table_name, space, analyst, day, rho, delta, epsilon, charges FROM spent_days")
                .fetch_all(&mut *view)
                .await?;
        let held: BTreeMap<Place, (Loss, u64)> = held
            .iter()
            .map(|row| {
                let sum = (read_loss(row)?, unsigned(row.try_get("charges")?)?);
                Ok((place(row, row.try_get("day")?)?, sum))
            })
            .collect::<Result<_>>()?;
        if held == sums {
            Ok(())
        } else {
            Err(RegistryError::damaged("the budget ledger", "its sums are not those of its charges"))
        }
    }
}

fn place(row: &SqliteRow, day: i64) -> Result<Place> {
    Ok((row.try_get("owner")?, row.try_get("table_name")?, row.try_get("space")?, row.try_get("analyst")?, day))
}

pub(crate) fn read_loss(row: &SqliteRow) -> Result<Loss> {
    let epsilon: Option<i64> = row.try_get("epsilon")?;
    Ok(Loss {
        rho: Rho::of_units(unsigned(row.try_get("rho")?)?),
        epsilon: epsilon.map(|units| unsigned(units).map(PureEpsilon::of_units)).transpose()?,
        delta: Delta::of_units(unsigned(row.try_get("delta")?)?),
    })
}
