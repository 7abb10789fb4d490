//! How fast the whole way is: identifiers to tokens, files to snapshots, questions to recorded answers.
//!
//! ```text
//! cargo bench --bench pipeline                       a tenth of the full size, in about a minute
//! cargo bench --bench pipeline -- --scale 1          10 million impressions, 3 million purchases
//! ```
//!
//! Prints a Markdown table and writes it to `bench-report.md` in the target folder. Every answer is compared with a recount
//! of the rows in plain Rust; a wrong one ends the benchmark. Files are read from the system's cache, since they were just
//! written. Compare figures of one machine and one run only; the engine alone, over the same files, is the measure of the
//! vault.

mod data;
mod house;
mod measure;
mod plain;
mod random;
#[path = "../../tests/splitmix.rs"]
mod splitmix;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use clap::Parser;
use cleanroom_keys::{RoomKey, TerminalProgress, TokenizeOptions, tokenize};
use tempfile::TempDir;

use self::data::{Data, Reach, Source};
use self::house::House;
use self::measure::Stage;
use self::plain::Plain;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The floor of every policy here, in people.
const FLOOR: i64 = 25;

const OVERLAP: &str =
    "SELECT COUNT(DISTINCT i.k) AS people FROM agency.impressions i JOIN retailer.purchases p ON i.k = p.k";

const REACH: &str = "\
SELECT campaign, device, COUNT(DISTINCT k) AS people, COUNT(*) AS impressions,
       CAST(COUNT(*) AS DOUBLE) / COUNT(DISTINCT k) AS frequency
FROM agency.impressions
GROUP BY campaign, device";

const FIVE_TABLES: &str = "\
SELECT c.channel, g.department, m.tier, COUNT(DISTINCT i.k) AS people, SUM(p.amount) AS revenue
FROM agency.impressions i
JOIN retailer.purchases p ON p.k = i.k AND p.ts >= i.ts
JOIN retailer.members m ON m.k = p.k
JOIN agency.campaigns c ON c.campaign = i.campaign
JOIN retailer.categories g ON g.category = p.category
WHERE i.device <> 'console' AND i.state IN ('state_01', 'state_02')
GROUP BY c.channel, g.department, m.tier";

/// Measures tokenisation, ingestion and questions on invented data.
#[derive(Debug, Parser)]
struct Args {
    /// Size of the data; 1 is 10 million impressions and 3 million purchases
    #[arg(long, default_value_t = 0.1, value_parser = scale)]
    scale: f64,

    /// Runs of every measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,

    /// Memory that queries and ingestion may use, in MiB
    #[arg(long, default_value_t = 2048)]
    memory: usize,

    /// Skips tokenisation: the e-mail addresses become tokens at ingestion
    #[arg(long)]
    raw: bool,

    /// Where the data is put while the benchmark runs (1 GB at scale 1)
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = match &args.folder {
        Some(folder) => TempDir::with_prefix_in("cleanroom-bench-", folder)?,
        None => TempDir::with_prefix("cleanroom-bench-")?,
    };
    eprintln!("generating");
    let mut data = data::generate(folder.path(), args.scale)?;
    let mut stages = Vec::new();
    if !args.raw {
        stages.extend(tokenisation(folder.path(), &mut data, args.runs)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(cleanroom_vault::WORKER_STACK)
        .build()?;
    stages.extend(runtime.block_on(room(folder.path(), &data, &args))?);
    stages.extend(runtime.block_on(plain(&data, args.runs))?);

    let report = format!("{}\n{}", heading(&args, &data), measure::table(&stages));
    println!("{report}");
    // Set by Cargo: `tmp` in the target folder.
    if let Some(target) = Path::new(env!("CARGO_TARGET_TMPDIR")).parent() {
        fs::write(target.join("bench-report.md"), report)?;
    }
    Ok(())
}

/// The partners' step. The tokenised files take the place of the generated ones.
fn tokenisation(folder: &Path, data: &mut Data, runs: u16) -> Result<Vec<Stage>> {
    let key = folder.join("room.key");
    RoomKey::generate()?.save(&key)?;
    let mut stages = Vec::new();
    for (name, source, runs) in [
        ("purchases", &mut data.purchases, runs),
        ("impressions", &mut data.impressions, 1),
        ("members", &mut data.members, 1),
    ] {
        eprintln!("tokenising {name}");
        let output = folder.join(format!("{name}.tokens.parquet"));
        let mut stage = Stage::new(&format!("tokenise {name}")).rows(source.rows).bytes(source.bytes);
        for _ in 0..runs {
            let options = TokenizeOptions {
                input: source.path.clone(),
                output: output.clone(),
                key: RoomKey::load(&key)?,
                columns: vec![("k".to_owned(), "email".to_owned())],
                region: None,
                skip_bad: false,
                force: true,
            };
            let run = stage.begin();
            let report = tokenize(&options, &TerminalProgress::new())?;
            stage.end(run);
            same("tokens", &report.tokenised, &source.rows)?;
        }
        *source = Source { bytes: fs::metadata(&output)?.len(), path: output, rows: source.rows };
        stages.push(stage);
    }
    // The third is too small to tell anything.
    stages.truncate(2);
    Ok(stages)
}

/// The neutral side: a new room for every run of the ingestion; the last one is asked.
async fn room(folder: &Path, data: &Data, args: &Args) -> Result<Vec<Stage>> {
    let (impressions, purchases) = (&data.impressions, &data.purchases);
    let mut first = Stage::new("ingest impressions").rows(impressions.rows).bytes(impressions.bytes);
    let mut second = Stage::new("ingest purchases").rows(purchases.rows).bytes(purchases.bytes);
    let mut last = None;
    for number in 1..=args.runs {
        eprintln!("ingesting, run {number} of {}", args.runs);
        if let Some(house) = last.take() {
            House::close(house).await;
        }
        let house = House::build(folder, args.memory << 20).await?;
        ingest(&house, &mut first, "agency.impressions", impressions).await?;
        ingest(&house, &mut second, "retailer.purchases", purchases).await?;
        last = Some(house);
    }
    let mut house = last.ok_or("no run")?;
    for (table, source) in [
        ("retailer.members", &data.members),
        ("agency.campaigns", &data.campaigns),
        ("retailer.categories", &data.categories),
    ] {
        house.ingest(table, &source.path).await?;
    }

    eprintln!("asking");
    let mut overlap = Stage::new("overlap of two tables").rows(impressions.rows + purchases.rows);
    let mut reach = Stage::new("reach and frequency by campaign and device").rows(impressions.rows);
    let mut check = Stage::new("dry run of a join of five tables");
    for _ in 0..args.runs {
        let run = overlap.begin();
        let answer = house.ask(OVERLAP, false).await?;
        overlap.end(run);
        same("the overlap", &overlap_of(answer.as_ref())?, &data.overlap)?;

        let run = reach.begin();
        let answer = house.ask(REACH, false).await?;
        reach.end(run);
        same("reach and frequency", &reach_of(answer.as_ref())?, &data.reach)?;

        let run = check.begin();
        let answer = house.ask(FIVE_TABLES, true).await?;
        check.end(run);
        same("rows of a dry run", &answer.is_some(), &false)?;
    }
    house.under_noise().await?;
    let mut noisy_overlap = Stage::new("overlap under noise").rows(impressions.rows + purchases.rows);
    let mut noisy_reach = Stage::new("reach and frequency under noise").rows(impressions.rows);
    for number in 0..args.runs {
        // Another price each time: what was paid for is not executed again.
        let epsilon = Some(10.0 - f64::from(number) / 1000.0);
        let run = noisy_overlap.begin();
        let answer = house.ask_at(OVERLAP, false, epsilon).await?;
        noisy_overlap.end(run);
        near("the noisy overlap", overlap_of(answer.as_ref())?, data.overlap)?;

        let run = noisy_reach.begin();
        let answer = house.ask_at(REACH, false, epsilon).await?;
        noisy_reach.end(run);
        let groups = answer.ok_or("a dry run")?.num_rows();
        near("the groups shown", i64::try_from(groups)?, i64::try_from(data.reach.len())?)?;
    }
    house.close().await;
    Ok(vec![first, second, overlap, reach, check, noisy_overlap, noisy_reach])
}

/// What the engine alone takes for the same answers.
async fn plain(data: &Data, runs: u16) -> Result<Vec<Stage>> {
    eprintln!("asking the engine alone");
    let mut overlap = Stage::new("overlap, engine alone").rows(data.impressions.rows + data.purchases.rows);
    let mut reach = Stage::new("reach and frequency, engine alone").rows(data.impressions.rows);
    let plain = Plain::open(data).await?;
    // It has no floors of its own.
    let floored = format!("{REACH} HAVING COUNT(DISTINCT k) >= {FLOOR}");
    for _ in 0..runs {
        let run = overlap.begin();
        let answer = plain.ask(OVERLAP).await?;
        overlap.end(run);
        same("the overlap", &overlap_of(Some(&answer))?, &data.overlap)?;

        let run = reach.begin();
        let answer = plain.ask(&floored).await?;
        reach.end(run);
        same("reach and frequency", &reach_of(Some(&answer))?, &data.reach)?;
    }
    Ok(vec![overlap, reach])
}

async fn ingest(house: &House, stage: &mut Stage, table: &str, source: &Source) -> Result<()> {
    let run = stage.begin();
    let ingested = house.ingest(table, &source.path).await?;
    stage.end(run);
    same("rows taken in", &ingested.rows, &source.rows)
}

fn overlap_of(answer: Option<&RecordBatch>) -> Result<i64> {
    let batch = answer.ok_or("a dry run")?;
    let people = cast(batch.column_by_name("people").ok_or("no column")?, &DataType::Int64)?;
    let people = people.as_primitive::<Int64Type>();
    if people.len() != 1 || people.is_null(0) {
        return Err("the overlap is not one number".into());
    }
    Ok(people.value(0))
}

fn reach_of(answer: Option<&RecordBatch>) -> Result<Reach> {
    let batch = answer.ok_or("a dry run")?;
    let column = |name: &str, data_type: DataType| -> Result<_> {
        let column = cast(batch.column_by_name(name).ok_or("no column")?, &data_type)?;
        if column.null_count() > 0 { Err(format!("`{name}` has gaps").into()) } else { Ok(column) }
    };
    let (campaigns, devices) = (column("campaign", DataType::Utf8)?, column("device", DataType::Utf8)?);
    let (people, rows) = (column("people", DataType::Int64)?, column("impressions", DataType::Int64)?);
    let frequency = column("frequency", DataType::Float64)?;
    let (campaigns, devices) = (campaigns.as_string::<i32>(), devices.as_string::<i32>());
    let (people, rows) = (people.as_primitive::<Int64Type>(), rows.as_primitive::<Int64Type>());
    let frequency = frequency.as_primitive::<Float64Type>();
    let mut reach = Reach::new();
    for row in 0..batch.num_rows() {
        let (people, rows) = (people.value(row), rows.value(row));
        if frequency.value(row) != rows as f64 / people as f64 {
            return Err("a frequency is not the ratio of its two counts".into());
        }
        reach.insert((campaigns.value(row).to_owned(), devices.value(row).to_owned()), (people, rows));
    }
    same("groups", &reach.len(), &batch.num_rows())?;
    Ok(reach)
}

/// A figure of a wrong answer is worth nothing.
fn same<T: PartialEq>(what: &str, found: &T, wanted: &T) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(format!("wrong answer: {what} differ from the recount").into()) }
}

/// Noise of so little is not more than this.
fn near(what: &str, found: i64, wanted: i64) -> Result<()> {
    let most = wanted / 5 + 50;
    if found.abs_diff(wanted) <= most.unsigned_abs() { Ok(()) } else { Err(format!("wrong answer: {what}").into()) }
}

fn heading(args: &Args, data: &Data) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "a debug build, whose figures mean nothing" } else { "a release build" };
    let identifiers = if args.raw { "plain e-mail addresses" } else { "tokens" };
    format!(
        "# Pipeline at scale {}\n\n\
         {} impressions, {} purchases, {} people in both; {} groups of campaign and device, {} more below the floor of {FLOOR}. \
         Identifiers are ingested as {identifiers}. Memory limit {} MiB, {cores} cores, {build}. All answers equal the recount.\n\n\
         Rows and bytes are those of the file or tables that a run reads. Memory is that of the whole process, so what the \
         allocator kept of earlier stages is in it.\n",
        args.scale,
        data.impressions.rows,
        data.purchases.rows,
        data.overlap,
        data.reach.len(),
        data.small,
        args.memory,
    )
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.001..=3.0).contains(&scale) => Ok(scale),
        _ => Err("not a number from 0.001 to 3".to_owned()),
    }
}
