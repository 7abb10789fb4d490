//! `cleanroom audit`

mod chosen;
mod columns;
mod entries;
mod export;
mod log;
mod receipt;
mod story;
mod totals;
mod verify;

use std::path::Path;

use clap::{Args, Subcommand};
use cleanroom_verify::Key;

use super::{checkpoints, cosign, witness};
use crate::embedded::read_document;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::Format;
use crate::trail::{Filter, OUTCOMES, PolicyChoice, since, until};

pub(super) use log::{actor, summary, text};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Lists entries of the log, or follows one question through it
    Log(log::LogArgs),
    /// Shows one entry, or those that are chosen
    Show(chosen::ShowArgs),
    /// Proves that an entry is in the log, or that each of those that are chosen is: prints or writes tlog-proofs
    Prove(chosen::ProveArgs),
    /// Writes entries into a file of JSON lines, CSV or Parquet
    Export(export::ExportArgs),
    /// Adds up what analysts asked of one owner's tables, were answered and spent
    Summary(totals::SummaryArgs),
    /// Verifies whole logs, with nothing but their files and public keys
    Verify(verify::VerifyArgs),
    /// Verifies receipts
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Lists the checkpoints that the log signed, and who cosigned them
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Has witnesses cosign a log's newest checkpoint
    Cosign(cosign::CosignArgs),
    /// Runs a witness: remembers how far logs have come, and cosigns what continues them
    Witness(witness::WitnessArgs),
}

/// Which entries.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Only entries of this type, such as `query.refused`
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    /// Only entries of this partner's doing, and of the questions it asked
    #[arg(long, value_name = "PARTNER")]
    partner: Option<String>,

    /// Only entries about this table, and of questions that read it (the log names no tables of refused ones)
    #[arg(long, value_name = "OWNER.TABLE")]
    table: Option<String>,

    /// Only entries about this policy, and of questions that it decided
    #[arg(long, value_name = "OWNER.TABLE@VERSION|DIGEST")]
    policy: Option<PolicyChoice>,

    /// Only entries that tell this end of a question
    #[arg(long, value_name = "OUTCOME", value_parser = clap::builder::PossibleValuesParser::new(OUTCOMES))]
    outcome: Option<String>,

    /// Not before this moment (RFC 3339), or day (UTC)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<time::OffsetDateTime>,

    /// Not after this moment, or this day
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<time::OffsetDateTime>,
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        Filter {
            kind: self.kind.clone(),
            partner: self.partner.clone(),
            table: self.table.clone(),
            policy: self.policy.clone(),
            outcome: self.outcome.clone(),
            since: self.since,
            until: self.until,
            query: None,
        }
    }
}

pub(super) fn run(command: AuditCommand, format: Format) -> Result<Exit> {
    match command {
        AuditCommand::Log(args) => log::run(&args, format),
        AuditCommand::Show(args) => chosen::show(&args, format),
        AuditCommand::Prove(args) => chosen::prove(&args),
        AuditCommand::Export(args) => export::run(&args, format),
        AuditCommand::Summary(args) => totals::run(&args, format),
        AuditCommand::Verify(args) => verify::run(&args, format),
        AuditCommand::Receipt(command) => receipt::run(&command, format),
        AuditCommand::Checkpoints(args) => checkpoints::run(&args, format),
        AuditCommand::Cosign(args) => cosign::run(&args, format),
        AuditCommand::Witness(args) => witness::run(&args, format),
    }
}

/// A key as text, or the file that holds it.
pub(super) fn verifier_key(text: &str) -> Result<Key> {
    let wrong = |error| {
        Fault::usage(format!("`--key`: {error}"), "give the one line of the log's file `log.pub`, or that file")
    };
    if Path::new(text).is_file() {
        return read_document(Path::new(text))?.trim_end().parse().map_err(wrong);
    }
    text.parse().map_err(wrong)
}
