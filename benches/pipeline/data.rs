//! The partners' files: invented, deterministic, skewed; and what is true of them, counted row by row while they are made.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::random::{Choice, Random, Skew};
use crate::{FLOOR, Result};

/// Rows of a batch and of a row group.
const BATCH: usize = 250_000;
/// 1 January 2026, in microseconds since 1970, and the 90 days from it on.
const FIRST: i64 = 1_767_225_600_000_000;
const SPAN: i64 = 90 * 86_400 * 1_000_000;
/// Card holders of the small third table.
const MEMBERS: u32 = 1_000;

const CAMPAIGNS: usize = 50;
const CATEGORIES: usize = 20;
const STATES: usize = 51;
const DEVICES: [(&str, f64); 5] =
    [("mobile", 50.0), ("desktop", 28.0), ("tablet", 12.0), ("ctv", 9.5), ("console", 0.5)];
const AGES: [(&str, f64); 7] = [
    ("18-24", 12.0),
    ("25-34", 20.0),
    ("35-44", 18.0),
    ("45-54", 16.0),
    ("55-64", 14.0),
    ("65+", 12.0),
    ("unknown", 8.0),
];
/// Shares of the last campaigns: so few people saw them that some of their groups stay below the floor.
const RARE: [f64; 5] = [3e-5, 2e-5, 1e-5, 5e-6, 2e-6];

/// A file and how much is in it.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Reach of a campaign on a device: people and advertisements.
pub(crate) type Reach = BTreeMap<(String, String), (i64, i64)>;

/// What was made.
pub(crate) struct Data {
    pub(crate) impressions: Source,
    pub(crate) purchases: Source,
    pub(crate) members: Source,
    pub(crate) campaigns: Source,
    pub(crate) categories: Source,
    /// People in both large tables.
    pub(crate) overlap: i64,
    /// Groups of at least [`FLOOR`] people.
    pub(crate) reach: Reach,
    /// Groups of fewer.
    pub(crate) small: usize,
}

/// How many of everything; people of the agency are numbered from 0, those of the retailer follow and overlap.
struct Sizes {
    scale: f64,
    audience: u32,
    customers: u32,
    first_customer: u32,
    impressions: usize,
    purchases: usize,
}

impl Sizes {
    fn new(scale: f64) -> Self {
        let part = |of: f64| (of * scale).round();
        let (audience, common) = (part(2_000_000.0) as u32, part(600_000.0) as u32);
        Self {
            scale,
            audience,
            customers: part(1_500_000.0) as u32,
            first_customer: audience - common,
            impressions: part(10_000_000.0) as usize,
            purchases: part(3_000_000.0) as usize,
        }
    }

    fn people(&self) -> u32 {
        self.first_customer + self.customers
    }
}

/// Writes the files into `folder`.
pub(crate) fn generate(folder: &Path, scale: f64) -> Result<Data> {
    let sizes = Sizes::new(scale);
    let mut random = Random::new(20_260_501);
    let (impressions, audience, groups) = impressions(&folder.join("impressions.parquet"), &sizes, &mut random)?;
    let (purchases, customers) = purchases(&folder.join("purchases.parquet"), &sizes, &mut random)?;
    let groups: Vec<_> = groups.into_iter().map(|(group, (people, rows))| (group, (people.len(), rows))).collect();
    let all = groups.len();
    let reach: Reach = groups.into_iter().filter(|(_, (people, _))| *people >= FLOOR).collect();
    Ok(Data {
        impressions,
        purchases,
        members: members(&folder.join("members.parquet"), &sizes)?,
        campaigns: reference(&folder.join("campaigns.csv"), "campaign,channel", CAMPAIGNS, |at| {
            format!("{},channel_{}", campaign(at), at % 6)
        })?,
        categories: reference(&folder.join("categories.csv"), "category,department", CATEGORIES, |at| {
            format!("{},department_{}", category(at), at % 5)
        })?,
        overlap: audience.common(&customers),
        small: all - reach.len(),
        reach,
    })
}

type Groups = BTreeMap<(String, String), (People, i64)>;

/// Advertisements in the order of time, people in no order.
fn impressions(path: &Path, sizes: &Sizes, random: &mut Random) -> Result<(Source, People, Groups)> {
    let people = rows_of(random, 0, sizes.audience, sizes.impressions);
    let common: Vec<f64> = falling(CAMPAIGNS, 0.9).take(CAMPAIGNS - RARE.len()).collect();
    let total: f64 = falling(CAMPAIGNS, 0.9).sum();
    let rare = RARE.map(|share| share * total / sizes.scale.sqrt());
    let campaigns = Choice::new(common.into_iter().chain(rare));
    let devices = Choice::new(DEVICES.map(|(_, weight)| weight));
    let (mut seen, mut groups) = (People::none(sizes), Groups::new());
    let source = write(path, &people, |first, people| {
        let (mut campaign_names, mut device_names, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        for person in people {
            let group = (campaign(campaigns.draw(random)), name(&DEVICES, devices.draw(random)).to_owned());
            campaign_names.push(group.0.clone());
            device_names.push(group.1.clone());
            // Gamma of shape 2, in millionths.
            let cost = -0.002 * (random.unit().ln() + random.unit().ln());
            costs.push((cost.min(1.0) * 1e6).round() / 1e6);
            seen.add(*person);
            let (reached, rows) = groups.entry(group).or_insert_with(|| (People::none(sizes), 0));
            reached.add(*person);
            *rows += 1;
        }
        vec![
            ("k", emails(people)),
            ("campaign", text(&campaign_names)),
            ("device", text(&device_names)),
            ("state", text(people.iter().map(|person| state(*person)))),
            ("age_band", text(people.iter().map(|person| age(*person)))),
            ("ts", times(first, people.len(), sizes.impressions)),
            ("cost", Arc::new(Float64Array::from(costs))),
        ]
    })?;
    Ok((source, seen, groups))
}

fn purchases(path: &Path, sizes: &Sizes, random: &mut Random) -> Result<(Source, People)> {
    let people = rows_of(random, sizes.first_customer, sizes.customers, sizes.purchases);
    let categories = Choice::new(falling(CATEGORIES, 0.8));
    let mut seen = People::none(sizes);
    let source = write(path, &people, |first, people| {
        people.iter().for_each(|person| seen.add(*person));
        let orders = (0..people.len()).map(|row| 1_000_000_000 + (first + row) as i64);
        let amounts = people.iter().map(|_| {
            let amount = (3.4 + 1.1 * random.normal()).exp().clamp(0.5, 500.0);
            (amount * 100.0).round() / 100.0
        });
        let amounts = Float64Array::from_iter_values(amounts);
        vec![
            ("k", emails(people)),
            ("order_id", Arc::new(Int64Array::from_iter_values(orders)) as ArrayRef),
            ("amount", Arc::new(amounts)),
            ("category", text(people.iter().map(|_| category(categories.draw(random))))),
            ("ts", times(first, people.len(), sizes.purchases)),
            ("zip3", text(people.iter().map(|person| format!("{:03}", 100 + person % 800)))),
        ]
    })?;
    Ok((source, seen))
}

fn members(path: &Path, sizes: &Sizes) -> Result<Source> {
    let people: Vec<u32> = (sizes.first_customer..sizes.people()).take(MEMBERS as usize).collect();
    write(path, &people, |_, people| {
        vec![("k", emails(people)), ("tier", text(people.iter().map(|person| format!("tier_{}", person % 3))))]
    })
}

fn reference(path: &Path, header: &str, rows: usize, line: impl Fn(usize) -> String) -> Result<Source> {
    let lines: Vec<String> = std::iter::once(header.to_owned()).chain((0..rows).map(line)).collect();
    fs::write(path, lines.join("\n") + "\n")?;
    source(path, rows)
}

/// Everybody once and the rest of the rows by skew, in no order.
fn rows_of(random: &mut Random, first: u32, people: u32, rows: usize) -> Vec<u32> {
    let skew = Skew::new(people);
    let mut out: Vec<u32> = (first..first + people).collect();
    out.resize_with(rows, || first + skew.draw(random));
    random.shuffle(&mut out);
    out
}

/// One file, a row group at a time; `columns` gets the number of the first row and the people of the rows.
fn write(
    path: &Path,
    people: &[u32],
    mut columns: impl FnMut(usize, &[u32]) -> Vec<(&'static str, ArrayRef)>,
) -> Result<Source> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(BATCH))
        .build();
    let mut file = Some(File::create(path)?);
    let mut writer: Option<ArrowWriter<File>> = None;
    for (at, people) in people.chunks(BATCH).enumerate() {
        let batch = RecordBatch::try_from_iter(columns(at * BATCH, people))?;
        if let Some(file) = file.take() {
            writer = Some(ArrowWriter::try_new(file, batch.schema(), Some(properties.clone()))?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    source(path, people.len())
}

fn source(path: &Path, rows: usize) -> Result<Source> {
    Ok(Source { path: path.to_owned(), rows: rows as u64, bytes: fs::metadata(path)?.len() })
}

fn emails(people: &[u32]) -> ArrayRef {
    text(people.iter().map(|person| {
        let number = (u64::from(*person) * 7_919 + 13) % 9_999_991;
        format!("user{number:07}@example.com")
    }))
}

fn text(values: impl IntoIterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn times(first: usize, rows: usize, of: usize) -> ArrayRef {
    let step = SPAN / of.max(1) as i64;
    Arc::new(TimestampMicrosecondArray::from_iter_values((first..first + rows).map(|row| FIRST + row as i64 * step)))
}

/// Weights 1, 2^-power, 3^-power, ...
fn falling(count: usize, power: f64) -> impl Iterator<Item = f64> {
    (1..=count).map(move |rank| (rank as f64).powf(-power))
}

fn campaign(at: usize) -> String {
    format!("cmp_{at:03}")
}

fn category(at: usize) -> String {
    format!("cat_{at:02}")
}

fn state(person: u32) -> String {
    // The smaller of two numbers: some states are larger than others.
    let draw = |salt: u64| (Random::new(u64::from(person) ^ salt).unit() * STATES as f64) as usize;
    format!("state_{:02}", draw(1 << 40).min(draw(1 << 41)))
}

fn age(person: u32) -> &'static str {
    let ages = Choice::new(AGES.map(|(_, weight)| weight));
    name(&AGES, ages.draw(&mut Random::new(u64::from(person) ^ 1 << 42)))
}

fn name(of: &[(&'static str, f64)], at: usize) -> &'static str {
    of.get(at).map_or("", |(name, _)| name)
}

/// A set of people, one bit each.
struct People(Vec<u64>);

impl People {
    fn none(sizes: &Sizes) -> Self {
        Self(vec![0; sizes.people() as usize / 64 + 1])
    }

    fn add(&mut self, person: u32) {
        if let Some(word) = self.0.get_mut(person as usize / 64) {
            *word |= 1 << (person % 64);
        }
    }

    fn len(&self) -> i64 {
        self.0.iter().map(|word| i64::from(word.count_ones())).sum()
    }

    fn common(&self, other: &Self) -> i64 {
        self.0.iter().zip(&other.0).map(|(left, right)| i64::from((left & right).count_ones())).sum()
    }
}
