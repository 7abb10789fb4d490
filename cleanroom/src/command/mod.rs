//! The command line: one file a subcommand.

mod apply;
mod audit;
mod budget;
mod catalog;
mod checkpoints;
mod cosign;
mod demo;
mod evidence;
mod get;
mod keys;
mod policy;
mod query;
mod sealed;
mod serve;
mod tokenize;
mod witness;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::Format;

/// Several partners, one question, no rows handed over.
#[derive(Debug, Parser)]
#[command(name = "cleanroom", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// Form of the output
    #[arg(long, value_enum, global = true, default_value = "table", env = "CLEANROOM_FORMAT")]
    format: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole way on invented data, in less than a minute
    Demo(demo::DemoArgs),
    /// Sets a room up, or brings it up to its files
    Apply(apply::ApplyArgs),
    /// Reads rooms, policies, templates, tables and queries back
    Get(get::GetArgs),
    /// Asks a question
    Query(query::QueryArgs),
    /// Lists the tables and columns that may be asked about
    Catalog(catalog::CatalogArgs),
    /// Shows what is left of the privacy budgets
    Budget(budget::BudgetArgs),
    /// Reads and verifies the log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Checks policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Makes and shows keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Replaces identifiers by keyed hashes, before a file leaves its owner
    Tokenize(tokenize::TokenizeArgs),
    /// Runs the server
    Serve(serve::ServeArgs),
}

/// Runs the program with the given arguments, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // A command works on its questions itself, beside the runtime's workers, and so needs a stack as deep as theirs.
    let main = thread::Builder::new().stack_size(cleanroom_vault::WORKER_STACK).spawn(move || run(args));
    match main.map(thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            Fault::failure(format!("cannot start a thread: {error}"), "").print(Format::Table);
            Exit::Failure.into()
        }
    }
}

fn run(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    let format = cli.format;
    let ended = match cli.command {
        Command::Demo(args) => demo::run(&args, format),
        Command::Apply(args) => apply::run(args, format),
        Command::Get(args) => get::run(&args, format),
        Command::Query(args) => query::run(args, format),
        Command::Catalog(args) => catalog::run(&args, format),
        Command::Budget(args) => budget::run(&args, format),
        Command::Audit(command) => audit::run(command, format),
        Command::Policy(command) => policy::run(&command, format),
        Command::Keys(command) => keys::run(command, format),
        Command::Tokenize(args) => tokenize::run(args, format),
        Command::Serve(args) => serve::run(args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(fault) => {
            fault.print(format);
            fault.exit().into()
        }
    }
}

/// Runs a command's asynchronous part.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(cleanroom_vault::WORKER_STACK)
        .build()
        .map_err(|error| Fault::failure(format!("cannot start the runtime: {error}"), ""))?;
    runtime.block_on(work)
}

/// What was wrong with the call itself. Help and version come this way too, and are no errors.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let json =
        args.windows(2).any(|pair| pair == ["--format", "json"]) || args.iter().any(|arg| arg == "--format=json");
    if error.use_stderr() && json {
        let text = error.to_string();
        // What was wrong stands above the usage, over several lines.
        let lines = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
        let what = lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let what = what.trim_start_matches("error: ");
        Fault::usage(what, "see `cleanroom --help`").print(Format::Json);
    } else {
        // A terminal that went away is no reason to fail differently.
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
