//! What policies let be spent.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use cleanroom_budget::Allowance;
use cleanroom_policy::{Budget, PartnerName, Policy, RoomName, SpaceName, Subject, TableName, parse_policy};
use sqlx::{Row, SqliteConnection};

use crate::error::{RegistryError, Result};
use crate::registry::Registry;
use crate::rooms::{first, read_room};

/// What one policy lets be spent of its table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub(crate) space: SpaceName,
    pub(crate) budget: Budget,
}

impl Share {
    /// `None` of a policy without units or without noise.
    pub(crate) fn of(policy: &Policy) -> Option<Self> {
        match (&policy.subject, &policy.noise) {
            (Subject::Unit { space, .. }, Some(noise)) => {
                Some(Self { space: space.clone(), budget: noise.budget.clone() })
            }
            (Subject::Unit { .. } | Subject::Public, _) => None,
        }
    }

    /// What may be spent in a period.
    pub(crate) fn period(&self) -> Allowance {
        Allowance::new(self.budget.epsilon, self.budget.delta)
    }

    /// What may be spent over all periods.
    pub(crate) fn lifetime(&self) -> Allowance {
        let (epsilon, delta) = self.over_all_periods();
        Allowance::new(epsilon, delta)
    }

    /// What one analyst may spend in a period.
    pub(crate) fn analyst(&self) -> Option<Allowance> {
        self.budget.per_analyst.map(|epsilon| Allowance::new(epsilon, self.budget.delta))
    }

    /// Delta grows with epsilon over the periods.
    fn over_all_periods(&self) -> (f64, f64) {
        match self.budget.lifetime {
            None => (self.budget.epsilon, self.budget.delta),
            Some(lifetime) => (lifetime, self.budget.delta * (lifetime / self.budget.epsilon)),
        }
    }
}

impl Registry {
    /// What a policy lets be spent, by its digest: policies are never changed, so each is read once.
    pub(crate) async fn share(&self, connection: &mut SqliteConnection, digest: &str) -> Result<Option<Arc<Share>>> {
        let known = self.inner.shares.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let row = sqlx::query("SELECT table_name, text FROM policies WHERE digest = $1 LIMIT 1")
            .bind(digest)
            .fetch_optional(connection)
            .await?
            .ok_or_else(|| RegistryError::damaged("a policy", "it is named and not there"))?;
        let (table, text): (String, String) = (row.try_get("table_name")?, row.try_get("text")?);
        let policy =
            parse_policy(&table, &text).map_err(|errors| RegistryError::damaged("a policy", first(&errors)))?;
        if policy.digest() != digest {
            return Err(RegistryError::damaged("a policy", "its text does not match its digest"));
        }
        let share = Share::of(&policy).map(Arc::new);
        let mut shares = self.inner.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.insert(digest.to_owned(), share.clone());
        Ok(share)
    }

    /// What an owner's account of an identity space admits: the sum of what its tables that have noise now, in any room, may
    /// lose over all periods. A table counts once, with the least of what its policies say; one that no room declares any
    /// more does not count, while what was spent of it does.
    pub(crate) async fn account(
        &self,
        connection: &mut SqliteConnection,
        owner: &PartnerName,
        space: &SpaceName,
    ) -> Result<Allowance> {
        // Of all names, those that begin with `owner.`: a slash follows the dot.
        let active = sqlx::query(
            "SELECT p.room, p.table_name, p.digest, r.document FROM policies p JOIN rooms r ON r.room = p.room \
             WHERE p.table_name > $1 || '.' AND p.table_name < $1 || '/' AND p.version = \
             (SELECT MAX(n.version) FROM policies n WHERE n.room = p.room AND n.table_name = p.table_name) \
             ORDER BY p.room, p.table_name",
        )
        .bind(owner.as_str())
        .fetch_all(&mut *connection)
        .await?;
        let mut least: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for row in active {
            let (table, digest): (String, String) = (row.try_get("table_name")?, row.try_get("digest")?);
            let Some(share) = self.share(connection, &digest).await?.filter(|share| share.space == *space) else {
                continue;
            };
            let name = TableName::parse(&table).map_err(|error| RegistryError::damaged("a table's name", error))?;
            let document: String = row.try_get("document")?;
            if read_room(&document)?.table(&name).is_none() {
                continue;
            }
            let (epsilon, delta) = share.over_all_periods();
            let held = least.entry(table).or_insert((epsilon, delta));
            *held = (held.0.min(epsilon), held.1.min(delta));
        }
        Ok(Allowance::together(least.into_values().map(|(epsilon, delta)| Allowance::new(epsilon, delta))))
    }

    /// The digest of the policy that is active for a table.
    pub(crate) async fn active_digest(
        connection: &mut SqliteConnection,
        room: &RoomName,
        table: &TableName,
    ) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "SELECT digest FROM policies WHERE room = $1 AND table_name = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .fetch_optional(connection)
        .await?)
    }
}
