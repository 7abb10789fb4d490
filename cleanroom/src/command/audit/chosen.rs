//! `cleanroom audit show` and `audit prove`: of one entry by its number, or of those that a filter chooses.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{FilterArgs, entries};
use crate::command::block_on;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, Sink, print};
use crate::target::{Target, TargetArgs, room_path};
use crate::trail::{Filter, Read};

/// The ending of a proof's file.
const ENDING: &str = "tlog-proof";

#[derive(Debug, Args)]
pub(in crate::command) struct ShowArgs {
    /// The entry's number in the log, from 0
    #[arg(value_name = "SEQUENCE", required_unless_present_any = ["FilterArgs", "query"], conflicts_with_all = ["FilterArgs", "query"])]
    sequence: Option<u64>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Only entries of this question
    #[arg(long, value_name = "ID")]
    query: Option<String>,

    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::command) struct ProveArgs {
    /// The entry's number in the log, from 0
    #[arg(value_name = "SEQUENCE", required_unless_present_any = ["FilterArgs", "query"], conflicts_with_all = ["FilterArgs", "query"])]
    sequence: Option<u64>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Only entries of this question
    #[arg(long, value_name = "ID")]
    query: Option<String>,

    /// The folder for the proofs, a file `<sequence>.tlog-proof` each [default: the one proof goes to standard output]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArgs,
}

fn chosen(filter: &FilterArgs, query: &Option<String>) -> Filter {
    Filter { query: query.clone(), ..filter.filter() }
}

pub(super) fn show(args: &ShowArgs, format: Format) -> Result<Exit> {
    let tell = |read: &Read| {
        if format == Format::Json {
            return print(&read.line);
        }
        let value = entries::value(read)?;
        print(&serde_json::to_string_pretty(&value).unwrap_or_else(|_| read.line.clone()))
    };
    match args.sequence {
        Some(sequence) => {
            let read = entries::one(&args.target, sequence)?.ok_or_else(|| {
                Fault::usage(format!("the log has no entry {sequence}"), "see `cleanroom audit log` for the entries")
            })?;
            tell(&read)?;
        }
        None => entries::chosen(&args.target, &chosen(&args.filter, &args.query), |read, _about| tell(&read))?,
    }
    Ok(Exit::Done)
}

pub(super) fn prove(args: &ProveArgs) -> Result<Exit> {
    let sequences = match args.sequence {
        Some(sequence) => vec![sequence],
        None => {
            let mut sequences = Vec::new();
            entries::chosen(&args.target, &chosen(&args.filter, &args.query), |read, _about| {
                sequences.push(read.entry.sequence);
                Ok(())
            })?;
            sequences
        }
    };
    match (&args.to, sequences.as_slice()) {
        (Some(folder), sequences) => {
            fs::create_dir_all(folder).map_err(|error| Fault::write(folder, &error))?;
            proofs(&args.target, sequences, |sequence, proof| keep(folder, sequence, proof))?;
        }
        (None, [sequence]) => proofs(&args.target, &[*sequence], |_, proof| print(proof))?,
        (None, several) => {
            return Err(Fault::usage(
                format!("{} entries are chosen, and a proof is of one", several.len()),
                "add `--to DIR` for a file each, or choose one",
            ));
        }
    }
    Ok(Exit::Done)
}

fn keep(folder: &Path, sequence: u64, proof: &str) -> Result<()> {
    Sink::new(Some(folder.join(format!("{sequence}.{ENDING}")))).write(proof.as_bytes())
}

fn proofs(target: &TargetArgs, sequences: &[u64], mut each: impl FnMut(u64, &str) -> Result<()>) -> Result<()> {
    match target.resolve()? {
        Target::Files(files, _) => block_on(async {
            let registry = files.records().await?;
            for sequence in sequences {
                each(*sequence, &registry.proof(&files.room().name, *sequence).await?)?;
            }
            registry.close().await;
            Ok(())
        }),
        Target::Server(client, room) => {
            let room = room_path(&client, room.as_deref())?;
            for sequence in sequences {
                let body = client.fetch(&format!("{room}/log/proof/{sequence}"), "text/plain")?.body;
                let proof = String::from_utf8(body)
                    .map_err(|_| Fault::failure("the server sent a proof that is not text", ""))?;
                each(*sequence, &proof)?;
            }
            Ok(())
        }
    }
}
