//! The data of the demonstration: invented people, the same on every run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use crate::fault::{Fault, Result};

/// People 0 to 20 000 are the retailer's customers, people 14 000 to 34 000 saw the agency's advertisements.
const CUSTOMERS: std::ops::Range<u64> = 0..20_000;
const AUDIENCE: std::ops::Range<u64> = 14_000..34_000;

/// 1 March 2026, in days since 1970.
const FIRST_DAY: i32 = 20_513;
const DAYS: u64 = 60;

const FIRST_NAMES: [&str; 10] = ["ada", "bela", "carla", "dario", "edda", "felix", "greta", "hugo", "ines", "jonas"];
const LAST_NAMES: [&str; 10] =
    ["novak", "oliveira", "petrov", "quist", "rossi", "schmid", "tanaka", "ueda", "varga", "weber"];
/// Towns, and how many of 1 000 000 customers live there. The last two are villages.
const TOWNS: [(&str, u64); 7] = [
    ("Easton", 340_000),
    ("Northport", 260_000),
    ("Millbrook", 200_000),
    ("Harrow Hill", 120_000),
    ("Lakeside", 78_600),
    ("Upper Dale", 900),
    ("Stonebeck", 500),
];
/// Departments, and cents of their cheapest and dearest product.
const DEPARTMENTS: [(&str, u64, u64); 8] = [
    ("bakery", 90, 600),
    ("beauty", 250, 2_500),
    ("dairy", 70, 500),
    ("drinks", 60, 1_500),
    ("frozen", 200, 900),
    ("garden", 300, 6_000),
    ("pets", 150, 3_500),
    ("produce", 50, 600),
];
const PRODUCTS_EACH: u64 = 12;
/// Campaigns, and their first and last day counted from [`FIRST_DAY`].
const CAMPAIGNS: [(&str, u64, u64); 4] =
    [("Breakfast", 3, 20), ("Garden season", 14, 44), ("New pet", 10, 30), ("Thirsty?", 30, 55)];
const CHANNELS: [&str; 4] = ["audio", "search", "social", "tv"];
const REASONS: [&str; 3] = ["damaged", "late", "unwanted"];

/// What is true of the data; only whoever made it up can know.
pub(super) struct Facts {
    /// People that both partners know.
    pub(super) common: u64,
    /// Customers by town.
    pub(super) customers_by_town: BTreeMap<&'static str, u64>,
    /// Rows of each file of a partner: `retailer/purchases`, ...
    pub(super) rows: BTreeMap<&'static str, usize>,
}

/// Writes the partners' files: `retailer/` and `agency/` with e-mail addresses in them, `room/data/` with reference tables.
pub(super) fn write(folder: &Path) -> Result<Facts> {
    for name in ["retailer", "agency", "room/data"] {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(|error| Fault::write(&path, &error))?;
    }
    let mut random = Random(2_026);
    let mut customers_by_town = BTreeMap::new();
    let mut rows = BTreeMap::new();

    let purchases = purchases(&mut random, &mut customers_by_town)?;
    rows.insert("retailer/purchases", purchases.num_rows());
    parquet(&folder.join("retailer/purchases.parquet"), &purchases)?;
    let returns = returns(&mut random)?;
    rows.insert("retailer/returns", returns.num_rows());
    parquet(&folder.join("retailer/returns.parquet"), &returns)?;
    let exposures = exposures(&mut random)?;
    rows.insert("agency/exposures", exposures.num_rows());
    parquet(&folder.join("agency/exposures.parquet"), &exposures)?;

    let mut products = "product_id,department\n".to_owned();
    for (department, (name, _, _)) in (0..).zip(DEPARTMENTS) {
        for place in 0..PRODUCTS_EACH {
            products.push_str(&format!("{},{name}\n", department * PRODUCTS_EACH + place + 1));
        }
    }
    text(&folder.join("room/data/products.csv"), &products)?;
    let mut campaigns = "campaign_id,campaign,starts,ends\n".to_owned();
    for (campaign, (name, from, to)) in (1..).zip(CAMPAIGNS) {
        campaigns.push_str(&format!("{campaign},{name},{},{}\n", date(from), date(to)));
    }
    text(&folder.join("room/data/campaigns.csv"), &campaigns)?;

    // Everybody of CUSTOMERS has a purchase and everybody of AUDIENCE an exposure.
    let common = CUSTOMERS.end.saturating_sub(AUDIENCE.start);
    Ok(Facts { common, customers_by_town, rows })
}

fn purchases(random: &mut Random, customers_by_town: &mut BTreeMap<&'static str, u64>) -> Result<RecordBatch> {
    let (mut emails, mut products, mut towns, mut days) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut amounts, mut margins) = (Vec::new(), Vec::new());
    // Somebody whom both know comes first, so that both files begin with the same person.
    for person in CUSTOMERS.rev() {
        let town = town(random);
        *customers_by_town.entry(town).or_default() += 1;
        for _line in 0..1 + random.below(5) {
            let (product, cents) = product(random);
            emails.push(email(person));
            products.push(product);
            towns.push(town);
            days.push(day(random.below(DAYS)));
            amounts.push(euros(cents));
            margins.push(euros(cents / 5));
        }
    }
    batch(vec![
        ("email", Arc::new(StringArray::from(emails)) as ArrayRef),
        ("product_id", Arc::new(Int64Array::from(products))),
        ("town", Arc::new(StringArray::from(towns))),
        ("bought_on", Arc::new(Date32Array::from(days))),
        ("amount", Arc::new(Float64Array::from(amounts))),
        ("margin", Arc::new(Float64Array::from(margins))),
    ])
}

fn returns(random: &mut Random) -> Result<RecordBatch> {
    let people: BTreeSet<u64> = (0..1_500).map(|_| random.below(CUSTOMERS.end)).collect();
    let reasons: Vec<&str> = people.iter().map(|_| random.pick(&REASONS)).collect();
    let emails: Vec<String> = people.into_iter().map(email).collect();
    batch(vec![
        ("email", Arc::new(StringArray::from(emails)) as ArrayRef),
        ("reason", Arc::new(StringArray::from(reasons))),
    ])
}

fn exposures(random: &mut Random) -> Result<RecordBatch> {
    let (mut emails, mut campaigns, mut channels, mut days) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let first = CUSTOMERS.end.saturating_sub(1);
    for person in std::iter::once(first).chain(AUDIENCE.filter(|person| *person != first)) {
        for _seen in 0..1 + random.below(3) {
            let campaign = 1 + random.below(CAMPAIGNS.len() as u64);
            // The agency keeps addresses as people typed them.
            emails.push(match person % 3 {
                0 => email(person),
                1 => email(person).to_uppercase(),
                _ => format!("  {} ", capitals(&email(person))),
            });
            campaigns.push(i64::try_from(campaign).unwrap_or_default());
            channels.push(random.pick(&CHANNELS));
            days.push(day(random.below(DAYS)));
        }
    }
    batch(vec![
        ("email", Arc::new(StringArray::from(emails)) as ArrayRef),
        ("campaign_id", Arc::new(Int64Array::from(campaigns))),
        ("channel", Arc::new(StringArray::from(channels))),
        ("seen_on", Arc::new(Date32Array::from(days))),
    ])
}

/// An address under a domain that is kept for examples.
fn email(person: u64) -> String {
    format!("{}.{}.{person}@example.org", pick(&FIRST_NAMES, person), pick(&LAST_NAMES, person / 10))
}

fn capitals(email: &str) -> String {
    let mut start = true;
    let capital = |c: char| {
        let shown = if start { c.to_ascii_uppercase() } else { c };
        start = c == '.';
        shown
    };
    email.chars().map(capital).collect()
}

fn town(random: &mut Random) -> &'static str {
    let mut draw = random.below(TOWNS.iter().map(|(_, often)| often).sum());
    for (town, often) in TOWNS {
        if draw < often {
            return town;
        }
        draw -= often;
    }
    ""
}

/// A product's number and its price in cents.
fn product(random: &mut Random) -> (i64, u64) {
    let (department, place) = (random.below(DEPARTMENTS.len() as u64), random.below(PRODUCTS_EACH));
    let cents = DEPARTMENTS
        .iter()
        .zip(0..)
        .find(|(_, at)| *at == department)
        .map_or(0, |((_, least, most), _)| least + (most - least) * place / PRODUCTS_EACH);
    (i64::try_from(department * PRODUCTS_EACH + place + 1).unwrap_or_default(), cents)
}

fn day(day: u64) -> i32 {
    FIRST_DAY.saturating_add(i32::try_from(day).unwrap_or_default())
}

/// The day so many days after 1 March 2026; all of them lie before May.
fn date(day: u64) -> String {
    if day < 31 { format!("2026-03-{:02}", day + 1) } else { format!("2026-04-{:02}", day - 30) }
}

fn euros(cents: u64) -> f64 {
    f64::from(u32::try_from(cents).unwrap_or_default()) / 100.0
}

fn pick(words: &[&'static str], at: u64) -> &'static str {
    usize::try_from(at % words.len() as u64).ok().and_then(|at| words.get(at)).copied().unwrap_or_default()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    RecordBatch::try_from_iter(columns)
        .map_err(|error| Fault::failure(format!("the demonstration's data cannot be made: {error}"), ""))
}

fn parquet(path: &Path, batch: &RecordBatch) -> Result<()> {
    let file = File::create(path).map_err(|error| Fault::write(path, &error))?;
    ArrowWriter::try_new(file, batch.schema(), None)
        .and_then(|mut writer| {
            writer.write(batch)?;
            writer.close()
        })
        .map_err(|error| Fault::failure(format!("cannot write `{}`: {error}", path.display()), ""))?;
    Ok(())
}

fn text(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).map_err(|error| Fault::write(path, &error))
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let at = self.next();
        pick(words, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_towns_are_below_the_floor_and_the_others_far_above() {
        let folder = tempfile::tempdir().map(|folder| write(folder.path()));
        let facts = folder.ok().and_then(Result::ok);
        let towns = facts.map(|facts| facts.customers_by_town).unwrap_or_default();
        let small: Vec<&str> = towns.iter().filter(|(_, people)| **people < 25).map(|(town, _)| *town).collect();
        assert_eq!(small, ["Stonebeck", "Upper Dale"]);
        assert_eq!(towns.values().filter(|people| **people > 500).count(), 5);
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert_eq!(date(0), "2026-03-01");
        assert_eq!(date(30), "2026-03-31");
        assert_eq!(date(31), "2026-04-01");
        assert_eq!(date(55), "2026-04-25");
    }
}
