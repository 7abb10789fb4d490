//! `cleanroom policy test`

use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_policy::{Case, DocumentError, MadeTable, parse_cases, parse_made_tables};
use serde_json::{Value, json};

use super::made_up::{self, Random};
use super::trial::{Told, Trial};
use crate::command::block_on;
use crate::embedded::{PolicyFile, RoomFiles, folder_of, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list};

#[derive(Debug, Args)]
pub(in crate::command) struct TestArgs {
    /// The cases, or the folder of `cases.yaml`
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,

    /// The room they are asked in [default: `room.yaml` beside the cases]
    #[arg(long, value_name = "FILE")]
    room: Option<PathBuf>,

    /// Makes rows up from this file [default: `schema.yaml` beside the cases, where there is one; otherwise the room's own data]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

/// A case and what became of it.
struct Outcome<'c> {
    case: &'c Case,
    found: String,
    fine: bool,
}

pub(super) fn run(args: &TestArgs, format: Format) -> Result<Exit> {
    let file = if args.path.is_dir() { args.path.join("cases.yaml") } else { args.path.clone() };
    let folder = folder_of(&file);
    let label = file.display().to_string();
    let cases = parse_cases(&label, &read_document(&file)?).map_err(Fault::documents)?.cases;
    let room = RoomFiles::open(args.room.as_deref().unwrap_or(&folder.join("room.yaml")), None)?;
    let beside = folder.join("schema.yaml");
    let schema = args.schema.clone().or_else(|| beside.is_file().then_some(beside));
    let outcomes = block_on(ask(&cases, &room, schema.as_deref()))?;

    let failed = outcomes.iter().filter(|outcome| !outcome.fine).count();
    let place = |outcome: &Outcome<'_>| format!("{label}:{}", outcome.case.sql.line);
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|outcome| {
            let word = if outcome.fine { "ok" } else { "FAILED" };
            let analyst = outcome.case.analyst.to_string();
            vec![word.to_owned(), place(outcome), analyst, expected(outcome.case), outcome.found.clone()]
        })
        .collect();
    let value: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "ok": outcome.fine,
                "file": label,
                "line": outcome.case.sql.line,
                "as": outcome.case.analyst.to_string(),
                "sql": outcome.case.sql.value,
                "expected": expected(outcome.case),
                "found": outcome.found,
            })
        })
        .collect();
    let value = json!({ "cases": value, "failed": failed });
    list(format, &["", "case", "as", "expected", "found"], &rows, &value)?;
    if failed > 0 && format != Format::Json {
        eprintln!("{failed} of {} cases failed", outcomes.len());
    }
    Ok(if failed > 0 { Exit::Failure } else { Exit::Done })
}

async fn ask<'c>(cases: &'c [Case], room: &RoomFiles, schema: Option<&Path>) -> Result<Vec<Outcome<'c>>> {
    let trial = Trial::open(room.room()).await?;
    let made =
        tempfile::tempdir().map_err(|error| Fault::failure(format!("cannot make a temporary folder: {error}"), ""))?;
    match schema {
        Some(schema) => {
            let policies = room.policies()?;
            let label = schema.display().to_string();
            let tables = parse_made_tables(&label, &read_document(schema)?).map_err(Fault::documents)?;
            check_tables(&label, &tables, &policies)?;
            let mut random = Random::new();
            for table in &tables {
                let Some(file) = policies.iter().find(|file| file.policy.table == table.table) else { continue };
                let path = made.path().join(format!("{}.csv", table.table));
                made_up::write(&path, &label, table, &file.policy, &mut random)?;
                trial.policy(&file.policy, Some(&file.text)).await?;
                trial.rows(&file.policy, &path).await?;
            }
        }
        None => {
            for table in room.tables()? {
                trial.policy(&table.policy.policy, Some(&table.policy.text)).await?;
                trial.rows(&table.policy.policy, &table.source).await?;
            }
        }
    }
    let mut outcomes = Vec::with_capacity(cases.len());
    for case in cases {
        let told = trial.ask(&case.analyst, &case.sql.value, false).await?;
        outcomes.push(Outcome { case, found: found(&told), fine: fine(case, &told) });
    }
    trial.close().await;
    Ok(outcomes)
}

/// Every table of the room is made up, and no other.
fn check_tables(label: &str, tables: &[MadeTable], policies: &[PolicyFile]) -> Result<()> {
    let error = |message: String, remedy: &str| DocumentError {
        file: label.to_owned(),
        line: None,
        column: None,
        message,
        remedy: remedy.to_owned(),
    };
    let known = |table: &MadeTable| policies.iter().any(|file| file.policy.table == table.table);
    let strangers = tables
        .iter()
        .filter(|table| !known(table))
        .map(|table| error(format!("the room has no table `{}`", table.table), "remove it, or declare it in the room"));
    let missing = policies.iter().filter(|file| !tables.iter().any(|table| table.table == file.policy.table));
    let missing = missing.map(|file| {
        error(format!("table `{}` of the room is not described", file.policy.table), "add how its rows are made up")
    });
    let errors: Vec<DocumentError> = strangers.chain(missing).collect();
    if errors.is_empty() { Ok(()) } else { Err(Fault::documents(errors)) }
}

fn expected(case: &Case) -> String {
    match &case.refused {
        Some(code) => format!("refused with {code}"),
        None => "answered".to_owned(),
    }
}

fn found(told: &Told) -> String {
    if told.released() {
        let rows = told.rows().len();
        return match rows {
            0 => "answered without a row: every group was suppressed".to_owned(),
            1 => "answered with 1 row".to_owned(),
            rows => format!("answered with {rows} rows"),
        };
    }
    let rule = if told.rule().is_empty() { String::new() } else { format!(" ({})", told.rule()) };
    format!("{} with {}: {}{rule}", told.outcome(), told.code(), told.detail())
}

fn fine(case: &Case, told: &Told) -> bool {
    match &case.refused {
        Some(code) => matches!(told.outcome(), "refused" | "exhausted") && told.code() == code,
        None => told.released() && !told.rows().is_empty(),
    }
}
