//! `cleanroom audit cosign`

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use cleanroom_verify::{Checkpoint, Key, NOTE_SIGNATURE_LIMIT, Witness, WitnessPolicy, published_key};
use serde_json::json;

use super::audit::verifier_key;
use super::evidence::policy;
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::output::{Format, Sink, print};
use crate::witness::{ask, attach};

#[derive(Debug, Args)]
pub(super) struct CosignArgs {
    /// The directory of one log, with its file `checkpoint`
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// The witnesses to ask, with their addresses: a C2SP tlog-policy file
    #[arg(long, value_name = "FILE")]
    witness_policy: PathBuf,

    /// Public key of the log, or a file that holds it [default: `log.pub` in the directory]
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,

    /// Where the cosigned checkpoint goes, to be kept [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &CosignArgs, format: Format) -> Result<Exit> {
    let key = match &args.key {
        Some(key) => verifier_key(key)?,
        None => published_key(&args.directory)
            .map_err(|error| Fault::usage(error, "name the directory of one log, such as `.cleanroom/log/<room>`"))?,
    };
    let policy = policy(&args.witness_policy)?;
    let path = args.directory.join("checkpoint");
    let note = fs::read_to_string(&path).map_err(|error| Fault::read(&path, &error))?;
    // A witness is not asked for what the log did not sign, and an auditor not given it.
    Checkpoint::open(&note, &key).map_err(|error| {
        Fault::usage(
            format!("`{}`: {error}", path.display()),
            "give the log's own key by `--key`; if it is that, find out who changed the checkpoint: run `cleanroom audit verify`",
        )
    })?;
    let has = policy.cosigned(&note, std::slice::from_ref(&key)).map_err(|error| {
        Fault::usage(format!("`{}`: {error}", path.display()), "find out who changed it: run `cleanroom audit verify`")
    })?;
    // Whoever has signed is not asked again.
    let asked: Vec<&Witness> = policy
        .witnesses()
        .iter()
        .zip(&has.times)
        .filter(|(_, time)| time.is_none())
        .map(|(witness, _)| witness)
        .collect();
    let answers = ask_all(&args.directory, &note, &asked);
    let mut cosigned = note;
    let mut problems = Vec::new();
    for (witness, answer) in asked.iter().zip(answers) {
        match answer {
            Ok(line) if attach(&mut cosigned, &line, &policy, &key) => {}
            Ok(_) => problems.push(format!(
                "witness `{}`: it cosigned, and the checkpoint has {NOTE_SIGNATURE_LIMIT} signatures, more than which nobody reads",
                witness.name
            )),
            Err(problem) => problems.push(format!("witness `{}`: {problem}", witness.name)),
        }
    }
    let enough = quorum(&policy, &cosigned, &key);
    if args.output.is_some() || format != Format::Json {
        Sink::new(args.output.clone()).write(cosigned.as_bytes())?;
    }
    if format == Format::Json {
        print(&json!({ "quorum": enough, "problems": problems, "checkpoint": cosigned }).to_string())?;
    } else {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
    }
    Ok(if enough { Exit::Done } else { Exit::NotVerified })
}

fn quorum(policy: &WitnessPolicy, note: &str, key: &Key) -> bool {
    policy.cosigned(note, std::slice::from_ref(key)).is_ok_and(|cosigned| cosigned.quorum)
}

/// All at once: none waits for another one's time limit.
fn ask_all(directory: &Path, note: &str, witnesses: &[&Witness]) -> Vec<Result<String, String>> {
    thread::scope(|scope| {
        let asking: Vec<_> = witnesses
            .iter()
            .map(|witness| {
                scope.spawn(move || match &witness.url {
                    None => Err("the policy gives no address for it".to_owned()),
                    Some(url) => ask(directory, note, url.trim_end_matches('/'), &witness.key, &mut 0)
                        .map_err(|problem| problem.to_string()),
                })
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().unwrap_or_else(|_| Err("asking it failed".to_owned()))).collect()
    })
}
