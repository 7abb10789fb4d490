//! Rows made up from a `schema.yaml`, the same on every machine.

use std::path::Path;

use cleanroom_policy::{DocumentError, MadeColumn, MadeTable, Policy, Subject};
use time::format_description::well_known::Iso8601;
use time::{Date, Duration};

use crate::fault::{Fault, Result};

const SEED: u64 = 7;
/// Parts of a range of numbers.
const PARTS: u64 = 10_000;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): small, and the same everywhere.
/// It protects nothing.
pub(super) struct Random(u64);

impl Random {
    /// Of all tables of a room.
    pub(super) fn new() -> Self {
        Self(SEED)
    }

    /// A number below `below`, which is above zero.
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// Writes the rows of a table as CSV. `file` names the document they are described in.
pub(super) fn write(path: &Path, file: &str, table: &MadeTable, policy: &Policy, random: &mut Random) -> Result<()> {
    let failed = |error: csv::Error| Fault::failure(format!("cannot write a temporary file: {error}"), "");
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(table.columns.iter().map(|(name, _made)| name.as_str())).map_err(failed)?;
    let email = matches!(&policy.subject, Subject::Unit { space, .. } if space.as_str() == "email");
    for row in 0..table.rows {
        let cells = table.columns.iter().map(|(name, made)| {
            value(made, email, row, random).ok_or_else(|| {
                Fault::documents(vec![DocumentError {
                    file: file.to_owned(),
                    line: None,
                    column: None,
                    message: format!("`range` of column `{name}` of `{}` is no range", table.table),
                    remedy: "write the first and the last day as `2024-01-31`, in this order".to_owned(),
                }])
            })
        });
        writer.write_record(cells.collect::<Result<Vec<String>>>()?).map_err(failed)?;
    }
    writer.flush().map_err(|error| Fault::failure(format!("cannot write a temporary file: {error}"), ""))
}

fn value(made: &MadeColumn, email: bool, row: u64, random: &mut Random) -> Option<String> {
    Some(match made {
        MadeColumn::Units { count, distinct } => {
            let unit = if *distinct { row } else { random.next(*count) };
            if email { format!("person{unit}@example.org") } else { unit.saturating_add(1000).to_string() }
        }
        MadeColumn::Values(values) => {
            let at = usize::try_from(random.next(values.len() as u64)).ok()?;
            values.get(at)?.clone()
        }
        MadeColumn::Sequence(prefix, first) => format!("{prefix}{}", first.saturating_add(row)),
        MadeColumn::Numbers { low, high, whole: true } => {
            let span = (high.floor() - low.ceil()).max(0.0) as u64;
            (low.ceil() + random.next(span.saturating_add(1)) as f64).to_string()
        }
        MadeColumn::Numbers { low, high, whole: false } => {
            format!("{:.2}", low + (high - low) * random.next(PARTS + 1) as f64 / PARTS as f64)
        }
        MadeColumn::Dates(first, last) => {
            let (first, last) = (day(first)?, day(last)?);
            let days = u64::try_from((last - first).whole_days()).ok()?;
            let later = i64::try_from(random.next(days.saturating_add(1))).ok()?;
            let date = first.checked_add(Duration::days(later))?;
            format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
        }
    })
}

fn day(text: &str) -> Option<Date> {
    Date::parse(text, &Iso8601::DATE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_range_and_are_the_same_every_time() {
        let dates = MadeColumn::Dates("2024-02-28".to_owned(), "2024-03-01".to_owned());
        let numbers = MadeColumn::Numbers { low: 1.0, high: 3.0, whole: true };
        let mut seen = std::collections::BTreeSet::new();
        let mut random = Random::new();
        for row in 0..200 {
            seen.extend(value(&dates, false, row, &mut random));
            seen.extend(value(&numbers, false, row, &mut random));
        }
        let all: Vec<&str> = seen.iter().map(String::as_str).collect();
        assert_eq!(all, ["1", "2", "2024-02-28", "2024-02-29", "2024-03-01", "3"]);
        let again = |seed: &mut Random| value(&numbers, false, 0, seed);
        assert_eq!(again(&mut Random::new()), again(&mut Random::new()));
        assert_eq!(value(&MadeColumn::Dates("x".to_owned(), "y".to_owned()), false, 0, &mut random), None);
    }
}
