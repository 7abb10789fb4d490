//! `cleanroom policy`: what an owner writes and tries policies with.

mod attack;
mod check;
mod data_lint;
mod diff;
mod explain;
mod made_up;
mod new;
mod rows;
mod sign;
mod test;
mod trial;

use std::path::Path;

use clap::Subcommand;
use cleanroom_policy::{Policy, parse_policy};

use crate::embedded::{PolicyFile, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::Format;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Writes a first policy for a data file
    New(new::NewArgs),
    /// Reports what is wrong with documents, and what in a policy is hardly meant, also against its data
    Check(check::CheckArgs),
    /// Says in sentences what a policy allows
    Explain(explain::ExplainArgs),
    /// Says what the difference of two versions of a policy means
    Diff(diff::DiffArgs),
    /// Runs the cases that policies are meant to answer and to refuse
    Test(test::TestArgs),
    /// Signs a policy for a room, as its owner
    Sign(sign::SignArgs),
    /// Tries known attacks on a policy's own data, and says what each would have learned
    Attack(attack::AttackArgs),
}

pub(super) fn run(command: &PolicyCommand, format: Format) -> Result<Exit> {
    match command {
        PolicyCommand::New(args) => new::run(args),
        PolicyCommand::Check(args) => check::run(args, format),
        PolicyCommand::Explain(args) => explain::run(args, format),
        PolicyCommand::Diff(args) => diff::run(args, format),
        PolicyCommand::Test(args) => test::run(args, format),
        PolicyCommand::Sign(args) => sign::run(args, format),
        PolicyCommand::Attack(args) => attack::run(args, format),
    }
}

/// Reads one policy that was named on the command line.
fn read(path: &Path) -> Result<PolicyFile> {
    let label = path.display().to_string();
    let text = read_document(path)?;
    let policy: Policy = parse_policy(&label, &text).map_err(Fault::documents)?;
    Ok(PolicyFile { label, text, policy })
}
