//! The attacker's own table: people it knows, listed as suits it.

use cleanroom_policy::{PartnerName, Policy, Subject, TableName, parse_policy};
use tempfile::TempDir;

use super::field::needs_list;
use crate::command::policy::rows::{OwnRows, quoted};
use crate::command::policy::trial::Trial;
use crate::fault::{Fault, Result};

/// People who are listed twice, four times, and so on.
const WEIGHTED: u32 = 12;

/// A table `(id, list, weight)`. Lists: `with` and `without` one person, as many as the floor or one fewer beside a stranger;
/// `weighted`, where person k has 2^k rows; `all`, everybody once, where that is needed.
pub(super) struct Audience {
    policy: Policy,
    folder: TempDir,
    /// Rows that the table has of the weighted people, each counted as often as they are listed.
    pub(super) weighted_rows: f64,
    /// The same, each counted once.
    pub(super) plain_rows: f64,
}

impl Audience {
    /// Makes it up from the units of the table; `None` where there are fewer than the floor.
    pub(super) async fn of(policy: &Policy, own: &OwnRows, analyst: &PartnerName) -> Result<Option<Self>> {
        let Subject::Unit { column, space } = &policy.subject else {
            return Ok(None);
        };
        let unit = quoted(column);
        let people = own
            .numbers(&format!(
                "SELECT {unit}, COUNT(*) FROM kept WHERE {unit} IS NOT NULL GROUP BY {unit} ORDER BY {unit}"
            ))
            .await?;
        let people: Vec<(&str, f64)> = people
            .iter()
            .filter_map(|row| match row.as_slice() {
                [number, rows] => Some((own.identity(*number)?, *rows)),
                _ => None,
            })
            .collect();
        let floor = usize::try_from(policy.release.min_units).unwrap_or(usize::MAX);
        if people.len() < floor {
            return Ok(None);
        }
        let folder = tempfile::tempdir()
            .map_err(|error| Fault::failure(format!("cannot make a temporary folder: {error}"), ""))?;
        let failed = |error: csv::Error| Fault::failure(format!("cannot write a temporary file: {error}"), "");
        let mut file = csv::Writer::from_path(folder.path().join(FILE)).map_err(failed)?;
        file.write_record(["id", "list", "weight"]).map_err(failed)?;
        let (mut weighted_rows, mut plain_rows) = (0.0, 0.0);
        for (at, (id, rows)) in people.iter().enumerate() {
            if needs_list(policy) {
                file.write_record([id, "all", "1"]).map_err(failed)?;
            }
            if at < floor {
                file.write_record([id, "with", "1"]).map_err(failed)?;
            }
            if at + 1 < floor {
                file.write_record([id, "without", "1"]).map_err(failed)?;
            }
            // As many as twice the floor: enough for every floor, and the weights stay readable in one number.
            if at < floor.saturating_mul(2) {
                let power = u32::try_from(at).unwrap_or(u32::MAX);
                let times = if power < WEIGHTED { 1_u32 << power } else { 1 };
                for _ in 0..times {
                    file.write_record([id, "weighted", &times.to_string()]).map_err(failed)?;
                }
                weighted_rows += rows * f64::from(times);
                plain_rows += rows;
            }
        }
        file.flush().map_err(|error| Fault::failure(format!("cannot write a temporary file: {error}"), ""))?;
        let table = table(policy, analyst)?;
        let text = format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\nunit: {{column: id, space: {space}}}\n\
             columns:\n  id: {{use: [join, count]}}\n  list: {{use: [dimension, filter]}}\n  \
             weight: {{use: [measure], functions: [sum], bounds: [0, 1000000], step: 1}}\nrelease: {{min_units: 2}}\n\
             access: {{analysts: [{analyst}], receivers: [{analyst}]}}\n"
        );
        let parsed = parse_policy("audience", &text).map_err(Fault::documents)?;
        // Whoever attacks a table under noise gives its own the noise without which they are not joined.
        let policy = Policy { noise: policy.noise.clone(), ..parsed };
        Ok(Some(Self { policy, folder, weighted_rows, plain_rows }))
    }

    /// Its name in the room.
    pub(super) fn table(&self) -> &TableName {
        &self.policy.table
    }

    /// Brings it into the room.
    pub(super) async fn take_in(&self, trial: &Trial) -> Result<()> {
        trial.policy(&self.policy, None).await?;
        trial.rows(&self.policy, &self.folder.path().join(FILE)).await
    }
}

const FILE: &str = "audience.csv";

/// A name under which the policy lets a table of the analyst be joined, where it lets any.
fn table(policy: &Policy, analyst: &PartnerName) -> Result<TableName> {
    let patterns = policy.joins.with.iter().flatten().filter(|pattern| pattern.partner == *analyst);
    let named = patterns.filter_map(|pattern| pattern.table.as_deref()).next().unwrap_or("audience");
    TableName::new(analyst.clone(), named).map_err(|rule| Fault::failure(rule, ""))
}
