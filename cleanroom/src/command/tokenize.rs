//! `cleanroom tokenize`

use std::path::PathBuf;

use clap::Args;
use cleanroom_keys::{RoomKey, TerminalProgress, TokenizeOptions, tokenize};
use serde_json::json;

use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, list};

#[derive(Debug, Args)]
pub(super) struct TokenizeArgs {
    /// A CSV or Parquet file
    input: PathBuf,

    /// The Parquet file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The room key, from `cleanroom keys new room`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// A column of identifiers and its identity space: `email`, `phone`, or any other name
    #[arg(long = "column", value_name = "NAME=SPACE", required = true)]
    columns: Vec<String>,

    /// Country of telephone numbers without an international prefix, such as `DE`
    #[arg(long, value_name = "COUNTRY")]
    region: Option<String>,

    /// Leaves identifiers that are not valid empty, and counts them, instead of stopping at the first
    #[arg(long)]
    skip_bad: bool,

    /// Replaces the output file
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: TokenizeArgs, format: Format) -> Result<Exit> {
    let columns = args.columns.iter().map(|pair| column(pair)).collect::<Result<Vec<_>>>()?;
    let key = RoomKey::load(&args.key).map_err(|error| Fault::usage(error, ""))?;
    let options = TokenizeOptions {
        input: args.input,
        output: args.output.clone(),
        key,
        columns,
        region: args.region,
        skip_bad: args.skip_bad,
        force: args.force,
    };
    let report = tokenize(&options, &TerminalProgress::new()).map_err(|error| Fault::usage(error, ""))?;
    let numbers =
        [("rows", report.rows), ("tokenised", report.tokenised), ("empty", report.nulls), ("skipped", report.bad)];
    let rows = [numbers.iter().map(|(_, number)| number.to_string()).collect::<Vec<_>>()];
    let header: Vec<&str> = numbers.iter().map(|(name, _)| *name).collect();
    let value = json!({
        "output": args.output.display().to_string(),
        "rows": report.rows, "tokenised": report.tokenised, "empty": report.nulls, "skipped": report.bad,
    });
    list(format, &header, &rows, &value)?;
    Ok(Exit::Done)
}

fn column(pair: &str) -> Result<(String, String)> {
    match pair.rsplit_once('=') {
        Some((name, space)) if !name.is_empty() && !space.is_empty() => Ok((name.to_owned(), space.to_owned())),
        _ => Err(Fault::usage(format!("`--column {pair}` is not `NAME=SPACE`"), "write it as `--column email=email`")),
    }
}
